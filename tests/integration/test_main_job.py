"""The main job on a whole machine, as teachers, students and admins do it, in the order of a day.

One machine of each release serves the whole file: later tests find what earlier ones did.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import expect

from appliance.rollout.preload import PRELOAD_UNITS
from tests.integration.browser import chromium
from tests.integration.images import Debian
from tests.integration.installed import Installed, installed_image
from tests.integration.lab import SLOW_MS, Lab
from tests.integration.machine import Machine
from tests.integration.pages import PASSWORDS, Person

pytestmark = [pytest.mark.machine, pytest.mark.browser]

BOB_UNIT = "appliance-user-bob.service"
BOB_CGROUP = f"/sys/fs/cgroup/appliance.slice/appliance-users.slice/{BOB_UNIT}"
RESTARTED = (
    "appliance-hub.service",
    "appliance-proxy.service",
    "appliance-spawner.service",
    *PRELOAD_UNITS,
)


@dataclass
class Day:
    """The machine and who sits before a browser."""

    machine: Machine
    installed: Installed
    ada: Person
    bob: Person
    carol: Person
    labs: dict[str, Lab]

    @property
    def bob_lab(self) -> Lab:
        if "bob" not in self.labs:
            self.labs["bob"] = self.bob.open_lab()
        return self.labs["bob"]

    def cgroup(self, file: str) -> str:
        return self.machine.execute(f"cat {BOB_CGROUP}/{file}").strip()

    def cgroup_number(self, file: str, key: str) -> int:
        match = re.search(rf"^{key} (\d+)$", self.cgroup(file), re.MULTILINE)
        assert match, f"{file} has no {key}"
        return int(match[1])


@pytest.fixture(
    scope="module", params=[Debian.BOOKWORM, pytest.param(Debian.TRIXIE, marks=pytest.mark.long)]
)
def day(request: pytest.FixtureRequest) -> Iterator[Day]:
    debian: Debian = request.param
    installed = installed_image(debian)
    with ExitStack() as stack:
        machine = stack.enter_context(Machine(debian, image=installed.image))
        browser = stack.enter_context(chromium(machine.http_base))
        people = {}
        for name in PASSWORDS:
            visitor = stack.enter_context(browser.visit(name))
            people[name] = Person(
                visitor.page,
                machine.http_base,
                name,
                lambda _, shot, who=visitor: who.screenshot(shot),
            )
        yield Day(machine, installed, people["ada"], people["bob"], people["carol"], {})
        machine.execute("systemctl stop 'appliance-user-*'")


def test_from_set_up_link_to_running_cell(day: Day) -> None:
    day.ada.use_setup_link(day.installed.setup_link(day.machine.http_base))
    day.bob.sign_up()
    day.bob.sees("approv")
    day.bob.look(day.bob.page, "signed-up")

    day.ada.go("/hub/admin")
    day.ada.look(day.ada.page, "admin-with-bob-waiting")
    day.ada.press("Approve bob")
    day.ada.sees("bob")

    day.bob.log_in()
    lab = day.bob_lab
    cell = lab.run("6 * 7")
    assert lab.wait_for_output(cell, "42").strip() == "42"
    day.bob.look(day.bob.page, "lab-with-a-result")
    users = json.loads(day.machine.execute("appliance user list --json"))
    assert {user["name"]: user["admin"] for user in users} == {"ada": True, "bob": False}


def test_server_is_limited_and_confined(day: Day) -> None:
    assert day.bob_lab
    # What fits a machine of 1 GB.
    assert day.cgroup("memory.max") == str(384 * 2**20)
    fits = json.loads(day.machine.execute("appliance limits suggest --class-size 4 --json"))
    assert fits["class_size"] == 4
    assert fits["memory"] >= 384 * 2**20
    assert fits["memory"] < fits["machine"]["memory"] < 2**30
    # What is kept for the hub, whatever servers do.
    users = Path(BOB_CGROUP).parent
    most = int(day.machine.execute(f"cat {users}/memory.max"))
    assert most < 0.86 * fits["machine"]["memory"]
    assert day.machine.execute(f"cat {users}/cpu.weight").strip() == "20"
    hub = f"{users.parent}/appliance-hub.service"
    assert int(day.machine.execute(f"cat {hub}/memory.min")) == 160 * 2**20
    assert day.machine.execute(f"cat {users.parent}/memory.min").strip() == str(256 * 2**20)
    assert day.cgroup("memory.swap.max") == "0"
    assert day.cgroup("pids.max") == "512"
    show = day.machine.execute(
        f"systemctl show {BOB_UNIT} -p User,NoNewPrivileges,ProtectProc,OOMPolicy,Environment"
    )
    for line in (
        "User=nb-bob",
        "NoNewPrivileges=yes",
        "ProtectProc=invisible",
        "OOMPolicy=continue",
    ):
        assert line in show.splitlines()
    assert "TOKEN" not in show


def test_class_page_shows_what_a_server_uses(day: Day) -> None:
    assert day.bob_lab
    day.machine.execute("appliance class add Lab")
    day.machine.execute(
        "curl -sSf --unix-socket /run/appliance/admin.sock -H 'Content-Type: application/json'"
        """ -d '{"users": ["bob"]}' http://localhost/hub/api/groups/lab/users"""
    )
    day.ada.go("/hub/classes/lab")
    row = day.ada.page.locator('tr[data-user="bob"]')
    expect(row.locator("[data-memory]")).to_have_text(
        re.compile(r"[1-9]\d* MB of 384 MB"), timeout=SLOW_MS
    )
    expect(row.locator("[data-cpu]")).to_have_text(re.compile("cores"))
    day.ada.look(day.ada.page, "class-with-bob")


