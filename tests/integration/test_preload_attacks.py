"""Users who ask the preload daemons for more than is theirs; inside/attack.py is what they run.

Whatever they try: nothing is forked outside of the unit of whoever asked, as another user, or less
confined, and the daemon goes on serving the others.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from tests.integration.images import Debian
from tests.integration.preloaded import Preloaded, open_native, unit_of

pytestmark = pytest.mark.machine

UNIT: Final = unit_of("mallory")
ACCOUNTS: Final = 60
SLICE: Final = "appliance-users.slice"
NOT_A_SERVER: Final = "NO it does not belong to the unit of a user's server"

# What keeps a program of the unit from gaining rights: as for servers, with filters; and without,
# as where an admin's own servers may use sudo.
CONFINED: Final = (
    "-p NoNewPrivileges=yes -p CapabilityBoundingSet= -p RestrictSUIDSGID=yes"
    " -p LockPersonality=yes"
)
SUDO: Final = "-p CapabilityBoundingSet='CAP_SETUID CAP_SETGID CAP_SETPCAP CAP_SYS_RESOURCE'"
LOOSE: Final = "-p CapabilityBoundingSet='CAP_SETUID CAP_SETGID'"


@dataclass(frozen=True)
class Mallory:
    """Who attacks, on a machine where zoe just wants to work."""

    room: Preloaded
    account: str
    """A new one for each test, so that the daemon doesn't remember how often it was asked."""

    def attack(
        self, name: str, how: str = CONFINED, *, unit: str = UNIT, into: str = SLICE,
        account: str | None = None, **variables: str,
    ) -> list[str]:  # fmt: skip
        """Run an attack as the first process of a unit to its end; the lines it prints."""
        command = self.command(name, how, unit=unit, into=into, account=account, **variables)
        return self.room.machine.execute(command).splitlines()

    def command(
        self, name: str, how: str = CONFINED, *, unit: str = UNIT, into: str = SLICE,
        account: str | None = None, wait: str = "--wait --pipe", **variables: str,
    ) -> str:  # fmt: skip
        variables |= {"KERNEL_PYTHON": self.room.python, "LANG": "C.UTF-8", "HOME": "/tmp"}
        settings = " ".join(f"-E {key}={shlex.quote(value)}" for key, value in variables.items())
        user = self.account if account is None else account
        owner = f"-p User={user} -p SupplementaryGroups=appliance-users" if user else ""
        return (
            f"systemd-run --quiet --collect {wait} --unit={unit} --slice={into} {owner} {how}"
            f" -p WorkingDirectory=/tmp -p PrivateTmp=yes -p KillSignal=SIGKILL {settings}"
            f" /usr/bin/python3 -I /opt/inside/attack.py {name}"
        )

    def attack_while_the_daemon_waits(self, name: str, how: str = CONFINED) -> list[str]:
        """Let the attacker change before the daemon looks at who asked."""
        machine = self.room.machine
        output = f"/tmp/{name}.txt"
        redirect = f"-p StandardOutput=file:{output} -p StandardError=file:{output}"
        daemon = self.room.daemon("kernel")
        machine.execute(f"rm -f {output}; kill -STOP {daemon}")
        try:
            machine.execute(self.command(name, f"{how} {redirect}", wait="--no-block"))
            machine.wait_until(f"grep -q '^asked by' {output}", timeout=10)
            time.sleep(0.5)
        finally:
            machine.execute(f"kill -CONT {daemon}")
        machine.wait_until(f"! systemctl is-active --quiet {UNIT}", timeout=20)
        asked, *lines = machine.read_file(output).splitlines()
        assert asked.startswith("asked by")
        return lines

    def leaves_nothing(self) -> bool:
        """Whether nothing of hers runs, and of the daemon only itself."""
        self.room.wait_for_processes("appliance-preload-kernel.service", 1)
        return self.room.machine.attempt(f"pgrep -u {self.account}").code == 1


@pytest.fixture(scope="module")
def room() -> Iterator[Preloaded]:
    with open_native(Debian.BOOKWORM) as room:
        room.add("zoe")
        # What programs say to users who try them in vain.
        room.machine.allowed.errors.append("appliance-user-mallory")
        numbers = " ".join(str(number) for number in range(ACCOUNTS))
        room.machine.execute(
            f"for n in {numbers}; do useradd --user-group --groups appliance-users mallory$n; done"
        )
        yield room


