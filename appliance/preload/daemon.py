"""The daemon: it listens, counts, and forks; all else is done by its children.

One thread, no event loop: what is forked must find nothing half done. Nothing that a peer sends is
read here, so nobody can keep it waiting.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from .child import REFUSED_STATUS, Template, attend
from .confinement import CONNECTION
from .peer import Own, credentials

# Children that look at a peer, at a time; each has two seconds.
_AT_ONCE: Final = 16
# A child that has moved into the unit of somebody whose programs use up all that the unit may use
# gets on slowly; such users must not take all places.
_AT_ONCE_EACH: Final = 3
_BACKLOG: Final = 512
_TICK_SECONDS: Final = 10.0
# systemd need not hear of each of very many requests.
_SAY_SECONDS: Final = 1.0
# A user who asks for more starts cold: ten at once, and one every two seconds.
_BURST: Final = 10.0
_PER_SECOND: Final = 0.5
_USERS_REMEMBERED: Final = 10_000
# All forks share one address layout and hash seed, so no daemon gets older than a day. Better it
# ends before that while nobody comes: what is started until the next one has loaded starts cold.
_MAX_AGE_SECONDS: Final = 86_400.0
_OLD_SECONDS: Final = 72_000.0
_QUIET_SECONDS: Final = 600.0
_CHANGED: Final = "the packages have changed since the preload daemon was started"
_TOO_MANY: Final = "too many requests; wait a few seconds"


class Rates:
    """How often each user asks: a bucket of tokens for each."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[int, tuple[float, float]] = {}

    def allows(self, uid: int) -> bool:
        now = self._clock()
        tokens, last = self._buckets.get(uid, (_BURST, now))
        tokens = min(_BURST, tokens + (now - last) * _PER_SECOND)
        if tokens < 1:
            return False
        if len(self._buckets) >= _USERS_REMEMBERED:
            self._forget(now)
        self._buckets[uid] = (tokens - 1, now)
        return True

    def _forget(self, now: float) -> None:
        """Forget those whose buckets are full again, and so all but those who asked just now."""
        full = _BURST / _PER_SECOND
        self._buckets = {
            uid: bucket for uid, bucket in self._buckets.items() if now - bucket[1] < full
        }


def is_due(age: float, quiet: float) -> bool:
    """Whether a daemon should end that is so old, and was last asked so long ago, in seconds."""
    return age >= _MAX_AGE_SECONDS or (age >= _OLD_SECONDS and quiet >= _QUIET_SECONDS)


@dataclass(slots=True)
class Daemon:
    """Forks for whoever may ask; returns from `serve` when it should be started anew."""

    kind: str
    template: Template
    listener: socket.socket
    has_changed: Callable[[], bool]
    """Whether the packages are others than those that are loaded."""
    say: Callable[[str], None]
    """sd_notify(3)"""
    rates: Rates = field(default_factory=Rates)
    _children: dict[int, int] = field(default_factory=dict)
    """Whom each child serves."""
    _forked: int = 0
    _refused: int = 0

    def serve(self) -> str:
        """Serve until the packages change or the daemon is old; returns why it ends."""
        own = Own.read()
        started = asked = now = time.monotonic()
        self.say("READY=1")
        said = 0.0
        while not is_due(now - started, now - asked):
            now = time.monotonic()
            if now - said > _SAY_SECONDS:
                said = now
                self.say(f"WATCHDOG=1\nSTATUS={self._forked} forked, {self._refused} refused")
            self._reap(block=len(self._children) >= _AT_ONCE)
            if not select.select([self.listener], [], [], _TICK_SECONDS)[0]:
                continue
            asked = time.monotonic()
            with suppress(OSError), self.listener.accept()[0] as connection:
                reason = self._answer(connection, own)
                if reason:
                    return reason
        return "it is nearly a day old"

    def _answer(self, connection: socket.socket, own: Own) -> str:
        """Fork, or refuse; returns why the daemon must end, "" if it need not."""
        _, uid, _ = credentials(connection)
        reason = self._why_not(uid)
        if reason:
            self._refused += 1
            _refuse(connection, reason)
            return ""
        # After the count: somebody who asks without end must not keep the daemon at looking.
        if self.has_changed():
            _refuse(connection, _CHANGED)
            return _CHANGED
        try:
            child = os.fork()
        except OSError as err:
            self._refused += 1
            _refuse(connection, f"cannot fork: {err.strerror}")
            return ""
        if not child:
            self._become(connection, own)
        self._children[child] = uid
        return ""

    def _why_not(self, uid: int) -> str:
        if uid == 0:
            return "it belongs to root"
        served = sum(user == uid for user in self._children.values())
        return _TOO_MANY if served >= _AT_ONCE_EACH or not self.rates.allows(uid) else ""

    def _become(self, connection: socket.socket, own: Own) -> NoReturn:
        try:
            null = os.dup(CONNECTION)
            os.dup2(connection.detach(), CONNECTION, inheritable=False)
            # Its number will be another file's; forgetting the object must not close that.
            self.listener.detach()
            attend(self.kind, self.template, own, null)
        finally:
            # Whatever went wrong, nothing of this process may go on as the daemon.
            os._exit(REFUSED_STATUS)

    def _reap(self, *, block: bool) -> None:
        """Note how the children fared that have ended; wait for one if `block`."""
        while self._children:
            child, status = os.waitpid(-1, 0 if block else os.WNOHANG)
            if not child:
                return
            block = False
            self._children.pop(child, None)
            if os.waitstatus_to_exitcode(status) == 0:
                self._forked += 1
            else:
                self._refused += 1


def reserve_connection() -> None:
    """Put /dev/null where every child will have its connection, before anything else is there."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    if null != CONNECTION:
        raise RuntimeError(f"descriptor {CONNECTION} is taken")


def listen(path: Path, *, group: int) -> socket.socket:
    """Listen at `path` for the group's members, in place of an earlier daemon's socket."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    beside = path.with_name(f".{path.name}.new")
    with suppress(FileNotFoundError):
        beside.unlink()
    listener.bind(str(beside))
    os.chown(beside, 0, group)
    beside.chmod(0o660)
    listener.listen(_BACKLOG)
    beside.rename(path)
    return listener


def _refuse(connection: socket.socket, reason: str) -> None:
    with suppress(OSError):
        connection.send(f"NO {reason}\n".encode(), socket.MSG_DONTWAIT)


def forget_signals() -> None:
    """Let signals end this process as they end any: no handler may run in a child half confined.

    Python's own of SIGINT raises an exception, wherever the child is when its user sends one.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