def test_counting_never_stops_while_everything_restarts(day: Day) -> None:
    lab = day.bob_lab
    cell = lab.run(
        "import time\nfor i in range(1, 100_000):\n    print(i, flush=True)\n    time.sleep(0.5)"
    )
    count = lab.wait_for_count(cell, 3, timeout_seconds=60)
    for unit in RESTARTED:
        day.machine.execute(f"systemctl restart {unit}", timeout=60)
        # Lab would wait longer than this before it connects anew to a server that it lost.
        count = lab.wait_for_count(cell, lab.count(cell) + 2, timeout_seconds=6)
    hub = day.machine.execute("systemctl show -p MainPID --value appliance-hub").strip()
    day.machine.execute(
        "curl -fsS --unix-socket /run/appliance/admin.sock -X POST http://hub/hub/api/shutdown"
    )
    day.machine.wait_until(
        f"systemctl show -p MainPID --value appliance-hub | grep -vqx -e 0 -e {hub}"
    )
    count = lab.wait_for_count(cell, lab.count(cell) + 2, timeout_seconds=6)
    day.machine.execute("appliance config set limits.memory 600M", timeout=90)
    assert day.cgroup("memory.max") == str(600 * 2**20)
    lab.wait_for_count(cell, count + 3, timeout_seconds=60)
    shown = [int(number) for number in re.findall(r"\d+", lab.output(cell))]
    assert shown == list(range(1, len(shown) + 1)), "the page lost numbers"
    lab.interrupt()


def test_memory_past_the_limit_kills_the_kernel_and_nothing_else(day: Day) -> None:
    lab = day.bob_lab
    server = day.machine.execute(f"systemctl show -p MainPID --value {BOB_UNIT}").strip()
    killed = day.cgroup_number("memory.events", "oom_kill")
    lab.run("rows = []\nwhile True:\n    rows.append(bytearray(10_000_000))")
    day.machine.wait_until(
        f"test $(awk '$1 == \"oom_kill\" {{print $2}}' {BOB_CGROUP}/memory.events) -gt {killed}",
        timeout=120,
    )
    day.machine.allowed.errors += [
        "oom-kill",
        "Out of memory",
        "process of this unit has been killed",
    ]
    assert day.machine.execute(f"systemctl show -p MainPID --value {BOB_UNIT}").strip() == server
    lab.wait_for_dialog("died")
    notice = day.bob.page.locator(".appliance-messages")
    expect(notice).to_contain_text(
        re.compile(
            "Linux stopped the kernel of “Untitled.ipynb”: your server wanted more memory than the "
            r"\d+ MB that it may use\."
        ),
        timeout=30_000,
    )
    expect(day.bob.page.locator("#jp-main-statusbar .appliance-usage")).to_contain_text(
        re.compile(r"Memory \d+ MB / \d+ MB")
    )
    day.bob.look(day.bob.page, "kernel-killed")
    lab.dismiss_dialogs()
    lab.wait_until_idle()
    cell = lab.run("'alive ' * 2")
    assert "alive alive" in lab.wait_for_output(cell, "alive alive")


