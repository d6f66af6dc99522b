"""Servers that nobody uses are stopped, those in use are not, and the clock stops all of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from playwright.sync_api import expect

from tests.integration.browser import chromium
from tests.integration.classroom import wait_for
from tests.integration.images import Debian
from tests.integration.lab import SLOW_MS
from tests.integration.pages import PASSWORDS, Person
from tests.integration.preloaded import Preloaded, open_native

pytestmark = [pytest.mark.machine, pytest.mark.long]

TIMEOUT: Final = 30
WARNING: Final = 15
SETTINGS: Final = f"""\
culling:
  timeout: {TIMEOUT}s
  interval: 5s
  warning: {WARNING}s
  exempt_users: [dean]
group_culling:
  patient: {{timeout: 1h}}
group_limits:
  elders: {{run_time: 10m}}
servers:
  start_at_login: false
"""
IN_USE: Final = {
    "busy": "a cell runs",
    "typist": "a program runs in a terminal",
    "cruncher": "a process in the background computes",
    "keeper": "kept until a time",
    "member": "the group has another time",
    "dean": "exempt",
}
# A process that outlives its cell, so that the kernel is idle.
CRUNCH: Final = (
    "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'while True: pass'])"
)
API: Final = "curl -sSf --unix-socket /run/appliance/admin.sock -H 'Content-Type: application/json'"


@pytest.fixture(scope="module")
def room() -> Iterator[Preloaded]:
    with open_native(Debian.BOOKWORM) as room:
        room.machine.write_file("/etc/appliance/config.yaml", SETTINGS, mode=0o600)
        room.machine.execute("appliance config reload", timeout=90)
        yield room


def running(room: Preloaded) -> set[str]:
    said = room.machine.execute("appliance server list --json")
    return {one["user"] for one in json.loads(said)}


def cards(room: Preloaded, user: str) -> list[str]:
    """What the user reads in JupyterLab and at home."""
    said = room.machine.execute(
        f"curl -sSf -H 'Authorization: token {room.token_of(user)}'"
        " http://127.0.0.1/hub/api/appliance/messages"
    )
    return [card["text"] for card in json.loads(said)["cards"]]


def ask(room: Preloaded, method: str, path: str, body: object) -> Any:
    return json.loads(
        room.machine.execute(
            f"{API} -X {method} --data-binary @- http://hub/hub/api/{path}", stdin=json.dumps(body)
        )
        or "null"
    )


def in_background(room: Preloaded, user: str, words: str, stdin: str = "") -> None:
    """What the user does at her server, for as long as it runs."""
    room.machine.write_file(f"/root/{user}", stdin)
    room.machine.execute(
        "setsid /opt/appliance/user/bin/python -I /opt/inside/notebook.py"
        f" http://127.0.0.1/user/{user} {room.token_of(user)} {words}"
        f" </root/{user} >/dev/null 2>&1 &"
    )


def test_idle_servers_are_stopped_after_a_warning_and_those_in_use_are_not(
    room: Preloaded,
) -> None:
    for user in ("idler", *IN_USE):
        room.add(user)
    ask(room, "POST", "groups/patient", {"users": ["member"]})
    # Whoever waits for a test to get to her comes last.
    for user in ("busy", "typist", "cruncher", "keeper", "member", "dean", "idler"):
        room.start(user)
        if user == "busy":
            kernel = room.start_kernel(user)
            in_background(room, user, f"run {kernel}", "import time; time.sleep(1000)")
        elif user == "typist":
            in_background(room, user, "type 'sleep 1000'")
        elif user == "cruncher":
            room.run(user, room.start_kernel(user), CRUNCH)
        elif user == "keeper":
            until = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
            kept = ask(room, "PUT", "appliance/users/keeper/server/keep", {"until": until})
            assert kept["kept_until"]
    began = time.monotonic()
    (warning,) = wait_for(lambda: cards(room, "idler"), bool)
    assert warning.startswith("Nobody uses your server: it is stopped at ")
    assert running(room) == {"idler", *IN_USE}
    wait_for(lambda: running(room), lambda names: "idler" not in names)
    assert time.monotonic() - began > TIMEOUT - WARNING
    assert "since nobody used it" in cards(room, "idler")[0]
    # Long enough for each of the others.
    time.sleep(TIMEOUT + 10)
    found = running(room)
    assert found == set(IN_USE), {name: IN_USE[name] for name in set(IN_USE) - found}


def test_a_page_that_is_open_is_warned_and_its_button_is_use(room: Preloaded) -> None:
    machine, base = room.machine, "http://127.0.0.1"
    room.add("carol")
    machine.execute("appliance user passwd carol --stdin", stdin=PASSWORDS["carol"])
    with chromium(base, network=machine.network) as browser, browser.visit("carol") as visitor:
        carol = Person(visitor.page, base, "carol", lambda _, shot: visitor.screenshot(shot))
        carol.log_in()
        carol.open_lab()
        button = visitor.page.get_by_role("button", name="Keep it running")
        # Once more than it would be if the first had not counted.
        for _ in range(2):
            expect(button).to_be_visible(timeout=SLOW_MS)
            visitor.screenshot("warning")
            pressed = time.monotonic()
            button.click()
            expect(button).to_be_hidden(timeout=SLOW_MS)
        wait_for(lambda: running(room), lambda names: "carol" not in names, seconds=90)
        assert time.monotonic() - pressed > TIMEOUT - WARNING


def test_the_clock_stops_all_but_those_that_are_kept(room: Preloaded) -> None:
    """In the order of the file: the servers of the test before are used or kept."""
    now = datetime.fromisoformat(room.machine.execute("date -Iseconds").strip())
    room.machine.execute(
        f"appliance config set culling.stop_at {now + timedelta(seconds=90):%H:%M}", timeout=90
    )
    (warning,) = wait_for(lambda: cards(room, "busy"), bool, seconds=100)
    assert "stopped at" in warning
    assert "busy" in running(room)
    wait_for(lambda: running(room), lambda names: "busy" not in names, seconds=60)
    wait_for(lambda: running(room), lambda names: names == {"keeper", "dean"}, seconds=20)


# A server that was started a day ago, to a hub that has just been started.
AGED: Final = """\
import sqlite3
with sqlite3.connect("/var/lib/appliance/hub/hub.sqlite") as db:
    changed = db.execute(
        "UPDATE servers SET started = datetime(started, '-1 day') WHERE user_id ="
        " (SELECT id FROM users WHERE name = 'dean')"
    )
    assert changed.rowcount == 1
"""


def test_no_server_runs_longer_than_its_group_may(room: Preloaded) -> None:
    """Used, exempt from all else, and warned before."""
    machine = room.machine
    ask(room, "POST", "groups/elders", {"users": ["dean"]})
    if "dean" not in running(room):
        room.start("dean")
    machine.write_file("/run/aged.py", AGED)
    machine.execute(
        "systemctl stop appliance-hub.service;"
        " setpriv --reuid appliance-hub --regid appliance-hub --clear-groups"
        " python3 /run/aged.py; systemctl start appliance-hub.service"
    )
    (warning,) = wait_for(lambda: cards(room, "dean"), bool, seconds=60)
    assert "It will be stopped in less than 5 minutes" in warning
    assert "dean" in running(room)
    wait_for(lambda: running(room), lambda names: "dean" not in names, seconds=200)
    assert "the longest that it may run" in cards(room, "dean")[0]
