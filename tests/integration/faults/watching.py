"""A kernel that counts while faults happen, and a health page that is asked again and again."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from tests.integration.commands import Commands
from tests.integration.health import Allowed
from tests.integration.images import Debian
from tests.integration.installed import CHECKOUT
from tests.integration.preloaded import Preloaded, open_native, unit_of

COUNTS_FOR: Final = "counter"
"""The user whose kernel counts."""
_FOLDER: Final = "/run/counting"


@contextmanager
def open_room(debian: Debian) -> Iterator[Preloaded]:
    """A machine just installed, on this host's kernel; faults may leave words in its journal."""
    with open_native(debian) as room:
        machine = room.machine
        machine.write_file("/run/bootstrap.py", (CHECKOUT / "bootstrap.py").read_bytes())
        machine.allowed = Allowed(errors=[""], failed_units=[""], left_units=[""])
        yield room


@contextmanager
def as_if_limits_bite(machine: Commands) -> Iterator[None]:
    """What the installer looks for; on this host's kernel limits aren't what is tried."""
    file = "/sys/fs/cgroup/cgroup.controllers"
    machine.execute(f"echo cpu memory pids >/run/controllers; mount --bind /run/controllers {file}")
    try:
        yield
    finally:
        machine.execute(f"umount {file}")


@dataclass
class Watched:
    """What a counting kernel told when it was over."""

    numbers: int = 0
    missing: int = 0
    seconds: float = 0.0
    connections: int = 0
    problems: list[str] = field(default_factory=list)


@contextmanager
def counting(room: Preloaded) -> Iterator[Watched]:
    """Count from here on; the numbers are there when the block ends."""
    machine, watched = room.machine, Watched()
    if COUNTS_FOR not in machine.execute("appliance user list"):
        room.add(COUNTS_FOR)
    machine.execute(
        f"systemctl is-active -q {unit_of(COUNTS_FOR)} || appliance server start {COUNTS_FOR}",
        timeout=90,
    )
    words = shlex.join(
        [f"http://127.0.0.1/user/{COUNTS_FOR}", room.token_of(COUNTS_FOR), f"{_FOLDER}/stop"]
    )
    machine.execute(
        f"rm -rf {_FOLDER}; mkdir {_FOLDER}; setsid /opt/appliance/user/bin/python"
        f" /opt/inside/counter.py {words} >{_FOLDER}/said 2>&1 </dev/null &"
    )
    machine.wait_until(f"grep -q counting {_FOLDER}/said", timeout=60)
    time.sleep(1)
    try:
        yield watched
    finally:
        time.sleep(1)
        machine.execute(f"touch {_FOLDER}/stop")
        machine.wait_until(f"tail -n 1 {_FOLDER}/said | grep -qE 'numbers|Error'", timeout=60)
        _, _, said = machine.read_file(f"{_FOLDER}/said").strip().rpartition("\n")
        if said.startswith("{"):
            vars(watched).update(json.loads(said))
        else:
            watched.problems.append(f"the count broke off: {said}")


def seconds_until_healthy(machine: Commands, *, most: float = 30) -> float:
    """How long it takes until the hub answers through the proxy; raises when it doesn't."""
    began = time.monotonic()
    machine.execute(
        f"for try in $(seq {most / 0.05:.0f}); do curl -fs -m 2 -o /dev/null"
        " http://127.0.0.1/hub/health && exit 0; sleep 0.05; done; exit 1",
        timeout=most * 3,
    )
    return time.monotonic() - began