TOO_MUCH = """\
import json, socket
told = {"groups": {"lab": {}}, "limits": {"memory": 2**40}}
with socket.socket(socket.AF_UNIX) as daemon:
    daemon.connect("/run/appliance/spawner.sock")
    daemon.sendall(json.dumps({"verb": "set_limits", "people": {"bob": told}}).encode() + b"\\n")
    assert json.loads(daemon.recv(9999))["changed"] == 1
"""


LAB_LIMITS = {
    "cpu_weight": 300, "io_weight": 50, "swap": "64M", "memory_guarantee": "96M", "run_time": "8h",
}  # fmt: skip


def _set_limits(day: Day, path: str, body: str) -> None:
    day.machine.execute(
        "curl -sSf --unix-socket /run/appliance/admin.sock -H 'Content-Type: application/json'"
        f" -X PATCH -d '{body}' http://localhost/hub/api/appliance/{path}/limits"
    )


def test_limits_of_a_class_and_a_user_hold_at_once(day: Day) -> None:
    assert day.bob_lab
    usual = day.cgroup("memory.max")
    day.machine.execute("appliance config set group_limits.lab.memory 550M", timeout=90)
    assert day.cgroup("memory.max") == str(550 * 2**20)
    # A daemon that is started anew knows who is in which group.
    day.machine.execute("systemctl restart appliance-spawner.service", timeout=60)
    more = "\\n".join(f"    {name}: {value}" for name, value in LAB_LIMITS.items())
    day.machine.execute(
        f"sed -i 's/^    memory: 550M$/&\\n{more}/' /etc/appliance/config.yaml &&"
        " appliance config reload",
        timeout=90,
    )
    assert (day.cgroup("memory.max"), day.cgroup("cpu.weight")) == (str(550 * 2**20), "300")
    assert day.cgroup("memory.swap.max") == str(64 * 2**20)
    assert day.cgroup("memory.low") == str(96 * 2**20)
    assert day.machine.execute(f"systemctl show -P IOWeight {BOB_UNIT}").strip() == "50"
    # Set on a page, never beyond what may be set there.
    _set_limits(day, "users/bob", '{"cpu": 0.8, "tasks": 300}')
    assert (day.cgroup("cpu.max"), day.cgroup("pids.max")) == ("80000 100000", "300")
    shown = json.loads(day.machine.execute("appliance limits show bob --json"))
    assert shown["limits"]["memory"]["name"] == "lab"
    assert shown["limits"]["run_time"]["value"] == 8 * 3600
    day.machine.execute(f"python3 - <<'END'\n{TOO_MUCH}END")
    # Linux counts whole pages.
    most = shown["most"]["memory"]
    assert most - 4096 < int(day.cgroup("memory.max")) <= most
    _set_limits(day, "users/bob", '{"cpu": null, "tasks": null}')
    assert day.cgroup("memory.max") == str(550 * 2**20)
    # What is used already isn't taken without a word.
    day.bob_lab.run("held = b'x' * 180_000_000")
    day.machine.wait_until(
        f"test $(cat {BOB_CGROUP}/memory.current) -gt {160 * 2**20}", timeout=120
    )
    refused = day.machine.fail(
        "appliance config set user_limits.bob.memory 128M </dev/null", timeout=90
    )
    assert "add --yes" in refused.stderr
    assert day.cgroup("memory.max") == str(550 * 2**20)
    day.machine.execute("appliance config unset group_limits.lab --yes", timeout=90)
    assert day.cgroup("memory.max") == usual


