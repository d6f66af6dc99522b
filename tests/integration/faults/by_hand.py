"""What people do by hand: settings broken or raced for, accounts changed behind our back."""

from __future__ import annotations

import json
import random
import shlex
from datetime import timedelta
from typing import Final

from tests.fakes.certificates import Authority
from tests.integration.commands import Commands
from tests.integration.faults.table import Fault, Tally
from tests.integration.faults.watching import seconds_until_healthy
from tests.integration.preloaded import Preloaded, unit_of

_CONFIG: Final = "/etc/appliance/config.yaml"
_REFUSED: Final = 78
# As a Python traceback begins: no person should see one.
_TRACEBACK: Final = "Traceback (most recent"


def _value(machine: Commands, key: str) -> str:
    return machine.execute(f"appliance config get {key}").strip()


def settings_killed_while_they_change(room: Preloaded, tries: int, tally: Tally) -> None:
    """`config set` is killed at some moment; what is in force is the old or the new, whole."""
    machine = room.machine
    machine.execute("appliance config set limits.tasks 600", timeout=90)
    for number in range(tries):
        before, wanted = _value(machine, "limits.tasks"), str(601 + number)
        seconds = 0.1 + 2.5 * (number % 20) / 20
        machine.attempt(
            f"timeout -s KILL {seconds:.2f} appliance config set limits.tasks {wanted}", timeout=90
        )
        problems = []
        healed = machine.attempt("appliance config reload", timeout=90)
        if healed.code:
            problems.append(f"can't be healed: {healed.stderr.strip()[-200:]}")
        now = _value(machine, "limits.tasks")
        if now not in {before, wanted}:
            problems.append(f"limits.tasks is {now}, and was {before} or {wanted}")
        rendered = json.loads(machine.read_file("/var/lib/appliance/rendered/hub.json"))
        if str(rendered["limits"]["tasks"]) != now:
            problems.append("what is in force isn't what the file says")
        seconds_until_healthy(machine)
        tally.count(problems)
    machine.execute("appliance config unset limits.tasks", timeout=90)


def wrong_settings_by_hand(room: Preloaded, tries: int, tally: Tally) -> None:
    """The file is damaged in a random way; the old settings stay in force, and it is said where."""
    machine = room.machine
    good = machine.read_file(_CONFIG) + "limits:\n  tasks: 500\nsignup:\n  mode: approval\n"
    machine.execute("appliance config set limits.tasks 500", timeout=90)
    original = machine.read_file(_CONFIG)
    chance = random.Random(20)  # noqa: S311 - the same damage in each run
    try:
        for _ in range(tries):
            machine.write_file(_CONFIG, _damaged(good, chance), mode=0o600)
            before = machine.read_file("/var/lib/appliance/rendered/hub.json")
            told = machine.attempt("appliance config check", timeout=90)
            said = told.stdout + told.stderr
            problems = ["a traceback is shown"] if _TRACEBACK in said else []
            if told.code and told.code != _REFUSED:
                problems.append(f"config check ended with {told.code}: {said[-300:]}")
            if told.code:
                machine.fail("appliance config reload", timeout=90)
                if machine.read_file("/var/lib/appliance/rendered/hub.json") != before:
                    problems.append("a refused file is in force")
                if _CONFIG not in said:
                    problems.append(f"the place isn't named: {said[-300:]}")
            seconds_until_healthy(machine)
            tally.count(problems)
    finally:
        machine.write_file(_CONFIG, original, mode=0o600)
        machine.execute("appliance config reload", timeout=90)


def _damaged(text: str, chance: random.Random) -> bytes:
    """Bytes taken out, put in, doubled or cut off somewhere."""
    data = bytearray(text.encode())
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0:
                del data[at : at + chance.randint(1, 20)]
            case 1:
                data[at:at] = bytes(chance.choice(b"\t\0:-{[\"'&*%@ \n") for _ in range(3))
            case 2:
                data[at:at] = data[max(0, at - 30) : at]
            case 3:
                data = data[:at]
            case _:
                data[at:at] = chance.choice([b"\xff\xfe", b"limits: 7\n", b"typo: 1\n", b"? [\n"])
        data = data or bytearray(b":")
    return bytes(data)


