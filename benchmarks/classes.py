"""`python3 -m benchmarks.classes`: what classes cost. There is no peer for them.

Rosters, long lists and the live page are the hub's own CPU seconds. Files of a class are touched by
a unit for each student, so there it is everything that the machine did, and how long it took.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.command import measured, parser
from benchmarks.console import say
from benchmarks.figures import Figures, Row
from benchmarks.installed import Stage, sign_up
from benchmarks.machine import MachineError
from benchmarks.processes import process_cpu_seconds
from benchmarks.report import facts, number
from benchmarks.side import API_TOKEN
from benchmarks.visitor import Visitor
from benchmarks.workloads import Bench, Measured, settle_down

_TEACHER: Final = "teacher"
_LIST: Final = 500
_USERS: Final = 2000
_LIVE: Final = 300
_FILES: Final = 40
_LOOKS: Final = 5
_SECONDS: Final = 900
_EACH_SECONDS: Final = 0.25

ROWS: Final = (
    Row("check_cpu", f"a list of {_LIST} checked, the hub", "CPU s"),
    Row("make_cpu", f"accounts of {_LIST} made from it, with passwords, the hub", "CPU s"),
    Row("users_cpu", f"a page of the list of {_USERS:,} users, the hub", "CPU s"),
    Row("live_cpu", f"the live page of {_LIVE} students, the hub", "CPU s"),
    Row("first_wall", f"a folder handed out to {_FILES} who have no homes yet", "s"),
    Row("first_cpu", "of everything", "CPU s"),
    Row("hand_out_wall", f"another handed out to the same {_FILES}", "s"),
    Row("hand_out_cpu", "of everything", "CPU s"),
    Row("collect_wall", f"collected from the {_FILES}", "s"),
    Row("collect_cpu", "of everything", "CPU s"),
)


class Classes:
    """The measurements, each with classes and users of its own."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._hub = bench.side.hub_pid(bench.machine)

    def rosters(self, number: int) -> Measured:
        """A list as a school office writes it, looked at and then made."""
        name = self._make_class(f"roster{number}")
        people = [
            {"name": f"r{number}pupil{one:03}", "full_name": f"Zoë Pupil {one}"}
            for one in range(_LIST)
        ]
        lines = [f"{one['name']},{one['full_name']}" for one in people]
        text = "\n".join(["username,full name", *lines])
        roster = f"/appliance/classes/{name}/roster"
        return {
            "check_cpu": self._hub_cpu(lambda: self.ask("POST", f"{roster}/preview", text=text)),
            "make_cpu": self._hub_cpu(lambda: self.ask("POST", roster, people=people)),
        }

    def pages(self, number: int) -> Measured:
        """What an admin's browser asks for; many users are there from the first round on."""
        if number == 0:
            for first in range(0, _USERS, 1000):
                names = [f"pupil{one:04}" for one in range(first, first + 1000)]
                self.ask("POST", "/users", usernames=names)
            self._make_class("live")
            self.ask("POST", "/groups/live/users", users=[f"pupil{n:04}" for n in range(_LIVE)])
        admin = Visitor(self._bench.side, _TEACHER)
        admin.log_in()
        return {
            "users_cpu": self._page_cpu(admin, "/hub/admin"),
            "live_cpu": self._page_cpu(admin, "/hub/classes/live"),
        }

    def files(self, number: int) -> Measured:
        """One small file to each, twice, and back."""
        name = self._make_class(f"files{number}")
        users = [f"f{number}pupil{one:02}" for one in range(_FILES)]
        self.ask("POST", "/users", usernames=users)
        self.ask("POST", f"/groups/{name}/users", users=users)
        place = f"/appliance/classes/{name}"
        self._wait(lambda: self._put(f"{place}/files/lab1/task.txt"))
        self._put(f"{place}/files/lab2/task.txt")
        found: Measured = {}
        for key, kind, folder in (
            ("first", "handouts", "lab1"),
            ("hand_out", "handouts", "lab2"),
            ("collect", "collections", "lab2"),
        ):
            started, cpu = time.monotonic(), self._bench.cpu()
            made = self.ask("POST", f"{place}/{kind}", folder=folder)
            one = f"{place}/{kind}/{made['id']}"
            self._wait(lambda one=one: not self.ask("GET", one)["waiting"])  # type: ignore[misc]
            found[f"{key}_wall"] = time.monotonic() - started
            settle_down()
            found[f"{key}_cpu"] = self._bench.cpu() - cpu
            if failed := self.ask("GET", one)["failed"]:
                raise MachineError(f"{kind}: failed for {failed} of {_FILES}")
        return found

    def _make_class(self, name: str) -> str:
        self.ask("POST", "/appliance/classes", title=name, name=name, teacher=_TEACHER)
        return name

    def _page_cpu(self, visitor: Visitor, path: str) -> float:
        """Of one look, after a first one that compiles its template."""

        def look() -> None:
            page = visitor.get(path)
            if page.status != 200:
                raise MachineError(f"{path} answered {page.status}")

        def look_again() -> None:
            for _ in range(_LOOKS):
                look()

        look()
        return self._hub_cpu(look_again) / _LOOKS

    def _hub_cpu(self, work: Callable[[], object]) -> float:
        before = process_cpu_seconds(self._hub)
        work()
        # What was put off until after the last answer counts too.
        settle_down()
        return process_cpu_seconds(self._hub) - before

    def _wait(self, is_done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _SECONDS
        while not is_done():
            if time.monotonic() > deadline:
                raise MachineError(f"not done in {_SECONDS} s")
            time.sleep(_EACH_SECONDS)

    def _put(self, path: str) -> bool:
        """Upload a small file; False while the class has no folder yet."""
        try:
            self._send("PUT", path, b"Draw a green kite.\n" * 50)
        except urllib.error.HTTPError as err:
            if err.code >= 500:
                return False
            raise
        return True

    def ask(self, method: str, path: str, **body: object) -> Any:
        return self._send(method, path, json.dumps(body).encode() if body else None)

    def _send(self, method: str, path: str, data: bytes | None) -> Any:
        request = urllib.request.Request(
            f"{self._bench.side.address}/hub/api{path}",
            data=data,
            headers={"Authorization": f"token {API_TOKEN}", "Content-Type": "application/json"},
            method=method,
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=_SECONDS) as answer:
            return json.loads(answer.read() or b"null")


def main() -> int:
    """Measure, print, clean up; 1 with a sentence if the host can't do it."""
    command = parser("python3 -m benchmarks.classes", __doc__, rounds=3)
    command.set_defaults(only="ours")
    options = command.parse_args()
    figures = Figures(rows=ROWS)
    about: list[dict[str, Any]] = []

    def measure(stage: Stage, folder: Path) -> None:
        side = stage.ours
        with stage.machine(folder, lambda *_: None) as machine:
            sign_up(machine, side, [_TEACHER])
            about.append(facts(machine, side))
            bench = Bench(machine, side, [_TEACHER])
            classes = Classes(bench)
            classes.ask("PATCH", f"/users/{_TEACHER}", admin=True)
            for round_number in range(options.rounds):
                for work in (classes.files, classes.rosters, classes.pages):
                    say(f"round {round_number + 1} of {options.rounds}: {work.__name__}")
                    figures.add(side.name, work(round_number))

    if not measured(options, measure):
        return 1
    medians = {row: figures.median(row, "ours") for row in ROWS}
    if options.json:
        print(json.dumps({row.key: value for row, value in medians.items()}, indent=2))
        return 0
    for row, value in medians.items():
        print(f"{row.title:62} {number(value):>8} {row.unit}")
    print(f"\nbcrypt cost {about[0]['bcrypt_cost']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
