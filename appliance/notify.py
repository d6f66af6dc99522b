"""What a service tells systemd and gets from it: readiness, watchdog, sockets (sd_notify(3)).

Standard library only, and a few lines instead of a library: hub, root daemon and single-user
servers live in three environments. Without systemd each function quietly does nothing.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Final

# SD_LISTEN_FDS_START of sd_listen_fds(3).
_FIRST_DESCRIPTOR: Final = 3
_REFUSAL_SECONDS: Final = 5.0


def notify(state: str) -> bool:
    """Send `state` ("READY=1", "STATUS=…", lines joined by newlines); False when nobody listens.

    A supervisor that has gone away is no reason for a service to fail, so its errors are ignored.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.connect(address)
            channel.sendall(state.encode())
    except OSError:
        return False
    return True


def listen_fds() -> dict[str, socket.socket]:
    """The sockets that systemd opened for this process, by FileDescriptorName=.

    Removes the variables, so that child processes don't take the sockets for theirs; a second call
    returns nothing.
    """
    pid, count, names = (
        os.environ.pop(variable, "") for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    )
    if not pid.isdecimal() or int(pid) != os.getpid() or not count.isdecimal():
        return {}
    sockets = {}
    for index, name in zip(range(int(count)), names.split(":"), strict=False):
        descriptor = _FIRST_DESCRIPTOR + index
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - no keyword in C
        sockets[name] = socket.socket(fileno=descriptor)
    return sockets


def watchdog_interval() -> float | None:
    """Seconds between two "WATCHDOG=1", half of what systemd allows; None when it doesn't watch."""
    allowed = os.environ.get("WATCHDOG_USEC", "")
    watched = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not allowed.isdecimal() or watched != str(os.getpid()):
        return None
    return int(allowed) / 2_000_000


def wait_before_refusing() -> None:
    """Wait before a program that systemd starts for a socket ends with 78, so that it is no loop.

    Whoever waits at the socket has it started again at once. TriggerLimitBurst= (systemd.socket(5))
    is no help: it closes the socket for good, and that also after crashes, from which a program
    has to come back.
    """
    if "NOTIFY_SOCKET" in os.environ:
        time.sleep(_REFUSAL_SECONDS)