def two_admins_at_once(room: Preloaded, tries: int, tally: Tally) -> None:
    """Both change another setting at the same moment; who was told it is done has it done."""
    machine = room.machine
    for number in range(tries):
        tasks, seconds = 700 + number, 100 + number
        said = machine.execute(
            f"appliance config set limits.tasks {tasks} >/dev/null 2>&1 & one=$!;"
            f" appliance config set servers.start_timeout {seconds} >/dev/null 2>&1 & two=$!;"
            " wait $one; a=$?; wait $two; echo $a $?",
            timeout=120,
        )
        problems, lost = [], 0
        wanted = {"limits.tasks": str(tasks), "servers.start_timeout": str(seconds)}
        for code, (key, value) in zip(said.split(), wanted.items(), strict=True):
            now = _value(machine, key)
            if code == "0" and now.rstrip("s") != value:
                lost += 1
                problems.append(f"{key} is {now}, and {value} was acknowledged")
        seconds_until_healthy(machine)
        tally.count(problems, lost=lost)
    machine.execute("appliance config unset limits && appliance config unset servers", timeout=120)


def port_taken(room: Preloaded, tries: int, tally: Tally) -> None:
    """Another program has the port; the change is refused, names it, and nothing else changes."""
    machine = room.machine
    machine.execute(
        "setsid /usr/bin/python3 -m http.server 8081 --bind 127.0.0.1 >/dev/null 2>&1 </dev/null &"
        " timeout 20 sh -c 'until curl -s -o /dev/null 127.0.0.1:8081; do sleep 0.2; done'"
    )
    try:
        for _ in range(tries):
            refused = machine.attempt("appliance config set http.port 8081", timeout=90)
            problems = [] if refused.code else ["it was taken for done"]
            if "python3" not in refused.stderr:
                problems.append(f"the program isn't named: {refused.stderr.strip()[-200:]}")
            if _value(machine, "http.port") != "80":
                problems.append("the setting has changed")
            seconds_until_healthy(machine)
            tally.count(problems)
    finally:
        machine.execute("pkill -f '[h]ttp.server 8081'")


_HOST: Final = "appliance"
_SERVED: Final = (
    'python3 -c "import hashlib, ssl; print(hashlib.sha256(ssl.PEM_cert_to_DER_cert('
    f"ssl.get_server_certificate(('{_HOST}', 443)))).hexdigest())\""
)


# The certificate is due; what else a round does needs a network.
_AN_HOUR_LATER: Final = """
import json, pathlib, time
names = ("environment", "updates", "next-python")
record = pathlib.Path("/var/lib/appliance/upkeep/last.json")
record.write_text(json.dumps(dict.fromkeys(names, time.time())))
"""


def _wrong_certificates() -> dict[str, tuple[str, str]]:
    """What somebody may put in the place of a good one: the certificate, its key."""
    authority, between = Authority(), Authority("Between", above=Authority())
    good = authority.issue([_HOST])
    ended = authority.issue([_HOST], days=1, begins=timedelta(days=-3))
    to_come = authority.issue([_HOST], begins=timedelta(days=3))
    foreign = authority.issue(["other.test"])
    return {
        "it has ended": (ended.pem, ended.key_pem()),
        "it has not begun": (to_come.pem, to_come.key_pem()),
        "another certificate's key": (good.pem, between.issue([_HOST]).key_pem()),
        "a key with a password": (good.pem, good.key_pem("secret")),
        "another name": (foreign.pem, foreign.key_pem()),
        "half of it": (good.pem[:300], good.key_pem()),
        "nothing": ("", good.key_pem()),
    }


def wrong_certificates(room: Preloaded, tries: int, tally: Tally) -> None:
    """What is served stays, though nginx is restarted, and it is said what is wrong."""
    machine, good = room.machine, Authority().issue([_HOST], days=90)
    files = {"certificate": "/root/site.crt", "key": "/root/site.key"}
    words = " ".join(f"--{name} {path}" for name, path in files.items())

    def give(certificate: str, key: str) -> None:
        machine.write_file(files["certificate"], certificate)
        machine.write_file(files["key"], key, mode=0o600)

    give(good.pem, good.key_pem())
    machine.execute(f"appliance https files {words} --name {_HOST}", timeout=90)
    served = machine.execute(_SERVED)
    wrong = list(_wrong_certificates().items())
    try:
        for number in range(tries):
            what, pair = wrong[number % len(wrong)]
            give(*pair)
            refused = machine.attempt(f"appliance https files {words} --name {_HOST}", timeout=90)
            problems = [] if refused.code and "why" in refused.stderr else ["it was taken"]
            machine.execute("systemctl restart appliance-proxy.service")
            machine.wait_until(_SERVED, timeout=20)
            machine.execute(f"python3 -c {shlex.quote(_AN_HOUR_LATER)}")
            machine.attempt("systemctl start appliance-upkeep.service", timeout=300)
            told = json.loads(machine.read_file("/var/lib/appliance/health/certificate.json"))
            if told["severity"] == "ok":
                problems.append("nobody is told")
            if machine.execute(_SERVED) != served:
                problems.append("another certificate is served")
            tally.count([f"{what}: {problem}" for problem in problems])
    finally:
        machine.execute("appliance https off", timeout=90)


