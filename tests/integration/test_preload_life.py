"""The life of a preloaded process in its unit: limits, ends, restarts, and a daemon that is gone.

This kernel, User-Mode Linux's, has all controllers of cgroup v2, and does not show system call
filters: servers start cold on it. So limits are tried with units without filters, in which a kernel
is forked whose start-up file does what a test wants.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from tests.integration.images import Debian
from tests.integration.installed import installed_image
from tests.integration.machine import Machine
from tests.integration.preloaded import Preloaded, unit_of

pytestmark = pytest.mark.machine

UNIT: Final = unit_of("life")
DAEMON: Final = "appliance-preload-kernel.service"
ACCOUNTS: Final = 20
HUB: Final = "appliance-hub.service appliance-hub.socket appliance-hub-admin.socket"
# Every start-up file begins so: it says who it is, and that the unit is ready.
BEGIN: Final = """\
import os, socket, time
how = "cold" if os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid()) else "preloaded"
open(os.environ["HOME"] + "/how", "w").write(how)
address = os.environ["NOTIFY_SOCKET"].replace("@", chr(0), 1)
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", address)
"""


@dataclass(frozen=True)
class Life:
    """Units in which a forked kernel does as it is told."""

    room: Preloaded
    account: str
    """A new one for each test, so that the daemon doesn't remember how often it was asked."""

    @property
    def home(self) -> str:
        return f"/srv/{self.account}"

    def start(self, deed: str, properties: str = "") -> None:
        """Start a unit that does `deed` in Python when it is ready."""
        machine, python = self.room.machine, self.room.python
        machine.write_file(f"{self.home}/.ipython/profile_default/startup/deed.py", BEGIN + deed)
        machine.execute(f"chown -R {self.account}: {self.home}; rm -f {self.home}/how")
        client = machine.execute(
            f"{python} -I -c 'import appliance.preload.client as c; print(c.__file__)'"
        ).strip()
        cold = f"{python} -m ipykernel_launcher -f {self.home}/kernel.json"
        machine.attempt(
            f"systemctl reset-failed {UNIT}; systemd-run --quiet --unit={UNIT}"
            " --slice=appliance-users.slice -p Type=notify -p NotifyAccess=main"
            f" -p User={self.account}"
            f" -p SupplementaryGroups=appliance-users -p CapabilityBoundingSet= {properties}"
            f" -p WorkingDirectory={self.home} -E HOME={self.home} -E LANG=C.UTF-8 {python} -I -S"
            f" {shlex.quote(client)} /run/appliance/preload/kernel.sock kernel -- {cold}",
            timeout=90,
        )

    def how(self) -> str:
        """Whether the process was `preloaded` or started `cold`."""
        return self.room.machine.wait_until(f"cat {self.home}/how", timeout=60).strip()

    def show(self, name: str) -> str:
        return self.room.show(UNIT, name)

    def wait_for_end(self) -> None:
        self.room.machine.wait_until(
            f"systemctl show -P ActiveState {UNIT} | grep -E 'failed|inactive'", timeout=60
        )

    def stop(self) -> None:
        self.room.machine.attempt(f"systemctl stop {UNIT}; systemctl reset-failed {UNIT}")


@pytest.fixture(scope="module")
def room() -> Iterator[Preloaded]:
    with Machine(Debian.BOOKWORM, image=installed_image(Debian.BOOKWORM).image) as machine:
        room = Preloaded(machine)
        room.prepare()
        room.start_daemons()
        numbers = " ".join(str(number) for number in range(ACCOUNTS))
        machine.execute(
            f"for n in {numbers}; do"
            " useradd -U -G appliance-users -d /srv/life$n -m -k /var/empty life$n; done"
        )
        # Ends that a test wants.
        machine.allowed.errors += ["appliance-user-", "appliance-preload"]
        yield room


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return iter(range(ACCOUNTS))


@pytest.fixture
def life(room: Preloaded, numbers: Iterator[int]) -> Iterator[Life]:
    life = Life(room, f"life{next(numbers)}")
    # The hub would stop a unit that it doesn't know.
    room.machine.execute(f"systemctl stop {HUB}")
    yield life
    life.stop()


def test_where_filters_cannot_be_read_a_server_starts_cold_and_works(room: Preloaded) -> None:
    room.add("zoe")
    status = room.start("zoe")
    assert status == "Serving /user/zoe/ (cold: this kernel does not show system call filters)"
    kernel = room.start_kernel("zoe")
    assert room.run("zoe", kernel, "print(6 * 7)") == "42\n"
    room.stop("zoe")


@pytest.mark.parametrize(
    ("deed", "properties", "result", "status"),
    [
        ("os._exit(7)", "", "exit-code", "7"),
        ("os.kill(os.getpid(), 11)", "-p LimitCORE=0", "signal", "11"),
        ("x = [bytearray(b'x' * 2**20) for _ in range(900)]", "-p MemoryMax=150M", "oom-kill", "9"),
    ],
    ids=["exits", "crashes", "takes too much memory"],
)
def test_systemd_sees_how_it_ends(
    deed: str, properties: str, result: str, status: str, life: Life
) -> None:
    life.start(deed, properties)
    life.wait_for_end()
    assert life.how() == "preloaded"
    assert (life.show("Result"), life.show("ExecMainStatus")) == (result, status)


