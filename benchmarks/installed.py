"""A machine with the sides installed and their users signed up, off the network."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import image, workloads
from benchmarks.console import say
from benchmarks.machine import Machine, booted
from benchmarks.ours import Ours
from benchmarks.peer import Peer
from benchmarks.processes import cgroup_cpu_seconds
from benchmarks.side import Side
from benchmarks.visitor import Visitor

_CLONE_NEWNET: Final = 0x40000000


@dataclass(frozen=True, slots=True)
class Stage:
    """What is installed, from which file system, and where the machine's journal goes."""

    base: Path
    journal: Path
    """The machine's journal of the measurement; it tells why a workload failed."""
    peer: Peer
    ours: Ours
    only: str | None = None

    @property
    def sides(self) -> list[Side]:
        """Those that are measured, in the order of a round."""
        both: list[Side] = [self.peer, self.ours]
        return [side for side in both if self.only in {None, side.name}]

    @contextlib.contextmanager
    def machine(
        self, folder: Path, installed: Callable[[str, workloads.Measured], None]
    ) -> Iterator[Machine]:
        """Install all sides in a machine below `folder`, tell their costs, boot it off the network.

        From then on this process is in the machine's network too.
        """
        what = "-".join(
            [*(side.name for side in self.sides), self.peer.installer, *self.ours.packages]
        )
        if not image.has_warm_caches(self.base, what):
            say("filling the package caches by installs that aren't measured (once)")
            with image.copied(self.base, folder / "warming") as root, booted(root) as machine:
                self._install(machine)
                image.carry_caches(root, self.base, what)
        with image.copied(self.base, folder / "machine") as root:
            with booted(root) as machine:
                for name, measured in self._install(machine).items():
                    installed(name, measured)
            _enter_own_network()
            with booted(root) as machine:
                try:
                    for side in self.sides:
                        side.stop(machine, [])
                    yield machine
                finally:
                    journal = machine.run("journalctl -b -o short-precise --no-pager", check=False)
                    self.journal.write_text(journal)

    def _install(self, machine: Machine) -> dict[str, workloads.Measured]:
        """Ours goes first, so that the peer can have the same versions of JupyterLab."""
        measured: dict[str, workloads.Measured] = {}
        for side in reversed(self.sides):
            measured[side.name] = _install_side(machine, side)
            if isinstance(side, Ours):
                self.peer.constraints = side.frozen(machine)
        return measured


def sign_up(machine: Machine, side: Side, users: Sequence[str]) -> None:
    """Start the side and sign up the users; it runs afterwards."""
    say(f"{side.name}: signing up {len(users)} users")
    side.start(machine)
    workloads.wait_until_healthy(side)
    side.prepare(machine, list(users))
    workloads.wait_until_healthy(side)
    for user in users:
        Visitor(side, user).sign_up()


def _install_side(machine: Machine, side: Side) -> workloads.Measured:
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
