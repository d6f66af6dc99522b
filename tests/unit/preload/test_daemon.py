"""What the preload daemon does before it forks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from typing import Any
from unittest.mock import Mock

from appliance.preload.daemon import Daemon, Rates


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