def test_one_that_ignores_sigterm_is_killed_and_leaves_nothing(life: Life) -> None:
    life.start(
        "import signal, subprocess; signal.signal(15, signal.SIG_IGN)\n"
        "subprocess.Popen(['sleep', '1000']); time.sleep(1000)",
        "-p TimeoutStopSec=3",
    )
    assert life.how() == "preloaded"
    started = time.monotonic()
    life.room.machine.attempt(f"systemctl stop {UNIT}")
    assert 2 < time.monotonic() - started < 15
    assert life.room.machine.attempt(f"pgrep -u {life.account}").code == 1


def test_it_is_throttled_accounted_and_started_again(life: Life) -> None:
    life.start(
        "end = time.time() + 3\nwhile time.time() < end: pass\nos._exit(1)",
        "-p CPUQuota=20% -p Restart=on-failure -p RestartSec=100ms -p MemoryMax=400M",
    )
    assert life.how() == "preloaded"
    group = f"/sys/fs/cgroup{life.show('ControlGroup')}"
    memory = int(life.show("MemoryCurrent"))
    assert 2 * 2**20 < memory < 300 * 2**20
    life.room.machine.wait_until(f"grep -E 'nr_throttled [1-9]' {group}/cpu.stat", timeout=20)
    life.room.machine.wait_until(f"test $(systemctl show -P NRestarts {UNIT}) -gt 0", timeout=60)


def test_the_daemon_is_no_way_around_the_limit_of_tasks(life: Life) -> None:
    command = (
        f"systemd-run --quiet --collect --wait --pipe --unit={UNIT} --slice=appliance-users.slice"
        f" -p User={life.account} -p SupplementaryGroups=appliance-users -p CapabilityBoundingSet="
        f" -p TasksMax=10 -p KillSignal=SIGKILL -p WorkingDirectory={life.home} -E HOME={life.home}"
        f" -E LANG=C.UTF-8 -E PAUSE=0.3 -E KERNEL_PYTHON={life.room.python}"
        " /usr/bin/python3 -I /opt/inside/attack.py evading-tasks-max"
    )
    life.room.machine.execute(f"rm -f {life.home}/.ipython/profile_default/startup/deed.py")
    # What kernels without threads complain of is there, too.
    words = [line.split(maxsplit=1) for line in life.room.machine.execute(command).splitlines()]
    said = {line[0]: line[1] for line in words if len(line) == 2}
    assert "'NO'" in said["asked"]
    assert said["limit"] == "10"
    assert int(said["tasks"]) <= 10


@pytest.mark.parametrize("upset", ["restart", "kill --signal=KILL"])
def test_it_does_not_notice_what_becomes_of_the_daemon(upset: str, life: Life) -> None:
    life.start("time.sleep(1000)")
    assert life.how() == "preloaded"
    pid, machine = life.show("MainPID"), life.room.machine
    machine.execute(f"systemctl {upset} {DAEMON}", timeout=90)
    machine.wait_until(f"systemctl is-active {DAEMON}", timeout=90)
    assert (life.show("ActiveState"), life.show("MainPID")) == ("active", pid)
    life.stop()
    life.start("time.sleep(1000)")
    assert life.how() == "preloaded"


def test_other_packages_start_cold_until_the_daemon_has_loaded_them(life: Life) -> None:
    machine = life.room.machine
    site = machine.execute(
        f"dirname $({life.room.python} -I -c 'import tornado; print(tornado.__path__[0])')"
    ).strip()
    life.start("time.sleep(1000)")
    pid, daemon = life.show("MainPID"), life.room.daemon("kernel")
    machine.execute(f"mkdir {site}/newer-1.0.dist-info")
    assert life.show("MainPID") == pid
    life.stop()
    life.start("time.sleep(1000)")
    assert life.how() == "cold"
    machine.wait_until(
        f"systemctl is-active {DAEMON} && test $(systemctl show -P MainPID {DAEMON}) != {daemon}",
        timeout=90,
    )
    life.stop()
    life.start("time.sleep(1000)")
    assert life.how() == "preloaded"


@pytest.mark.parametrize("how", ["stop", "kill --signal=STOP"])
def test_without_an_answer_it_starts_cold_soon(how: str, life: Life) -> None:
    machine = life.room.machine
    machine.execute(f"systemctl {how} {DAEMON}")
    life.start("time.sleep(1000)")
    assert life.how() == "cold"
    assert life.show("ActiveState") == "active"
    said = machine.journal(UNIT, lines=50)
    assert "starting without preloading: the preload daemon" in said
    machine.execute(f"systemctl kill --signal=CONT {DAEMON}; systemctl start {DAEMON}", timeout=90)