@pytest.fixture
def mallory(room: Preloaded, numbers: Iterator[int]) -> Iterator[Mallory]:
    # The hub stops servers that it knows nothing of, and looks every half minute: from now on.
    room.machine.execute("systemctl restart appliance-hub")
    mallory = Mallory(room, f"mallory{next(numbers)}")
    daemons = {kind: room.daemon(kind) for kind in ("server", "kernel")}
    yield mallory
    assert mallory.leaves_nothing()
    assert {kind: room.daemon(kind) for kind in daemons} == daemons, "a daemon had to start anew"
    assert "Traceback" not in room.journal_of_daemons()


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return iter(range(ACCOUNTS))


def test_who_asks_as_one_should_gets_the_same_confinement(mallory: Mallory) -> None:
    assert mallory.attack("honest") == ["OK", "the same as I"]
    more = (
        "-p SystemCallFilter=~@mount -p LimitNOFILE=99 -p Nice=7 -p PrivateNetwork=yes"
        " -p PrivateIPC=yes -p CPUAffinity=0 -p UMask=0027 -p OOMScoreAdjust=321"
    )
    assert mallory.attack("honest", f"{CONFINED} {more}") == ["OK", "the same as I"]


@pytest.mark.parametrize(
    ("unit", "into", "account", "said"),
    [
        ("some.service", SLICE, None, NOT_A_SERVER),
        ("session-1.service", "user.slice", None, NOT_A_SERVER),
        (UNIT, "system.slice", None, NOT_A_SERVER),
        (UNIT, "appliance.slice", None, NOT_A_SERVER),
        (f"x{UNIT}", SLICE, None, NOT_A_SERVER),
        (UNIT, f"{SLICE.removesuffix('.slice')}-more.slice", None, NOT_A_SERVER),
        (UNIT, SLICE, "", "NO it belongs to root"),
        ("appliance-hub-x.service", SLICE, "appliance-hub", NOT_A_SERVER),
    ],
)
def test_who_is_elsewhere_gets_nothing(
    unit: str, into: str, account: str | None, said: str, mallory: Mallory
) -> None:
    assert mallory.attack("honest", unit=unit, into=into, account=account) == [said]


def test_who_has_no_server_does_not_even_reach_the_daemon(mallory: Mallory) -> None:
    tried = mallory.room.machine.fail(
        mallory.command("honest", account="nobody").replace(
            "-p SupplementaryGroups=appliance-users", ""
        )
    )
    assert "PermissionError" in tried.stderr


def test_a_cgroup_below_the_unit_is_not_the_unit(mallory: Mallory) -> None:
    how = f"{LOOSE} -p Delegate=yes -p DelegateSubgroup=below"
    version = int(mallory.room.machine.execute("systemctl --version").split()[1])
    if version < 254:
        pytest.skip("this systemd has no DelegateSubgroup=")
    assert mallory.attack("honest", how) == [NOT_A_SERVER]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("-p PrivateUsers=yes", "user namespace"),
        ("-p AmbientCapabilities=CAP_CHOWN", "capabilities"),
        ("", "capabilities in its bounding set"),
        ("-p Personality=x86 -p CapabilityBoundingSet=", "personality"),
        ("-p TimerSlackNSec=1ms -p CapabilityBoundingSet=", "timerslack_ns"),
        ("-p CoredumpFilter=all -p CapabilityBoundingSet=", "coredump_filter"),
    ],
)
def test_what_cannot_be_copied_starts_cold(how: str, said: str, mallory: Mallory) -> None:
    (answer,) = mallory.attack("honest", how)
    assert answer.startswith("NO ")
    assert said in answer


def test_namespaces_of_the_users_own_are_not_entered(mallory: Mallory) -> None:
    (said,) = mallory.attack("in-a-user-namespace", LOOSE)
    assert re.fullmatch("NO its user namespace is not the daemon's|NO it has capabilities", said)
    (said,) = mallory.attack_while_the_daemon_waits("into-a-user-namespace", LOOSE)
    assert re.fullmatch("NO its user namespace is not the daemon's|NO it has capabilities", said)


def test_who_becomes_root_after_asking_gets_nothing(mallory: Mallory) -> None:
    (said,) = mallory.attack_while_the_daemon_waits("becoming-root", LOOSE)
    # su has printed its prompt.
    assert said.endswith("NO it has more than one user id")


@pytest.mark.parametrize("attack", ["dying", "stopping", "becoming-another-program"])
def test_who_dies_stops_or_changes_after_asking_leaves_nothing_behind(
    attack: str, mallory: Mallory
) -> None:
    (said,) = mallory.attack_while_the_daemon_waits(attack)
    wanted = {"dying": "(NO|nothing).*", "stopping": "OK .*", "becoming-another-program": "OK .*"}
    assert re.fullmatch(wanted[attack], said)