def test_four_threads_get_no_more_than_the_quota(day: Day) -> None:
    lab = day.bob_lab
    day.machine.execute("appliance config set limits.cpu 0.5", timeout=90)
    assert day.cgroup("cpu.max") == "50000 100000"
    lab.run(
        "import hashlib, threading\n"
        "for _ in range(4):\n"
        "    work = lambda: hashlib.pbkdf2_hmac('sha1', b'x', b'y', 10**9)\n"
        "    threading.Thread(target=work, daemon=True).start()"
    )
    time.sleep(3)
    seconds = 10
    before, after = (
        int(number)
        for number in day.machine.execute(
            f"f={BOB_CGROUP}/cpu.stat; awk '/^usage_usec/ {{print $2}}' $f; sleep {seconds};"
            " awk '/^usage_usec/ {print $2}' $f"
        ).split()
    )
    used = (after - before) / 1e6
    assert used <= 0.5 * seconds * 1.2, (
        f"{used:.1f} CPU seconds in {seconds} s at a quota of half a core"
    )
    assert used >= 0.5, "the threads did not run, so that nothing was shown"
    assert day.cgroup_number("cpu.stat", "nr_throttled") > 0
    lab.restart_kernel()
    day.machine.execute("appliance config unset limits.cpu", timeout=90)


def test_a_fork_bomb_is_contained(day: Day) -> None:
    lab = day.bob_lab
    day.machine.execute("appliance config set limits.tasks 100", timeout=90)
    assert day.cgroup("pids.max") == "100"
    refused = day.cgroup_number("pids.events", "max")
    lab.run("import os; os.system('bomb() { bomb | bomb & }; bomb; sleep 1')")
    day.machine.wait_until(
        f"test $(awk '$1 == \"max\" {{print $2}}' {BOB_CGROUP}/pids.events) -gt {refused + 10}",
        timeout=120,
    )
    assert int(day.cgroup("pids.current")) <= 100
    day.machine.execute("curl -fsS --max-time 20 http://localhost/hub/health")
    day.machine.execute(f"systemctl stop {BOB_UNIT}", timeout=60)
    day.machine.execute("appliance config unset limits.tasks", timeout=90)
    day.labs.clear()


def test_carol_reaches_nothing_of_bobs(day: Day) -> None:
    assert day.bob_lab
    made = json.loads(day.machine.execute("appliance user add carol --generate --json"))
    assert "carol" in json.dumps(made)
    day.machine.execute("appliance user passwd carol --stdin", stdin=PASSWORDS["carol"])
    day.carol.log_in()
    lab = day.carol.open_lab()
    day.machine.execute(
        "echo secret >/home/nb-bob/secret.txt; chown nb-bob: /home/nb-bob/secret.txt"
    )
    bob_pid = day.machine.execute(f"systemctl show -p MainPID --value {BOB_UNIT}").strip()
    cell = lab.run(CAROLS_ATTEMPTS.replace("BOB_PID", bob_pid))
    outcomes = json.loads(
        lab.wait_for_output(cell, "}").strip().removeprefix("'").removesuffix("'")
    )
    assert len(outcomes) == CAROLS_ATTEMPTS.count("refused(lambda") + 1
    assert not {name: found for name, found in outcomes.items() if found is not True}
    answer = day.carol.page.goto(f"{day.machine.http_base}/user/bob/lab")
    assert answer is not None
    assert answer.status in {403, 404}
    day.carol.look(day.carol.page, "at-bobs-door")
    day.machine.execute("systemctl stop appliance-user-carol.service")


CAROLS_ATTEMPTS = r"""
import json, os, pathlib, socket

def refused(attempt):
    try:
        found = attempt()
    except (OSError, KeyError):
        return True
    return f"got {found!r}"

def connect(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    return "connected"

def processes_of_others():
    others = [p for p in pathlib.Path("/proc").glob("[0-9]*") if p.stat().st_uid != os.getuid()]
    if not others:
        raise OSError("none")
    return len(others)

print(json.dumps({
    "bob's file": refused(lambda: open("/home/nb-bob/secret.txt").read()),
    "bob's home": refused(lambda: os.listdir("/home/nb-bob")),
    "bob's command line": refused(lambda: open("/proc/BOB_PID/cmdline").read()),
    "others' processes": refused(processes_of_others),
    "bob's socket": refused(lambda: connect("/run/appliance/servers/bob/default.sock")),
    "her own socket": refused(lambda: connect("/run/appliance/servers/carol/default.sock")),
    "the hub's socket": refused(lambda: connect("/run/appliance/hub.sock")),
    "the admin's socket": refused(lambda: connect("/run/appliance/admin.sock")),
    "the spawner's socket": refused(lambda: connect("/run/appliance/spawner.sock")),
    "the settings": refused(lambda: open("/etc/appliance/config.yaml").read()),
    "the database": refused(lambda: os.listdir("/var/lib/appliance/hub")),
    "the user environment": refused(lambda: open("/opt/appliance/user/x", "w")),
    "the system": refused(lambda: open("/etc/x", "w")),
    "a set-user-id bit": refused(lambda: (pathlib.Path("s").touch(), os.chmod("s", 0o4755))),
    "a signal to systemd": refused(lambda: os.kill(1, 0)),
}))
"""


