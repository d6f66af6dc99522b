"""Ten thousand people, and hundreds of servers at once."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.integration.commands import Commands
from tests.integration.faults.table import Fault, Tally
from tests.integration.faults.watching import seconds_until_healthy
from tests.integration.preloaded import Preloaded

_PEOPLE: Final = 10_000
_SERVERS: Final = 500
_ANSWER_SECONDS: Final = 0.2
_USAGE_SECONDS: Final = 0.5
"""For what each server uses: systemd is asked of one after the other, and the hub goes on."""
_HEALTH_SECONDS: Final = 0.1
_PAUSE_SECONDS: Final = 0.4
"""Longer than that the hub does nothing else at no time."""
_ROUNDS_SECONDS: Final = 65
"""Two rounds of the reconciler and one of the culler, which is told to come each 20 s."""


def many_people(room: Preloaded, tries: int, tally: Tally) -> None:
    """Ten thousand users in the database; an admin's page of them comes at once."""
    _add_many(room.machine)
    for _ in range(tries):
        median = _call_seconds(room.machine, "users?limit=100")
        tally.count([f"a page of users took {median:.2f} s"] if median > _ANSWER_SECONDS else [])
        tally.notes.append(f"100 of 10,000 users in {median:.3f} s")


def _add_many(machine: Commands) -> None:
    names = [f"m{number}" for number in range(_PEOPLE)]
    if int(machine.execute("appliance user list | wc -l")) >= len(names):
        return
    for start in range(0, len(names), 1000):
        machine.execute(
            "curl -fsS -m 100 --unix-socket /run/appliance/admin.sock -X POST"
            " -H 'Content-Type: application/json' --data-binary @- -o /dev/null"
            " http://localhost/hub/api/users",
            stdin=json.dumps({"usernames": names[start : start + 1000]}), timeout=120,
        )  # fmt: skip


# Servers as the hub knows them: rows, with tokens of their own. The hub is away meanwhile.
_SEED: Final = """
import hashlib, sqlite3, sys
db = sqlite3.connect("/var/lib/appliance/hub/hub.sqlite")
for number in range(int(sys.argv[1])):
    row = db.execute("select id, created from users where name = ?", [f"m{number}"])
    user, now = row.fetchone()
    db.execute(
        "insert or replace into servers (user_id, name, state, started, last_activity,"
        " display_name, user_options) values (?, '', 'ready', ?, ?, '', '{}')", [user, now, now])
    server = db.execute("select id from servers where user_id = ?", [user]).fetchone()[0]
    db.execute(
        "insert into api_tokens (hash, user_id, server_id, scopes, note, created)"
        " values (?, ?, ?, '[]', '', ?)",
        [hashlib.sha256(f"{number}".encode()).hexdigest(), user, server, now])
db.commit()
"""
# An admin who looks at pages, and a stopwatch that asks the health page again and again.
_LOOK: Final = """
import sys, time
sys.path.insert(0, "/run/crowd")
from visitor import Visitor
admin = Visitor("http://127.0.0.1", "head")
assert admin.log_in().status == 200
for path in sys.argv[1:]:
    seconds = []
    for _ in range(5):
        began = time.monotonic()
        page = admin.get(path)
        seconds.append(time.monotonic() - began)
        assert page.status == 200, (path, page.status)
    print(f"{sorted(seconds)[2]:.3f}", path)
"""
_WATCH: Final = """
import http.client, sys, time
seconds, end = [], time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    began = time.monotonic()
    one = http.client.HTTPConnection("127.0.0.1", 80, timeout=30)
    one.request("GET", "/hub/health")
    assert one.getresponse().status == 200
    one.close()
    seconds.append(time.monotonic() - began)
    time.sleep(0.02)
seconds.sort()
print(len(seconds), *(f"{seconds[int(len(seconds) * share)]:.3f}" for share in (0.5, 0.99)),
      f"{seconds[-1]:.3f}")
"""
_PAGES: Final = ("/hub/admin", "/hub/admin?page=50", "/hub/admin/status")
_USAGE: Final = "appliance/servers"
_CALLS: Final = (
    _USAGE, "users?limit=100", "users?state=active&limit=200", "appliance/status", "metrics",
)  # fmt: skip


