"""The whole test: two accounts come in, one tries all there is, root judges, and both leave."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any, Final

from appliance.client.hub import HubClient
from appliance.config.rendered import read_in_force
from appliance.errors import ApplianceError, NotFound
from appliance.findings import Finding, Severity, write_finding
from appliance.isolation.attempts import Attempt, Said, Verdict, attempts, controls
from appliance.isolation.outside import looks
from appliance.isolation.scene import Scene, set_up
from appliance.isolation.student import Student
from appliance.names import Username
from appliance.places import Places

TOPIC: Final = "isolation"
_STOP_SECONDS: Final = 20.0

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the report."""

    name: str
    what: str
    expected: str
    happened: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Report:
    """All of it."""

    lines: tuple[Line, ...]

    @property
    def failed(self) -> list[Line]:
        return [line for line in self.lines if line.verdict is Verdict.FAILED]

    def as_json(self) -> dict[str, Any]:
        return {"passed": not self.failed, "attempts": [asdict(line) for line in self.lines]}


def examine(places: Places, *, tell: Tell) -> Report:
    """Try everything; raises ApplianceError if it can't be tried."""
    hub = HubClient.of(places, timeout=30)
    tell("starting two servers")
    with _students(places, hub) as (attacker, neighbour):
        attacker.open()
        neighbour.open()
        scene = set_up(places, attacker, neighbour)
        tell("trying what a server can get at")
        wanted = list(attempts(scene))
        said = _try(attacker, scene, {one.name: list(one.tried) for one in wanted})
        lines = [_judged(scene, one, said[one.name]) for one in wanted]
        for look in looks():
            wrong = look.see(scene)
            verdict = Verdict.FAILED if wrong else Verdict.OK
            lines.append(Line(look.name, look.what, look.expected, wrong or "so it is", verdict))
        _tidy_up(scene, attacker, neighbour)
    return Report(tuple(lines))


def _tidy_up(scene: Scene, *students: Student) -> None:
    """Let both remove what was written in their homes; the rest goes with their servers."""
    pattern = f"{scene.mark}*"
    code = f"from pathlib import Path\nstr([one.unlink() for one in Path.home().glob({pattern!r})])"
    for student in students:
        student.run(code)


def note(places: Places, report: Report) -> None:
    """Keep the outcome for the hub's pages, the doctor and the notices; raises OSError."""
    failed = report.failed
    write_finding(
        places.health,
        Finding(
            TOPIC,
            Severity.FAILED if failed else Severity.OK,
            f"{len(failed)} of {len(report.lines)} attempts on isolation succeeded"
            if failed
            else "servers are kept from each other and from the machine",
            why="; ".join(f"{line.what}: {line.happened}" for line in failed[:3]),
            mend="sudo appliance isolation test; look for drop-ins of units in /etc/systemd/system"
            if failed
            else "",
            details={"failed": [line.name for line in failed]},
        ),
    )


def _judged(scene: Scene, attempt: Attempt, said: Said) -> Line:
    wrong = attempt.judge(scene, said)
    if wrong and not attempt.is_open:
        return Line(attempt.name, attempt.what, attempt.expected, wrong, Verdict.FAILED)
    verdict = Verdict.OPEN if wrong else Verdict.OK
    happened = wrong or (str(said) or "nothing" if said.done else f"refused ({said})")
    return Line(attempt.name, attempt.what, attempt.expected, happened, verdict)


def _try(student: Student, scene: Scene, tries: dict[str, list[Any]]) -> dict[str, Said]:
    """Let the student's kernel try; raises ApplianceError if it can't even do what it may."""
    program = resources.files("appliance.isolation").joinpath("probe.py").read_text()
    allowed = controls(scene)
    text = json.dumps({**allowed, **tries})
    found = json.loads(student.run(f"{program}\nrun(json.loads({text!r}))\n"))
    said = {
        name: Said(bool(done), str(what), str(error)) for name, (done, what, error) in found.items()
    }
    for name in allowed:
        if not said[name].done:
            raise _worthless(name, str(said[name]))
    if said["be the process that root sees"].text != str(scene.attacker.kernel_pid):
        raise _worthless("be the process that root sees", "it is another")
    return said


def _worthless(name: str, why: str) -> ApplianceError:
    return ApplianceError(
        "cannot test the isolation",
        why=f"the program that tries can't even {name}: {why}",
        mend="sudo appliance doctor",
    )


@contextmanager
def _students(places: Places, hub: HubClient) -> Iterator[tuple[Student, Student]]:
    """The two accounts, open only meanwhile."""
    config = read_in_force(places)
    opened: list[Student] = []
    try:
        for body in ({}, {"neighbour": True}):
            found = hub.request("POST", "/appliance/check-user", body)
            name = Username(str(found["name"]))
            opened.append(Student(hub, config, name, str(found["password"])))
        yield opened[0], opened[1]
    finally:
        for student in opened:
            with suppress(NotFound):
                hub.stop_server(student.server)
        hub.request("DELETE", "/appliance/check-user")
        until = time.monotonic() + _STOP_SECONDS
        while time.monotonic() < until and any(hub.server_of(one.server) for one in opened):
            time.sleep(0.1)
