"""One run of the class: install, sign up, then every column's workloads, round by round."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks import report, workloads
from benchmarks.class_start import chromium, classroom, sequence
from benchmarks.class_start.plot import Curve
from benchmarks.class_start.rows import ROWS, Variant, variants
from benchmarks.console import say
from benchmarks.figures import Figures, percentile
from benchmarks.installed import Stage, sign_up
from benchmarks.machine import Machine, MachineError
from benchmarks.ours import PRELOAD, Ours
from benchmarks.processes import (
    cgroup_cpu_seconds,
    memory_of,
    number_inside,
    parent_of,
    processes_in,
)
from benchmarks.visitor import Visitor
from benchmarks.workloads import MB, Bench, Measured

_AT_ONCE: Final = 20
_CLICKS: Final = 3
_SIGNED_UP_FOR_CLICKS: Final = "clicker"


@dataclass(slots=True)
class Run:
    """What is measured, and what was found so far."""

    stage: Stage
    users: list[str]
    rounds: int
    packages: tuple[str, ...]
    browser: bool
    """Whether single clicks in Chromium are measured too."""
    lab: sequence.Sequence
    figures: Figures = field(default_factory=lambda: Figures(rows=ROWS))
    about: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    curves: dict[str, Curve] = field(default_factory=dict)

    @property
    def columns(self) -> list[Variant]:
        return variants(self.packages, self.stage.only)

    def measure(self, folder: Path) -> None:
        """Do it all in machines below `folder`; figures, facts, notes and curves are filled in."""
        with self.stage.machine(folder, lambda *_: None) as machine:
            self._sign_up(machine)
            for number in range(self.rounds):
                for variant in self.columns:
                    say(f"round {number + 1} of {self.rounds}: {variant.title}")
                    side = next(
                        s for s in self.stage.sides if (s.name == "ours") == variant.is_ours
                    )
                    bench = Bench(machine, side, self.users)
                    self._measure(bench, variant, number)

    def _sign_up(self, machine: Machine) -> None:
        """Sign up, and make the accounts of all but those whose first start is measured."""
        for side in self.stage.sides:
            newcomers = [f"newcomer{n}" for n in range(self.rounds * len(self.columns))]
            everybody = [*self.users, _SIGNED_UP_FOR_CLICKS, *newcomers]
            sign_up(machine, side, everybody)
            self.about[side.name] = report.facts(machine, side)
            if isinstance(side, Ours):
                # The peer's users have accounts already.
                side.settle(machine)
                bench = Bench(machine, side, everybody[: -len(newcomers)])
                workloads.start_at_once(bench, workloads.logged_in(bench, bench.users))
            side.stop(machine, everybody)

    def _measure(self, bench: Bench, variant: Variant, number: int) -> None:
        """All workloads of one column; each begins with a hub that has just been started."""
        machine, users = bench.machine, bench.users
        newcomer = f"newcomer{number * len(self.columns) + self.columns.index(variant)}"
        with _running(bench, [newcomer, *users], variant.settings):
            self.figures.add(variant.name, _first_start(bench, newcomer))
            self.figures.add(variant.name, workloads.one_spawn(bench))
        if len(users) >= _AT_ONCE:
            with _running(bench, users):
                self._starts(bench, variant, "twenty", users[:_AT_ONCE])
        with _running(bench, users):
            self._starts(bench, variant, "class", users)
        if isinstance(bench.side, Ours):
            bench.side.start(machine)
            bench.side.configure(machine, {"servers.start_at_login": ()})
        with _running(bench, users):
            self._visits(bench, variant, "one", users[:1])
        with _running(bench, users):
            self._visits(bench, variant, "all", users)
        if self.browser:
            with _running(bench, [_SIGNED_UP_FOR_CLICKS]):
                self._clicks(bench, variant)

    def _starts(self, bench: Bench, variant: Variant, prefix: str, users: list[str]) -> None:
        say(f"{variant.title}: {len(users)} clicks on start at once")
        started = workloads.start_at_once(bench, workloads.logged_in(bench, users))
        measured = {
            f"{prefix}_answer_p50": percentile(started.walls, 0.5),
            f"{prefix}_answer_p95": percentile(started.walls, 0.95),
            f"{prefix}_answer_last": max(started.walls),
            f"{prefix}_cpu": started.cpu / len(users),
            f"{prefix}_unit_cpu": statistics.median(started.unit_cpus),
        }
        if prefix == "twenty" or len(self.users) < _AT_ONCE:
            everything = memory_of(processes_in(bench.machine.cgroup))
            measured |= {
                "idle_private": statistics.median(one.private for one in started.memories) / MB,
                "idle_pss": statistics.median(one.pss for one in started.memories) / MB,
                "idle_total": everything.pss / MB,
                "idle_anonymous": everything.anonymous / MB,
            }
        self.figures.add(variant.name, measured)

    def _visits(self, bench: Bench, variant: Variant, prefix: str, users: list[str]) -> None:
        say(f"{variant.title}: {len(users)} from the log-in page to the first output")
        cell = classroom.Cell.of(self.packages)
        cpu = bench.cpu()
        visits = classroom.visit_at_once(bench.side, users, self.lab, cell)
        workloads.settle_down()
        spent = bench.cpu() - cpu
        measured: Measured = {}
        for step in classroom.STEPS:
            spread = visits.spread(prefix, step)
            measured |= (
                spread if prefix == "all" else {key: spread[key] for key in list(spread)[:1]}
            )
        if prefix == "all":
            measured |= {
                "all_wall": max(visits.reached("output")),
                "all_cpu": spent / len(users),
                **_memory_in_use(bench),
            }
            self.notes.append(f"{variant.title}: {how_started(bench)}; {visits.remarks()}")
            self.curves[variant.name] = Curve(variant.title, sorted(visits.reached("output")))
        self.figures.add(variant.name, measured)

    def _clicks(self, bench: Bench, variant: Variant) -> None:
        """In fresh profiles: the first time with an empty cache, then with a warm one."""
        user, cell = _SIGNED_UP_FOR_CLICKS, classroom.Cell.of(self.packages)
        seen: dict[str, list[float]] = defaultdict(list)
        for number in range(_CLICKS):
            say(f"{variant.title}: click {number + 1} of {_CLICKS} in Chromium, and its second one")
            with chromium.browser() as context:
                for cache in ("empty", "warm"):
                    page = context.new_page()
                    click = chromium.visit(page, bench.side, user, cell.code, cell.expected)
                    page.close()
                    context.clear_cookies()
                    seen[f"click_{cache}_lab"].append(click.lab)
                    seen[f"click_{cache}_output"].append(click.output)
                    self._stop(bench, user)
        medians = {key: statistics.median(values) for key, values in seen.items()}
        self.figures.add(variant.name, medians)

    def _stop(self, bench: Bench, user: str) -> None:
        """Stop the server and forget what JupyterLab keeps, so that the next visit is as this."""
        visitor = Visitor(bench.side, user)
        visitor.log_in()
        visitor.get("/hub/home")
        visitor.stop_server()
        home = f"~{bench.side.account(user)}"
        bench.machine.run(f"rm -rf {home}/.jupyter/lab/workspaces {home}/*.ipynb")


@contextmanager
def _running(
    bench: Bench, users: list[str], settings: Mapping[str, tuple[str, ...]] | None = None
) -> Iterator[None]:
    """The side runs, with these settings, and stops at the end with everybody's server."""
    bench.side.start(bench.machine)
    workloads.wait_until_healthy(bench.side)
    if settings and isinstance(bench.side, Ours):
        bench.side.configure(bench.machine, settings)
        workloads.wait_until_healthy(bench.side)
    bench.side.settle(bench.machine)
    workloads.settle_down()
    try:
        yield
    finally:
        bench.side.stop(bench.machine, users)