_ACCOUNT_CHANGES: Final = {
    "its account is deleted": "userdel ACCOUNT",
    "its account has another name": "usermod -l other-ACCOUNT ACCOUNT",
    "its account has another number": "usermod -u NUMBER ACCOUNT",
    "its number is another account's": "useradd -o -u $(id -u ACCOUNT) -M twin-ACCOUNT"
    " && userdel -f ACCOUNT",
    "its home is gone": "mv HOME HOME.away",
    "its home is somebody else's": "chown -R nobody HOME",
    "its home is a link": "mv HOME HOME.away && ln -s /etc HOME",
}
"""What somebody with root and little care does; ACCOUNT and HOME stand for the user's,
NUMBER for one that is free."""


def accounts_changed_by_hand(room: Preloaded, tries: int, tally: Tally) -> None:
    """A server starts as its own user with its own home, or is refused in words."""
    machine = room.machine
    changes = list(_ACCOUNT_CHANGES.items())
    for number in range(tries):
        what, command = changes[number % len(changes)]
        name = f"hand{number}"
        room.add(name)
        room.start(name)
        room.stop(name)
        account, home = f"nb-{name}", f"/home/nb-{name}"
        uid = machine.execute(f"id -u {account}").strip()
        machine.execute(f"echo mine >{home}/kept && chown {account} {home}/kept")
        command = command.replace("ACCOUNT", account).replace("HOME", home)
        machine.execute(command.replace("NUMBER", str(45678 + number)))
        etc = machine.execute("stat -c '%u %a' /etc /etc/passwd")
        started = machine.attempt(f"appliance server start {name}", timeout=90)
        problems = _judge_account(machine, name, uid=uid, started=started.code == 0)
        if started.code and ("why" not in started.stderr or _TRACEBACK in started.stderr):
            problems.append(f"refused without words: {started.stderr.strip()[-200:]}")
        if machine.execute("stat -c '%u %a' /etc /etc/passwd") != etc:
            problems.append("/etc isn't as it was")
        kept = machine.attempt(f"cat {home}/kept {home}.away/kept 2>/dev/null").stdout
        lost = int("mine" not in kept)
        tally.count([f"{what}: {problem}" for problem in problems], lost=lost)
        machine.attempt(f"appliance server stop {name}", timeout=90)
        seconds_until_healthy(machine)


def _judge_account(machine: Commands, name: str, *, uid: str, started: bool) -> list[str]:
    if not started:
        return []
    pid = machine.execute(f"systemctl show -P MainPID {unit_of(name)}").strip()
    runs_as = machine.execute(f"stat -c %u /proc/{shlex.quote(pid)}").strip()
    problems = []
    if runs_as != uid:
        problems.append(f"the server runs as {runs_as}, and its user is {uid}")
    owner = machine.execute(f"stat -L -c %u /home/nb-{name}").strip()
    if owner != runs_as:
        problems.append(f"the home is {owner}'s, and the server {runs_as}'s")
    return problems


ROWS: Final = (
    Fault("`config set` killed at some moment", "old or new in force, as the file says; healed by"
          " reload", 50, 2, settings_killed_while_they_change),
    Fault("settings file damaged by hand", "refused with file and line; the old ones stay in force",
          40, 4, wrong_settings_by_hand),
    Fault("two admins change settings at once", "what was acknowledged is in force",
          20, 1, two_admins_at_once),
    Fault("port taken by another program", "refused, names the program, serves on",
          5, 1, port_taken),
    Fault("wrong certificate (7 ways)", "refused; the old one is served, also by a new nginx; told",
          14, 0, wrong_certificates),
    Fault("accounts changed by hand (7 ways)", "own user and home, or refused in words; no file"
          " lost", 14, 7, accounts_changed_by_hand),
)  # fmt: skip
