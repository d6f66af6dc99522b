"""What the preload daemon does before it forks."""

from __future__ import annotations

import socket
import subprocess
import sys
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


def test_no_signal_raises_an_exception_in_what_is_forked() -> None:
    code = (
        "import signal; from appliance.preload.daemon import forget_signals; forget_signals();"
        "print([one.name for one in signal.valid_signals() if callable(signal.getsignal(one))"
        " and not isinstance(signal.getsignal(one), signal.Handlers)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"