def test_hub_cannot_word_a_unit(day: Day) -> None:
    as_hub = "setpriv --reuid appliance-hub --regid appliance-hub --clear-groups"
    day.machine.fail(f"{as_hub} systemd-run --wait touch /root/pwned")
    day.machine.fail(f"{as_hub} systemctl restart ssh.service")
    day.machine.fail(f"{as_hub} sudo -n true")
    ask = (
        "import json, socket, sys; s = socket.socket(socket.AF_UNIX);"
        " s.connect('/run/appliance/spawner.sock');"
        " s.sendall(sys.stdin.read().encode() + b'\\n'); print(s.makefile().readline())"
    )
    token = "0" * 64
    for request in (
        {"verb": "start", "user": "bob", "server": "", "token": token, "command": "/bin/sh"},
        {"verb": "start", "user": "../root", "server": "", "token": token},
        {"verb": "start", "user": "root", "server": "", "token": token},
        {"verb": "start", "user": "bob", "server": "", "token": "x\n"},
        {"verb": "stop", "user": "*", "server": ""},
        {"verb": "run", "command": "id"},
    ):
        reply = json.loads(
            day.machine.execute(f'{as_hub} python3 -c "{ask}"', stdin=json.dumps(request))
        )
        assert reply["ok"] is False, (request, reply)
        assert reply["what"]
    day.machine.fail("test -e /root/pwned")
    day.machine.fail(
        "setpriv --reuid nobody --regid nogroup --clear-groups"
        f' python3 -c "{ask}" <<<\'{{"verb": "list"}}\''
    )


def test_wrong_settings_are_refused_with_place_and_mend(day: Day) -> None:
    before = day.machine.read_file("/etc/appliance/config.yaml")
    wrong = day.machine.fail("appliance config set http.port eighty")
    assert "http.port" in wrong.stderr
    assert "eighty" in wrong.stderr
    unknown = day.machine.fail("appliance config set limits.memry 1G")
    assert "limits.memory" in unknown.stderr
    assert day.machine.read_file("/etc/appliance/config.yaml") == before
    day.machine.write_file(
        "/etc/appliance/config.yaml", "limits:\n  memory: 1G\n memry: 2\n", mode=0o600
    )
    broken = day.machine.fail("appliance config reload")
    assert re.search(r"config\.yaml:3:\d+", broken.stderr), broken.stderr
    day.machine.execute("curl -fsS http://localhost/hub/health")
    day.machine.write_file("/etc/appliance/config.yaml", before, mode=0o600)
    day.machine.execute("appliance config check")


def test_a_setting_that_breaks_the_appliance_is_taken_back(day: Day) -> None:
    before = day.machine.read_file("/etc/appliance/config.yaml")
    # The machine hasn't got this address (RFC 5737), which can be seen before anything is changed.
    foreign = day.machine.fail("appliance config set http.address 192.0.2.77", timeout=60)
    assert "192.0.2.77" in foreign.stderr
    # What can't be foreseen: a hub that doesn't start with the new setting.
    day.machine.write_file(
        "/etc/systemd/system/appliance-hub.service.d/broken.conf",
        "[Service]\nExecStartPre=/bin/sh -c '! grep closed /var/lib/appliance/rendered/hub.json'\n",
    )
    day.machine.execute("systemctl daemon-reload")
    started = time.monotonic()
    taken_back = day.machine.fail("appliance config set signup.mode closed", timeout=60)
    assert time.monotonic() - started < 30
    assert "is in force again" in taken_back.stderr, taken_back.describe()
    assert day.machine.read_file("/etc/appliance/config.yaml") == before
    assert "approval" in day.machine.execute("appliance config get signup.mode")
    day.machine.execute("curl -fsS http://localhost/hub/health")
    day.machine.execute(
        "rm -r /etc/systemd/system/appliance-hub.service.d; systemctl daemon-reload"
    )
    day.machine.allowed.errors += [r"appliance-hub\.service"]


