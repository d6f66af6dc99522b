"""What holds for preloaded servers on Debian's own kernel: `python -m tests.integration.qemu`.

The tests of confinement are those of test_preload_confinement.py. Beyond them, one server that was
started through the preload daemon, with the whole unit, shows that its filters of system calls are
copied and that its limits bite. pytest doesn't collect this file by itself; qemu.py says why.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator

import pytest

from tests.integration.images import Debian
from tests.integration.installed import installed_image
from tests.integration.preloaded import Preloaded, unit_of
from tests.integration.qemu import QemuMachine
from tests.integration.test_preload_confinement import (
    Pictures,
    take_pictures,
    test_a_kernels_process_is_the_same,
    test_a_servers_process_is_the_same,
    test_it_may_do_the_same,
    test_its_variables_are_the_same,
    test_nothing_but_the_way_to_the_daemons_differs_from_a_server_without_preloading,
    test_the_unit_is_the_same_to_systemd,
    test_they_were_started_as_this_test_wants,
)

__all__ = [
    "test_a_kernels_process_is_the_same",
    "test_a_servers_process_is_the_same",
    "test_it_may_do_the_same",
    "test_its_variables_are_the_same",
    "test_nothing_but_the_way_to_the_daemons_differs_from_a_server_without_preloading",
    "test_the_unit_is_the_same_to_systemd",
    "test_they_were_started_as_this_test_wants",
]

pytestmark = pytest.mark.machine

USER = "eve"
UNIT = unit_of(USER)
CONFINED = ("NoNewPrivs", "CapBnd", "Seccomp", "Seccomp_filters")
SET_USER_ID = """
import os
open("mine", "w").close()
try:
    os.chmod("mine", 0o4755)
except OSError as error:
    print(error.strerror)
"""
# In a child that has the kernel's limits and no program of its own.
EAT = """
import os
child = os.fork()
if not child:
    hoard = []
    while True:
        hoard.append(bytearray(b"x" * 2**20))
print(os.waitpid(child, 0)[1])
"""
THREADS = """
import threading
stop, threads = threading.Event(), []
try:
    while len(threads) < 1000:
        threads.append(threading.Thread(target=stop.wait))
        threads[-1].start()
except RuntimeError as error:
    print(error)
print(open("GROUP/pids.current").read(), end="")
stop.set()
"""
BURN = """
import time
until = time.monotonic() + 6
while time.monotonic() < until:
    pass
