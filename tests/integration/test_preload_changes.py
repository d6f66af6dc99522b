"""What settings and changed packages do to the preload daemons, under servers that run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import pytest

from tests.integration.images import Debian
from tests.integration.preloaded import DAEMONS, Preloaded, open_native, unit_of

pytestmark = pytest.mark.machine

PRELOADED: Final = "Serving /user/bob/ (preloaded)"
SERVER, KERNEL = DAEMONS
CHANGED: Final = "the packages have changed since the preload daemon was started"
# Refusing is an error of its unit, and that is how people find it.
WANTED_ERRORS: Final = ["others than root could change", "can be changed by", "Failed to start"]

# A package as pip leaves it, made by hand: the machine has no network.
INSTALL: Final = """\
cd /opt/appliance/user/lib/python3*/site-packages
mkdir -p thing thing-{version}.dist-info
echo 'version = "{version}"' >thing/__init__.py
rm -rf thing-{before}.dist-info
"""
STILL_LOADING: Final = "what is preloaded is still being loaded"


@pytest.fixture(
    scope="module",
    params=[Debian.BOOKWORM, pytest.param(Debian.TRIXIE, marks=pytest.mark.long)],
)
def room(request: pytest.FixtureRequest) -> Iterator[Preloaded]:
    with open_native(request.param) as room:
        room.machine.allowed.errors += WANTED_ERRORS
        room.add("bob")
        yield room


def states(room: Preloaded) -> list[str]:
    return [room.show(unit, "ActiveState") for unit in DAEMONS]


def change(room: Preloaded, words: str) -> str:
    """What a change of settings says, and the daemons do if it did not wait for them.

    It doesn't wait long on a slow machine; this one returns when they serve.
    """
    said = room.machine.execute(f"appliance config {words} 2>&1")
    if STILL_LOADING in said:
        room.start_daemons()
        said = said.replace(f"note: {STILL_LOADING}", "") + room.journal_of_daemons()
    return said


def start_anew(room: Preloaded) -> str:
    if room.main_pid(unit_of("bob")):
        room.stop("bob")
    return room.start("bob")


def wait_until_loaded(room: Preloaded, before: int) -> None:
    """Until another daemon than `before` serves."""
    deadline = time.monotonic() + 40
    while room.show(SERVER, "ActiveState") != "active" or room.daemon("server") == before:
        assert time.monotonic() < deadline, "it was not started anew"
        time.sleep(0.5)


def test_both_run_after_the_installation(room: Preloaded) -> None:
    assert states(room) == ["active", "active"]
    assert start_anew(room) == PRELOADED
    assert "servers and kernels ready" in room.machine.execute("appliance status")


def test_each_is_switched_off_and_on_by_its_setting(room: Preloaded) -> None:
    said = change(room, "set preload.kernels false")
    assert "note:" not in said
    assert states(room) == ["active", "inactive"]
    assert room.show(KERNEL, "Result") == "exec-condition"
    change(room, "set preload.servers false")
    assert states(room) == ["inactive", "inactive"]
    assert start_anew(room) == "Serving /user/bob/"
    change(room, "unset preload")
    assert states(room) == ["active", "active"]
    assert start_anew(room) == PRELOADED


def test_a_package_that_is_not_there_is_told_and_a_bad_name_refused(room: Preloaded) -> None:
    said = change(room, "set preload.packages nonesuch")
    assert "nonesuch is not preloaded: " in said
    assert states(room) == ["active", "active"]
    refused = room.machine.attempt("appliance config set preload.packages 'os;x'")
    assert refused.code == 78
    assert "must be a module's name" in refused.stderr
    change(room, "unset preload.packages")


def test_a_daemon_that_refuses_is_told_and_no_reason_to_take_settings_back(
    room: Preloaded,
) -> None:
    module = "$(echo /opt/appliance/user/lib/python3*/site-packages/traitlets/log.py)"
    room.machine.execute(f"chmod g+w {module}")
    try:
        said = room.machine.execute("appliance config set preload.packages numpy 2>&1")
        assert "note: servers are not preloaded and start the ordinary way: " in said
        assert "note: kernels are not preloaded and start the ordinary way: " in said
        assert "traitlets/log.py can be changed by its group (mode 664)" in said
        assert states(room) == ["failed", "failed"]
        assert "numpy" in room.machine.execute("appliance config get preload.packages")
        assert start_anew(room) == "Serving /user/bob/ (cold: the preload daemon is not running)"
        assert "not running: " in room.machine.execute("appliance status")
    finally:
        room.machine.execute(f"chmod g-w {module}; appliance config unset preload.packages")
    room.start_daemons()
    assert start_anew(room) == PRELOADED


def test_changed_packages_start_cold_once_and_disturb_nobody(room: Preloaded) -> None:
    room.machine.execute(INSTALL.format(version="1.0", before="none"))
    room.machine.execute(f"systemctl restart {' '.join(DAEMONS)}")
    assert start_anew(room) == PRELOADED
    room.add("eve")
    before, bob = room.daemon("server"), room.main_pid(unit_of("bob"))
    room.machine.execute(INSTALL.format(version="1.1", before="1.0"))
    assert room.start("eve") == f"Serving /user/eve/ (cold: {CHANGED})"
    wait_until_loaded(room, before)
    assert room.main_pid(unit_of("bob")) == bob
    room.stop("eve")
    assert room.start("eve") == "Serving /user/eve/ (preloaded)"
    room.stop("eve")


def test_what_is_preloaded_sees_no_secret_and_has_no_network(room: Preloaded) -> None:
    pid = room.daemon("server")
    inside = f"nsenter --mount --net --target {pid}"
    seen = room.machine.execute(f"{inside} find /var/lib/appliance /etc/appliance /home /root")
    assert sorted(seen.split()) == [
        "/etc/appliance", "/home", "/root", "/var/lib/appliance",
        "/var/lib/appliance/rendered", "/var/lib/appliance/rendered/preload.json",
    ]  # fmt: skip
    assert room.machine.execute(f"{inside} ls /sys/class/net").split() == ["lo"]
    variables = room.machine.execute(f"tr '\\0' '\\n' </proc/{pid}/environ | cut -d= -f1")
    assert set(variables.split()) <= {
        "HOME", "INVOCATION_ID", "JOURNAL_STREAM", "LANG", "NOTIFY_SOCKET", "PATH",
        "RUNTIME_DIRECTORY", "SYSTEMD_EXEC_PID", "WATCHDOG_PID", "WATCHDOG_USEC",
        "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE", "USER",
    }  # fmt: skip
