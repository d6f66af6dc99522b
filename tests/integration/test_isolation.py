"""`appliance isolation test` on a machine: all is refused; what is weakened is found; exams."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.images import Debian
from tests.integration.installed import installed_image
from tests.integration.machine import Machine
from tests.integration.preloaded import Preloaded, open_native, unit_of

pytestmark = pytest.mark.machine

OFFLINE = "/var/lib/appliance/spawner/offline.json"
WEAK = "/run/systemd/system/appliance-user-.service.d/weak.conf"


@pytest.fixture(scope="module")
def room() -> Iterator[Preloaded]:
    with open_native(Debian.BOOKWORM) as room:
        # Of what is tried, su says so in the journal.
        room.machine.allowed.errors.append("su:auth")
        room.machine.execute("appliance class add Physics --name physics")
        room.machine.wait_until("test -d /srv/appliance/classes/physics")
        yield room


def _test(room: Preloaded, *, status: int) -> dict[str, Any]:
    """What each attempt came to, by its name."""
    text = room.machine.execute(
        f"set +e; appliance isolation test --json; test $? = {status}", timeout=120
    )
    report = json.loads(text)
    assert report["passed"] is (status == 0)
    return {one["name"]: one for one in report["attempts"]}


def test_nothing_can_be_got_at(room: Preloaded) -> None:
    found = _test(room, status=0)
    verdicts = {name: one["verdict"] for name, one in found.items()}
    assert verdicts.pop("loopback: connect") == "open"
    assert set(verdicts.values()) == {"ok"}
    assert len(verdicts) > 55
    for name in ("class: write", "keyring: read", "core dumps: read", "preload kernel: ask",
                 "cookies: log-in", "shared memory"):  # fmt: skip
        assert name in verdicts
    finding = json.loads(room.machine.read_file("/var/lib/appliance/health/isolation.json"))
    assert finding["severity"] == "ok"
    users = room.machine.execute("appliance user list")
    assert "appliance-" not in users
    assert room.machine.execute("systemctl list-units --plain --no-legend 'appliance-user-*'") == ""


def test_what_somebody_weakened_is_found(room: Preloaded) -> None:
    lines = ["[Service]", "ProtectProc=default", "ProtectHome=no", "PrivateTmp=no"]
    room.machine.write_file(WEAK, "\n".join([*lines, "NoNewPrivileges=no", ""]).encode())
    room.machine.execute("systemctl daemon-reload")
    found = _test(room, status=1)
    failed = {name for name, one in found.items() if one["verdict"] == "failed"}
    assert {"processes: see", "homes", "temporary folders"} <= failed
    finding = json.loads(room.machine.read_file("/var/lib/appliance/health/isolation.json"))
    assert finding["severity"] == "failed"
    assert "processes: see" in finding["details"]["failed"]
    room.machine.execute(f"rm {WEAK}; systemctl daemon-reload")


SHARED = """
import multiprocessing, os, shutil
from multiprocessing import shared_memory
block = shared_memory.SharedMemory(create=True, size=2**20)
block.buf[:5] = b"hello"
other = shared_memory.SharedMemory(block.name)
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(abs, [-3, 4]), bytes(other.buf[:5]))
other.close()
block.close()
block.unlink()
print(shutil.disk_usage("/dev/shm").total)
with open("/dev/shm/too-much", "wb") as file:
    try:
        os.posix_fallocate(file.fileno(), 0, 2**40)
    except OSError as error:
        print(error.strerror)
os.unlink("/dev/shm/too-much")
"""


def test_shared_memory_is_there_and_bounded(room: Preloaded) -> None:
    room.add("zoe")
    room.start("zoe")
    said = room.run("zoe", room.start_kernel("zoe"), SHARED).splitlines()
    assert said[0] == "[3, 4] b'hello'"
    limit = int(room.show(unit_of("zoe"), "MemoryMax"))
    assert limit // 2 - 2**20 <= int(said[1]) <= limit // 2
    assert said[2] == "No space left on device"
    room.stop("zoe")


REACH = """
import socket
try:
    socket.create_connection(("127.0.0.1", 22), 3).close()
    print("reached")
except OSError as error:
    print(type(error).__name__)
