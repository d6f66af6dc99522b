"""One run: warm caches, install both sides, then measure them in turns, off the network."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks import image, report, workloads
from benchmarks.console import say
from benchmarks.figures import Figures
from benchmarks.machine import Machine, booted
from benchmarks.many_users import many_users
from benchmarks.ours import Ours
from benchmarks.peer import Peer
from benchmarks.processes import cgroup_cpu_seconds
from benchmarks.side import Side
from benchmarks.visitor import Visitor

_CLONE_NEWNET: Final = 0x40000000
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

    base: Path
    rounds: int
    journal: Path
    """Where the machine's journal of the measurement is kept; it tells why a workload failed."""
    only: str | None = None
    peer: Peer = field(default_factory=Peer)
    figures: Figures = field(default_factory=Figures)
    about: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def sides(self) -> list[Side]:
        """Those that are measured, in the order of a round."""
        both: list[Side] = [self.peer, Ours()]
        return [side for side in both if self.only in {None, side.name}]

    def measure(self, folder: Path) -> None:
        """Do it all in machines below `folder`; figures and facts are filled in."""
        what = "-".join([*(side.name for side in self.sides), self.peer.installer])
        if not image.has_warm_caches(self.base, what):
            say("filling the package caches by installs that aren't measured (once)")
            with image.copied(self.base, folder / "warming") as root, booted(root) as machine:
                self._install(machine)
                image.carry_caches(root, self.base, what)
        with image.copied(self.base, folder / "machine") as root:
            with booted(root) as machine:
                for side, measured in self._install(machine).items():
                    self.figures.add(side, measured)
            _enter_own_network()
            with booted(root) as machine:
                try:
                    self._measure_in_turns(machine)
                finally:
                    journal = machine.run("journalctl -b -o short-precise --no-pager", check=False)
                    self.journal.write_text(journal)

    def _install(self, machine: Machine) -> dict[str, dict[str, float]]:
        """Ours goes first, so that the peer can have the same versions of JupyterLab."""
        measured: dict[str, dict[str, float]] = {}
        for side in reversed(self.sides):
            measured[side.name] = _install_side(machine, side)
            if isinstance(side, Ours):
                self.peer.constraints = side.frozen(machine)
        return measured

    def _measure_in_turns(self, machine: Machine) -> None:
        for side in self.sides:
            side.stop(machine, [])
        for side in self.sides:
            say(f"{side.name}: signing up {len(_USERS)} users")
            side.start(machine)
            workloads.wait_until_healthy(side)
            side.prepare(machine, _USERS)
            workloads.wait_until_healthy(side)
            for user in _USERS:
                Visitor(side, user).sign_up()
            self.about[side.name] = report.facts(machine, side)
            side.stop(machine, [])
        for number in range(self.rounds):
            for side in self.sides:
                bench = workloads.Bench(machine, side, _USERS)
                for work in _WORKLOADS:
                    say(f"round {number + 1} of {self.rounds}: {side.name}, {work.__name__}")
                    self.figures.add(side.name, work(bench))
                side.stop(machine, _USERS)
        for side in self.sides:
            say(f"{side.name}: ten thousand users")
            self.figures.add(side.name, many_users(workloads.Bench(machine, side, _USERS)))
            side.stop(machine, [])


def _install_side(machine: Machine, side: Side) -> dict[str, float]:
    """Install and time it until the health page answers; then stop it."""
    say(f"installing {side.name}")
    started, cpu = time.monotonic(), _install_cpu(machine)
    side.install(machine)
    workloads.wait_until_healthy(side)
    measured = {
        "install_wall": time.monotonic() - started,
        "install_cpu": _install_cpu(machine) - cpu,
    }
    side.stop(machine, [])
    return measured


def _install_cpu(machine: Machine) -> float:
    """Of the machine and of the commands run in it, which are children of this process."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return cgroup_cpu_seconds(machine.cgroup) + children.ru_utime + children.ru_stime


def _enter_own_network() -> None:
    """Leave the host's network for one with a loopback interface alone.

    No request of a workload can leave the machine, and no port of the host is in the way.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=10)