def test_who_did_what_is_written_down_where_nobody_else_can_write(day: Day) -> None:
    machine = day.machine
    machine.execute("SUDO_USER=teacher appliance user add dora --quiet")
    records = json.loads(machine.execute("appliance audit -n 1000 --json"))
    told = [
        (one["actor"]["name"], one["action"], one["targets"])
        for one in records
        if one["actor"].get("name")
    ]
    assert told[-1] == ("root", "user.create", ["dora"])
    assert records[-1]["actor"]["unix_user"] == "teacher"
    assert ("ada", "user.approve", ["bob"]) in told
    failed = [
        one for one in records if one["action"] == "config.change" and one["outcome"] == "failed"
    ]
    assert [one["targets"] for one in failed] == [["signup.mode"]]
    modes = machine.execute("stat -c '%U %a' /var/lib/appliance/hub/audit /var/lib/appliance/audit")
    assert modes.split("\n")[:2] == ["appliance-hub 700", "root 700"]
    machine.fail("runuser -u appliance-hub -- ls /var/lib/appliance/audit")
    machine.fail("runuser -u appliance-proxy -- ls /var/lib/appliance/hub/audit")
    numbers = machine.execute(
        "curl -fsS --unix-socket /run/appliance/admin.sock http://hub/hub/metrics"
    )
    memory = re.search(r"^appliance_servers_memory_bytes (\S+)$", numbers, re.MULTILINE)
    assert memory
    assert float(memory[1]) > 10_000_000
    assert (
        machine.execute("curl -sS -o /dev/null -w '%{http_code}' http://localhost/hub/metrics")
        == "403"
    )


def test_installing_again_interrupts_nobody(day: Day) -> None:
    lab = day.bob_lab
    cell = lab.run(
        "import time\nfor i in range(1, 100_000):\n    print(i, flush=True)\n    time.sleep(0.5)"
    )
    count = lab.wait_for_count(cell, 3, timeout_seconds=60)
    users = _accounts(day.machine)
    settings = day.machine.read_file("/etc/appliance/config.yaml")
    day.machine.execute("rm /etc/systemd/system/appliance-proxy.service /usr/local/bin/appliance")
    day.installed.install_again(day.machine)
    assert _accounts(day.machine) == users
    assert day.machine.read_file("/etc/appliance/config.yaml") == settings
    day.machine.execute("test -e /etc/systemd/system/appliance-proxy.service")
    day.machine.execute(f"systemctl is-active {' '.join(PRELOAD_UNITS)}")
    lab.wait_for_count(cell, count + 5, timeout_seconds=60)
    shown = [int(number) for number in re.findall(r"\d+", lab.output(cell))]
    assert shown == list(range(1, len(shown) + 1)), "the page lost numbers"
    lab.interrupt()


def _accounts(machine: Machine) -> list[dict[str, object]]:
    """The users with all that is known of them, but for what they are doing just now."""
    rows = json.loads(machine.execute("appliance user list --json"))
    return [{key: row[key] for key in row.keys() - {"last_activity"}} for row in rows]


@pytest.mark.parametrize("way", ["reboot", "power cut"])
def test_accounts_and_files_are_there_afterwards(day: Day, way: str) -> None:
    cell = day.bob_lab.run(
        f"import os, pathlib; pathlib.Path('kept.txt').write_text('{way}'); os.sync(); 'written'"
    )
    day.bob_lab.wait_for_output(cell, "written")
    day.labs.clear()
    if way == "reboot":
        day.machine.reboot()
    else:
        day.machine.cut_power()
        day.machine.boot()
    day.bob.page.context.clear_cookies()
    day.bob.log_in()
    lab = day.bob_lab
    cell = lab.run("open('kept.txt').read()")
    assert way in lab.wait_for_output(cell, way)
    assert "bob" in day.machine.execute("appliance user list --json")
    day.bob.go("/hub/home")
    day.bob.look(day.bob.page, "home")
    day.labs.clear()