"""
HUB = "curl -sf --unix-socket /run/appliance/admin.sock -X {} http://hub/hub/api/{} -d '{}'"


def _becomes(room: Preloaded, kernel: str, *, reached: bool) -> None:
    """Wait until the student's program reaches the machine's own port, or no longer does."""
    deadline = time.monotonic() + 30
    while (room.run("emmy", kernel, REACH).strip() == "reached") is not reached:
        assert time.monotonic() < deadline
        time.sleep(1)


def test_an_exam_takes_the_network_and_gives_it_back(room: Preloaded) -> None:
    check_exam(room)


@pytest.mark.long
def test_an_exam_where_linux_filters_packets_by_unit() -> None:
    """Those whose servers run lose their network at once, and nobody has to start anew."""
    with Machine(Debian.BOOKWORM, image=installed_image(Debian.BOOKWORM).image) as machine:
        room = Preloaded(machine)
        room.prepare()
        check_exam(room)
        assert filters_packets(room)
        check_window(room)
        # And what lies in shared memory is the server's memory.
        room.start("emmy")
        before = int(room.show(unit_of("emmy"), "MemoryCurrent"))
        size = 80 * 2**20
        room.run(
            "emmy", room.start_kernel("emmy"), f"open('/dev/shm/x', 'wb').write(bytes({size}))"
        )
        assert int(room.show(unit_of("emmy"), "MemoryCurrent")) > before + size
        room.stop("emmy")


def filters_packets(room: Preloaded) -> bool:
    return room.show("appliance-spawner.service", "IPIngressBytes").isdecimal()


def check_exam(room: Preloaded) -> None:
    execute = room.machine.execute
    room.add("emmy")
    execute("appliance class add Algebra --name algebra")
    execute(HUB.format("POST", "groups/algebra/users", json.dumps({"users": ["emmy"]})))
    room.start("emmy")
    kernel = room.start_kernel("emmy")
    _becomes(room, kernel, reached=True)
    execute(
        "appliance class exam algebra --until 23:59 || appliance class exam algebra --until 1:00"
    )
    time.sleep(6)
    exam = json.loads(execute("appliance class exam algebra --json"))
    filters = filters_packets(room)
    assert exam["waits_for"] == ([] if filters else ["emmy"])
    if not filters:
        room.stop("emmy")
        room.start("emmy")
        kernel = room.start_kernel("emmy")
    _becomes(room, kernel, reached=False)
    # Neither the hub's end nor the daemon's lets anybody out; and who starts meanwhile is in.
    execute("systemctl stop appliance-hub.service; systemctl restart appliance-spawner.service")
    execute("systemctl start appliance-hub.service")
    assert room.run("emmy", kernel, REACH).strip() != "reached"
    room.stop("emmy")
    # The daemon knows it by itself: the hub tells it anew only now and then.
    execute("systemctl restart appliance-spawner.service")
    room.start("emmy")
    kernel = room.start_kernel("emmy")
    assert room.run("emmy", kernel, REACH).strip() != "reached"
    execute("appliance class exam algebra --end")
    if not filters:
        room.stop("emmy")
        room.start("emmy")
        kernel = room.start_kernel("emmy")
    _becomes(room, kernel, reached=True)
    room.stop("emmy")


def check_window(room: Preloaded) -> None:
    """An exam that begins and ends by itself, while the server runs."""
    execute = room.machine.execute
    room.start("emmy")
    kernel = room.start_kernel("emmy")
    now = datetime.now(UTC)
    window = {"begins": now + timedelta(seconds=12), "ends": now + timedelta(seconds=40)}
    body = json.dumps({name: moment.isoformat() for name, moment in window.items()})
    said = execute(HUB.format("PUT", "appliance/classes/algebra/exam", body))
    assert json.loads(said)["is_now"] is False
    offline = f"grep -q emmy {OFFLINE}"
    time.sleep(4)
    room.machine.fail(offline)
    _becomes(room, kernel, reached=True)
    room.machine.wait_until(offline, timeout=25)
    _becomes(room, kernel, reached=False)
    room.machine.wait_until(f"! {offline}", timeout=45)
    _becomes(room, kernel, reached=True)
    room.stop("emmy")
