"""What the preload daemon does before it forks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from appliance.preload.daemon import Daemon, Rates, is_due


class Nobody(Rates):
    def allows(self, uid: int) -> bool:
        return False


def test_who_asks_too_often_is_refused_before_anything_is_looked_at() -> None:
    look = Mock()
    nothing: Any = None
    daemon = Daemon("server", nothing, nothing, look, print, rates=Nobody())
    theirs, ours = socket.socketpair()
    with theirs, ours:
        assert not daemon._answer(ours, nothing)
        assert theirs.recv(100).startswith(b"NO ")
    look.assert_not_called()


@pytest.mark.parametrize(
    ("hours", "quiet_minutes", "due"),
    [(1, 30, False), (19, 600, False), (21, 9, False), (21, 11, True), (24, 0, True)],
)
def test_it_gets_a_day_old_at_most_and_ends_rather_while_nobody_comes(
    hours: float, quiet_minutes: float, *, due: bool
) -> None:
    assert is_due(hours * 3600, quiet_minutes * 60) is due


def test_it_is_quiet_only_while_nobody_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing: Any = None
    path = str(tmp_path / "server.sock")
    clients: list[socket.socket] = []
    minutes = 20 * 60

    def minute_passes(readable: list[socket.socket], *_: object) -> tuple[list[socket.socket]]:
        nonlocal minutes
        minutes += 1
        if len(clients) == 30:
            return ([],)
        clients.append(socket.socket(socket.AF_UNIX))
        clients[-1].connect(path)
        return (readable,)

    began = iter([0.0])
    monkeypatch.setattr("appliance.preload.daemon.select.select", minute_passes)
    monkeypatch.setattr(
        "appliance.preload.daemon.time.monotonic", lambda: next(began, minutes * 60.0)
    )
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        daemon = Daemon("server", nothing, listener, Mock(), lambda _: None, rates=Nobody())
        assert daemon.serve() == "it is nearly a day old"
    for client in clients:
        client.close()
    assert minutes == 20 * 60 + 30 + 10 + 1, "ten minutes, and the look after them"


def test_a_child_that_fails_at_once_does_not_go_on_as_the_daemon() -> None:
    nothing: Any = None
    daemon = Daemon("server", nothing, nothing, Mock(), print)
    connection = Mock()
    connection.detach.side_effect = OSError
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            daemon._become(connection, nothing)
        os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_no_signal_raises_an_exception_in_what_is_forked() -> None:
    code = (
        "import signal; from appliance.preload.daemon import forget_signals; forget_signals();"
        "print([one.name for one in signal.valid_signals() if callable(signal.getsignal(one))"
        " and not isinstance(signal.getsignal(one), signal.Handlers)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"
