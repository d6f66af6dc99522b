"""Stopping servers that have run as long as they may, after telling their users."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from appliance.clock import Clock
from appliance.errors import ApplianceError
from appliance.hub.classroom.messages import Messages
from appliance.hub.limits.server_limits import ServerLimits
from appliance.hub.server_rows import ServerView
from appliance.hub.servers import Servers
from appliance.names import ServerId
from appliance.texts import say

log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 30.0
_WARNING_SECONDS: Final = 900.0
_MINUTES: Final = 5


@dataclass(frozen=True, slots=True)
class _Seen:
    """A server's age at a moment of the clock that never jumps."""

    started: datetime
    at: float
    age: float


class RunTimes:
    """Looks at the age of all servers that run."""

    def __init__(
        self,
        *,
        servers: Servers,
        limits: ServerLimits,
        messages: Messages,
        clock: Clock,
        on_end: Callable[[str], None],
    ) -> None:
        self._servers = servers
        self._limits = limits
        self._messages = messages
        self._clock = clock
        self._on_end = on_end
        self._seen: dict[ServerId, _Seen] = {}
        self._warned: set[ServerId] = set()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.once()
            await asyncio.sleep(_LOOK_SECONDS)

    async def once(self) -> None:
        """Warn whose time is nearly over, and stop whose time is."""
        views = [view for view in self._servers.active() if view.ready and view.started]
        self._seen = {
            view.server: self._seen[view.server] for view in views if view.server in self._seen
        }
        for view in views:
            longest = self._limits.of(view.server.user).whole("run_time")
            if longest is None:
                self._forgive(view.server)
                continue
            left = longest - self._age(view, longest)
            if left <= 0:
                await self._stop(view.server, longest)
            elif left <= _warning(longest):
                self._warn(view.server, longest, left)
            else:
                self._forgive(view.server)

    def _age(self, view: ServerView, longest: int) -> float:
        """How long it has run. A clock that jumped stops nobody without a warning."""
        now, seen = self._clock.monotonic(), self._seen.get(view.server)
        if seen is None or seen.started != view.started:
            age = (self._clock.now() - view.started).total_seconds() if view.started else 0.0
            age = min(max(age, 0.0), longest - _warning(longest))
            seen = self._seen[view.server] = _Seen(view.started or self._clock.now(), now, age)
        return seen.age + now - seen.at

    def _warn(self, server: ServerId, longest: int, left: float) -> None:
        self._warned.add(server)
        minutes = max(_MINUTES, -int(-left // 60 // _MINUTES) * _MINUTES)
        self._messages.tell(
            server.user,
            say(
                "It will be stopped in less than {minutes} minutes: it may run for {longest}. Save "
                "your work; you can start it again at once.",
                minutes=minutes,
                longest=_in_short(longest),
            ),
            topic=_topic(server),
            title=_title(server),
            lasts=timedelta(seconds=left),
        )

    def _forgive(self, server: ServerId) -> None:
        """It may run for longer than it was told."""
        if server in self._warned:
            self._warned.discard(server)
            self._messages.withdraw(server.user, _topic(server))

    async def _stop(self, server: ServerId, longest: int) -> None:
        log.info("server %s has run for as long as it may: stopping it", server)
        try:
            await self._servers.stop(server, wait=0)
        except ApplianceError as err:
            log.warning("cannot stop the server %s: %s", server, err)
            return
        self._warned.discard(server)
        self._on_end("run_time")
        self._messages.tell(
            server.user,
            say(
                "It was stopped after {longest}, the longest that it may run. Your files are as "
                "you saved them, and you can start it again.",
                longest=_in_short(longest),
            ),
            topic=_topic(server),
            title=_title(server),
        )


def _title(server: ServerId) -> str:
    return say("Your server “{name}”", name=server.name) if server.name else say("Your server")


def _in_short(seconds: int) -> str:
    """A time in symbols that every language has: 8 h, 90 min."""
    return f"{seconds // 3600} h" if seconds % 3600 == 0 else f"{seconds // 60} min"


def _warning(longest: int) -> float:
    """How long before the end its user is told."""
    return min(_WARNING_SECONDS, longest / 4)


def _topic(server: ServerId) -> str:
    return f"age {server.name}"