"""


@pytest.fixture(scope="module")
def room() -> Iterator[Preloaded]:
    installed = installed_image(Debian.BOOKWORM)
    with QemuMachine(Debian.BOOKWORM, image=installed.image, memory="2G") as machine:
        made = Preloaded(machine)
        made.prepare()
        tell("Linux", machine.execute("uname --kernel-release --kernel-version").strip())
        yield made
        made.stop_all()


@pytest.fixture(scope="module")
def pictures(room: Preloaded) -> Pictures:
    taken = take_pictures(room)
    for name in ("servers", "kernels"):
        room.machine.execute(f"appliance config unset preload.{name}", timeout=90)
    room.start_daemons()
    for picture in (taken.preloaded, taken.cold):
        tell("server", picture.status)
        for which, seen in (("server", picture.server), ("kernel", picture.kernel)):
            tell(f"  its {which}", _confined(seen["status"]))
        tell("  set-user-ID", picture.in_kernel["tried"]["make a program set-user-ID"])
    return taken


@pytest.fixture(scope="module")
def kernel(room: Preloaded) -> Iterator[str]:
    """A kernel of a preloaded server, which is stopped afterwards."""
    room.start_daemons()
    room.add(USER)
    assert room.start(USER).endswith("(preloaded)")
    yield room.start_kernel(USER)
    room.stop(USER)


def tell(what: str, value: object) -> None:
    """For the eyes of who runs this."""
    sys.stderr.write(f"  {what}: {value}\n")


def _confined(status: list[str]) -> list[str]:
    wanted = (line.partition(":\t") for line in status)
    return [f"{name} {value}" for name, _, value in wanted if name in CONFINED]


def test_the_server_whose_limits_are_tried_has_its_filters(kernel: str, room: Preloaded) -> None:
    status = room.run(USER, kernel, "print(open('/proc/self/status').read())").splitlines()
    tell("kernel", _confined(status))
    assert "PPid:\t1" in status
    assert "Seccomp:\t2" in status
    filters = int(next(line for line in status if line.startswith("Seccomp_filters")).split()[1])
    assert filters > 1
    assert room.run(USER, kernel, SET_USER_ID) == "Operation not permitted\n"


def test_what_takes_too_much_memory_is_killed(kernel: str, room: Preloaded) -> None:
    room.machine.execute("appliance config set limits.memory 400M", timeout=90)
    tell("memory.max", room.machine.read_file(_group(room, "memory.max")).strip())
    tell("status of what took too much", status := room.run(USER, kernel, EAT).strip())
    events = room.machine.read_file(_group(room, "memory.events"))
    tell("memory.events", events.split())
    assert status == "9"
    assert "oom_kill 1\n" in events
    assert room.show(UNIT, "ActiveState") == "active"


def test_there_are_no_more_tasks_than_allowed(kernel: str, room: Preloaded) -> None:
    room.machine.execute("appliance config set limits.tasks 100", timeout=90)
    told = room.run(USER, kernel, THREADS.replace("GROUP", _group(room))).splitlines()
    tell("threads without end", told)
    assert told == ["can't start new thread", "100"]


def test_processor_time_is_as_much_as_allowed(kernel: str, room: Preloaded) -> None:
    room.machine.execute("appliance config set limits.cpu 0.25", timeout=90)
    before = _processor(room)
    room.run(USER, kernel, BURN)
    used, periods, throttled = (
        now - then for now, then in zip(_processor(room), before, strict=True)
    )
    tell("seconds of processor, in seconds", f"{used / 1e6:.2f} in {periods / 10}")
    tell("throttled periods", f"{throttled} of {periods}")
    for name in ("cpu", "tasks", "memory"):
        room.machine.execute(f"appliance config unset limits.{name}", timeout=90)
    # A period has 100 ms. What a thread has begun with the end of one it may finish.
    assert used / 1e6 < periods / 10 * 0.25 * 1.2
    assert throttled > periods / 2


def test_a_server_out_of_memory_ends_as_any_other(kernel: str, room: Preloaded) -> None:
    room.machine.execute(
        f"systemctl set-property --runtime {UNIT} MemoryMax=5M MemoryHigh=infinity"
    )
    deadline = time.monotonic() + 60
    while room.show(UNIT, "ActiveState") == "active":
        assert time.monotonic() < deadline
        time.sleep(1)
    told = room.machine.journal("appliance-spawner", lines=3)
    tell("the spawner", told.splitlines()[-1])
    assert "more memory than its limit" in told


def test_starts_are_counted(kernel: str, room: Preloaded) -> None:
    said = json.loads(room.machine.execute("appliance status --json"))["preload"]
    tell("appliance status", said)
    log = room.machine.execute("journalctl --no-pager -o cat -u appliance-hub --grep 'started in'")
    tell("the hub", log.splitlines())
    assert said["servers"] == said["kernels"] == {"state": "ready", "why": ""}
    assert said["starts"]["preloaded"] >= 1
    assert re.search(rf"server {USER} started in [\d.]+ s, preloaded$", log, re.MULTILINE)


def _group(room: Preloaded, file: str = "") -> str:
    """The unit's cgroup, or a file of it."""
    return f"/sys/fs/cgroup{room.show(UNIT, 'ControlGroup')}/{file}".rstrip("/")


def _processor(room: Preloaded) -> list[int]:
    """Microseconds used, periods, and those in which it had to wait."""
    lines = room.machine.read_file(_group(room, "cpu.stat")).splitlines()
    found = dict(line.split() for line in lines)
    return [int(found[name]) for name in ("usage_usec", "nr_periods", "nr_throttled")]
