from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from appliance.notify import listen_fds, notify, wait_before_refusing, watchdog_interval


def test_a_message_reaches_the_socket_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert notify("READY=1")
        assert channel.recv(100) == b"READY=1"


def test_an_abstract_socket_begins_with_an_at_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"appliance-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        assert notify("STATUS=fine")
        assert channel.recv(100) == b"STATUS=fine"


@pytest.mark.parametrize("address", ["", "/nowhere/notify"], ids=["unset", "gone"])
def test_nobody_listening_is_no_error(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not notify("READY=1")


def test_sockets_for_another_process_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_FDNAMES", "hub")
    assert listen_fds() == {}
    assert "LISTEN_FDS" not in os.environ


@pytest.mark.parametrize(
    ("microseconds", "pid", "expected"),
    [("60000000", "", 30.0), ("60000000", "1", None), ("", "", None), ("x", "", None)],
    ids=["half of it", "for another process", "not watched", "nonsense"],
)
def test_the_watchdog_hears_twice_in_its_time(
    microseconds: str, pid: str, expected: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.setenv("WATCHDOG_PID", pid or str(os.getpid()))
    assert watchdog_interval() == expected


@pytest.mark.parametrize(("address", "waits"), [("", []), ("/nowhere/notify", [5.0])])
def test_who_refuses_keeps_systemd_from_trying_again_at_once(
    address: str, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("appliance.notify.time.sleep", waited.append)
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    wait_before_refusing()
    assert waited == waits
