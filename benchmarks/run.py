"""One run: install both sides, then measure them in turns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks import report, workloads
from benchmarks.console import say
from benchmarks.figures import Figures
from benchmarks.installed import Stage, sign_up
from benchmarks.machine import Machine
from benchmarks.many_users import many_users

_USERS: Final = [f"student{number:02}" for number in range(workloads.CLASS_SIZE + 1)]
_WORKLOADS: Final = (
    workloads.cold_start,
    workloads.idle_memory,
    workloads.log_ins,
    workloads.one_spawn,
    workloads.proxied_requests,
    workloads.class_start,
)


@dataclass(slots=True)
class Run:
    """What is measured, and what was found so far."""

    stage: Stage
    rounds: int
    figures: Figures = field(default_factory=Figures)
    about: dict[str, dict[str, Any]] = field(default_factory=dict)

    def measure(self, folder: Path) -> None:
        """Do it all in machines below `folder`; figures and facts are filled in."""
        with self.stage.machine(folder, self.figures.add) as machine:
            self._measure_in_turns(machine)

    def _measure_in_turns(self, machine: Machine) -> None:
        sides = self.stage.sides
        for side in sides:
            sign_up(machine, side, _USERS)
            self.about[side.name] = report.facts(machine, side)
            side.stop(machine, [])
        for number in range(self.rounds):
            for side in sides:
                bench = workloads.Bench(machine, side, _USERS)
                for work in _WORKLOADS:
                    say(f"round {number + 1} of {self.rounds}: {side.name}, {work.__name__}")
                    self.figures.add(side.name, work(bench))
                side.stop(machine, _USERS)
        for side in sides:
            say(f"{side.name}: ten thousand users")
            self.figures.add(side.name, many_users(workloads.Bench(machine, side, _USERS)))
            side.stop(machine, [])