def _first_start(bench: Bench, user: str) -> Measured:
    """Of a user whose account is made in this time, where that is the side's own work."""
    started = workloads.start_at_once(bench, workloads.logged_in(bench, [user]))
    return {"first_wall": started.walls[0]}


def _memory_in_use(bench: Bench) -> Measured:
    """What servers and kernels cost in memory after the first cell."""
    units = [bench.server_cgroup(user) for user in bench.users]
    memories = [memory_of(processes_in(unit)) for unit in units]
    everything = memory_of(processes_in(bench.machine.cgroup))
    measured = {
        "all_unit_cpu": statistics.median(cgroup_cpu_seconds(unit) for unit in units),
        "kernel_private": statistics.median(one.private for one in memories) / MB,
        "kernel_pss": statistics.median(one.pss for one in memories) / MB,
        "kernel_total": everything.pss / MB,
        "kernel_anonymous": everything.anonymous / MB,
    }
    daemons = memory_of(_preload_daemons(bench))
    if daemons.pss:
        measured |= {"preload_pss": daemons.pss / MB, "preload_private": daemons.private / MB}
    return measured


def _preload_daemons(bench: Bench) -> list[int]:
    """Processes of the preload daemons, if there are any."""
    found: list[int] = []
    if isinstance(bench.side, Ours):
        for unit in PRELOAD:
            with suppress(MachineError):
                found += processes_in(bench.machine.unit_cgroup(unit))
    return found


def how_started(bench: Bench) -> str:
    """How many servers and kernels were forked from what was preloaded, and why others weren't.

    A server says so in its unit's status. A kernel that was forked is nobody's child but the first
    process's.
    """
    machine, side = bench.machine, bench.side
    servers: Counter[str] = Counter()
    kernels: Counter[str] = Counter()
    for user in bench.users:
        unit = side.server_unit(user)
        shown = machine.run(f"systemctl show -p StatusText -p MainPID {unit}").splitlines()
        known = dict(line.split("=", 1) for line in shown)
        status, main = known["StatusText"], int(known["MainPID"])
        if not status.endswith(")"):
            status = "(cold)"
        servers[status[status.rindex("(") + 1 : -1]] += 1
        for pid in processes_in(bench.server_cgroup(user)):
            if number_inside(pid) != main:
                forked = parent_of(pid) == machine.leader
                kernels["preloaded" if forked else "cold"] += 1
    return f"servers {_counted(servers)}, kernels {_counted(kernels)}"


def _counted(counts: Counter[str]) -> str:
    return " + ".join(f"{count} {what}" for what, count in counts.most_common()) or "none"