def many_servers(room: Preloaded, tries: int, tally: Tally) -> None:
    """Five hundred units that systemd really runs; each is a program that sleeps, for a server."""
    machine = room.machine
    _add_many(machine)
    _add_admin(machine)
    machine.execute(
        "appliance config set culling.interval 20 && appliance config set culling.timeout 2h",
        timeout=120,
    )
    for _ in range(tries):
        with _servers_running(machine):
            problems = _judge_answers(machine, tally)
            problems += _judge_rounds(machine, tally)
            known = json.loads(machine.execute("appliance server list --json"))
            crowd = {row["user"] for row in known if row["ready"]}
            lost = sum(f"m{number}" not in crowd for number in range(_SERVERS))
            tally.notes.append(f"the hub has {_hub_memory(machine):.0f} MiB")
        tally.count(problems, lost=lost)
    machine.execute("appliance config unset culling && appliance config unset servers", timeout=120)


@contextmanager
def _servers_running(machine: Commands) -> Iterator[None]:
    machine.write_file("/run/crowd/seed.py", _SEED)
    machine.execute("systemctl stop appliance-hub.service")
    machine.execute(
        f"setpriv --reuid appliance-hub --regid appliance-hub --clear-groups"
        f" python3 /run/crowd/seed.py {_SERVERS}"
    )
    machine.execute(
        f"for n in $(seq 0 {_SERVERS - 1}); do systemd-run --quiet --slice=appliance-users.slice"
        " --unit=appliance-user-m$n sleep infinity || exit; done;"
        " systemctl restart appliance-spawner.service; systemctl start appliance-hub.service",
        timeout=300,
    )
    seconds_until_healthy(machine)
    try:
        yield
    finally:
        machine.execute("appliance server stop --all", timeout=300)
        machine.execute("systemctl stop 'appliance-user-m*.service'", timeout=100)


def _judge_answers(machine: Commands, tally: Tally) -> list[str]:
    machine.write_file("/run/crowd/look.py", _LOOK)
    said = machine.execute(f"python3 /run/crowd/look.py {' '.join(_PAGES)}", timeout=100)
    took = {path: float(seconds) for seconds, path in map(str.split, said.splitlines())}
    for call in _CALLS:
        took[call] = _call_seconds(machine, call)
    tally.notes += [f"{path} in {seconds:.3f} s" for path, seconds in took.items()]
    return [
        f"{path} took {seconds:.2f} s"
        for path, seconds in took.items()
        if seconds > (_USAGE_SECONDS if path == _USAGE else _ANSWER_SECONDS)
    ]


def _call_seconds(machine: Commands, call: str) -> float:
    """The median of five."""
    said = machine.execute(
        "for i in 1 2 3 4 5; do curl -fsS -m 60 --unix-socket /run/appliance/admin.sock"
        f" -o /dev/null -w '%{{time_total}}\\n' 'http://localhost/hub/api/{call}'; done",
        timeout=200,
    )
    return sorted(float(word) for word in said.split())[2]


def _judge_rounds(machine: Commands, tally: Tally) -> list[str]:
    machine.write_file("/run/crowd/watch.py", _WATCH)
    said = machine.execute(
        f"python3 /run/crowd/watch.py {_ROUNDS_SECONDS}", timeout=_ROUNDS_SECONDS + 60
    )
    count, median, most, longest = said.split()
    tally.notes.append(
        f"health, {count} times: {median} s, 99 of 100 {most} s, longest {longest} s"
    )
    problems = [f"the health page took {most} s"] if float(most) > _HEALTH_SECONDS else []
    if float(longest) > _PAUSE_SECONDS:
        problems.append(f"it took {longest} s once")
    return problems


def _hub_memory(machine: Commands) -> float:
    """MiB of its own."""
    pid = machine.execute("systemctl show -P MainPID appliance-hub.service").strip()
    said = machine.read_file(f"/proc/{pid}/smaps_rollup")
    return sum(int(found) for found in re.findall(r"(?m)^Private_\w+: +(\d+)", said)) / 1024


def _add_admin(machine: Commands) -> None:
    visitor = Path(__file__).parents[1] / "visitor.py"
    machine.write_file("/run/crowd/visitor.py", visitor.read_bytes())
    if "head " in machine.execute("appliance user list"):
        return
    machine.execute("appliance config set servers.start_at_login false", timeout=90)
    machine.execute("appliance config set signup.mode open", timeout=90)
    sign_up = 'from visitor import Visitor; Visitor("http://127.0.0.1", "head").sign_up()'
    machine.execute(f"cd /run/crowd && python3 -c {shlex.quote(sign_up)}")
    machine.execute("appliance user admin head && appliance config unset signup", timeout=90)


ROWS: Final = (
    Fault("10,000 users", "a page of 100 within 0.2 s", 2, 0, many_people),
    Fault("500 running servers, 10,000 users", "pages and lists of admins within 0.2 s, what"
          " each server uses within 0.5 s; health within 0.1 s (99 of 100, all within 0.4 s) while"
          " the hub compares and culls", 2, 0, many_servers),
)  # fmt: skip
