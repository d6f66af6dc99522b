"""Child processes: each in a process group of its own, all of them reaped, none left at the end.

The supervisor is the "subreaper" of everything below it (prctl(2)): servers and kernels whose
parent died become its children instead of process 1's, so that Ctrl-C finds them too.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

_PR_SET_CHILD_SUBREAPER: Final = 36
# sd_listen_fds(3): the sockets begin at 3, and LISTEN_PID must be the receiver's own, which only
# the process itself knows.
_FIRST_DESCRIPTOR: Final = 3
_LAUNCHER: Final = 'LISTEN_PID=$$ exec "$@"'
_POLL_SECONDS: Final = 0.05


def become_subreaper() -> None:
    """Adopt orphans; without it (another kernel) the end of a trial may leave processes."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Reaper:
    """Collects the exit of every child, ours and adopted ones, and tells who waits for it."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[int]] = {}

    def watch(self, pid: int) -> asyncio.Future[int]:
        """A future of the exit code; negative numbers are signals, as in subprocess."""
        future = asyncio.get_running_loop().create_future()
        self._waiting[pid] = future
        return future

    def reap(self) -> None:
        """On SIGCHLD; one signal may stand for many exits."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                future = self._waiting.pop(pid, None)
                if future and not future.done():
                    future.set_result(os.waitstatus_to_exitcode(status))


def spawn(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    log: Path,
    sockets: Mapping[str, socket.socket] | None = None,
) -> int:
    """Start a program with its output in a file, and with sockets as systemd would pass them."""
    sockets = sockets or {}
    variables = dict(environment)
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    # From high numbers to the low ones, so that no copy lands on a socket that is still to be
    # copied.
    high = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 100) for one in sockets.values()]
    for offset, descriptor in enumerate(high):
        actions.append((os.POSIX_SPAWN_DUP2, descriptor, _FIRST_DESCRIPTOR + offset))
    words = list(command)
    if sockets:
        variables |= {"LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": ":".join(sockets)}
        words = ["/bin/sh", "-c", _LAUNCHER, "sh", *words]
    try:
        return os.posix_spawn(words[0], words, variables, file_actions=actions, setpgroup=0)
    finally:
        for descriptor in high:
            os.close(descriptor)


def descendants(pid: int) -> list[int]:
    """Every process below one, children before their own children."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError):
            _, _, rest = stat.read_text(errors="replace").rpartition(")")
            parents.setdefault(int(rest.split()[1]), []).append(int(stat.parent.name))
    found: list[int] = []
    queue = [pid]
    while queue:
        children = parents.get(queue.pop(0), [])
        found += children
        queue += children
    return found


def end_all(*, patience_seconds: float) -> None:
    """End everything below this process: asked first, then killed."""
    for number, seconds in ((signal.SIGTERM, patience_seconds), (signal.SIGKILL, 5.0)):
        for pid in descendants(os.getpid()):
            with suppress(OSError):
                os.kill(pid, number)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if not descendants(os.getpid()):
                return
            time.sleep(_POLL_SECONDS)
    sys.stderr.write("some processes of the trial did not end\n")