def test_who_does_not_let_itself_be_looked_at_gets_nothing_and_keeps_nobody_waiting(
    mallory: Mallory,
) -> None:
    (said,) = mallory.attack_while_the_daemon_waits("stalling")
    assert said.startswith("nothing")
    traces, said = sorted(mallory.attack("traced"), reverse=True)
    assert (traces, said.partition(" ")[0]) == ("traces: 0", "NO")


def test_filters_of_the_users_own_take_nothing_from_the_confinement(mallory: Mallory) -> None:
    assert mallory.attack("with-a-filter-that-lies") == ["OK", "the same as I"]
    (said,) = mallory.attack("with-many-filters")
    assert said == "NO it has more than 64 system call filters"


def test_no_new_process_can_be_caught_before_it_is_confined(mallory: Mallory) -> None:
    lines = mallory.attack("catching")
    assert not [line for line in lines if "ESCAPED" in line]
    assert "the same as I" in lines
    assert [line for line in lines if re.fullmatch(r"caught \d+", line)]


@pytest.mark.parametrize("part", ["0", "1", "2"])
def test_what_is_no_request_is_refused(part: str, mallory: Mallory) -> None:
    lines = mallory.attack("malformed", PART=part)
    assert len(lines) == 7
    odd = [line for line in lines if not re.search(r": (NO|nothing)", line)]
    assert odd == []


def test_a_number_used_again_is_not_taken_for_who_asked(mallory: Mallory) -> None:
    """Mallory asks and dies; the number goes to a process of zoe's, in the unit of her server."""
    room = mallory.room
    room.start("zoe")
    before = room.processes(unit_of("zoe"))
    machine, output, daemon = room.machine, "/tmp/number.txt", room.daemon("kernel")
    machine.execute(f"rm -f {output}; kill -STOP {daemon}")
    try:
        redirect = f"-p StandardOutput=file:{output}"
        machine.execute(mallory.command("dying", f"{CONFINED} {redirect}", wait="--no-block"))
        number = machine.wait_until(f"grep '^asked by' {output}", timeout=10).split()[-1]
        group = room.show(unit_of("zoe"), "ControlGroup")
        machine.execute(
            f"/usr/bin/python3 -I /opt/inside/recycle.py {number} nb-zoe {group}"
            " >/tmp/recycled 2>&1 &"
        )
        machine.wait_until("grep -q done /tmp/recycled", timeout=5)
    finally:
        machine.execute(f"kill -CONT {daemon}")
    machine.wait_until(f"! systemctl is-active --quiet {UNIT}", timeout=20)
    assert re.match("NO|nothing", machine.read_file(output).splitlines()[-1])
    assert set(room.processes(unit_of("zoe"))) == {*before, int(number)}
    machine.execute(f"kill {number}")
    room.stop("zoe")


@pytest.mark.parametrize("attack", ["idle", "flood"])
def test_others_are_served_meanwhile(attack: str, mallory: Mallory) -> None:
    room = mallory.room
    machine = room.machine
    output = f"/tmp/{attack}.txt"
    how = f"{CONFINED} -p StandardOutput=file:{output}"
    machine.execute(f"rm -f {output}")
    machine.execute(mallory.command(attack, how, wait="--no-block"))
    time.sleep(1)
    try:
        assert room.start("zoe") == "Serving /user/zoe/ (preloaded)"
        kernel = room.start_kernel("zoe")
        assert room.run("zoe", kernel, "import os; print(os.getppid())").strip() == "1"
        assert len(room.processes("appliance-preload-kernel.service")) <= 1 + 16
        machine.execute(f"systemctl is-active {UNIT}")
    finally:
        machine.execute(f"systemctl stop {UNIT}")
        room.stop("zoe")
    lines = machine.read_file(output).splitlines()
    assert lines
    # Ten at once, and then one every two seconds.
    assert lines.count("OK") <= 10 + 60 / 2


def test_a_process_of_another_user_in_the_unit_gets_nothing_of_hers(mallory: Mallory) -> None:
    """By sudo, which only units without a sandbox allow."""
    machine = mallory.room.machine
    rule = f"{mallory.account} ALL=(nobody) NOPASSWD:SETENV: ALL\n"
    machine.write_file("/etc/sudoers.d/mallory", rule, mode=0o440)
    said = mallory.attack("sub-processes-of-another-user", SUDO, OTHER="nobody")
    machine.execute("rm /etc/sudoers.d/mallory")
    # Not even the socket, as nobody is in no group of users.
    assert "PermissionError" in said[-1]
