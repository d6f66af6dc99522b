"""Bringing the hub's picture in line with what really runs; the spawner is always right.

Done at start, every 30 seconds, and every 2 seconds while a start that an earlier hub began goes
on, or while the spawner could not be asked yet: after a power cut the database has servers that
don't run. Servers with an operation under way in this process are left alone. Those that stood in
line to be started when the earlier hub ended stand there again: nobody loses a place by a restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from appliance.clock import Clock
from appliance.errors import ApplianceError
from appliance.hub.server_rows import FailureNote, ServerRows, ServerView
from appliance.hub.servers import Servers
from appliance.hub.states import ServerState
from appliance.interfaces import Running, Spawner
from appliance.names import ServerId, Username

log = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 30.0
_SHORT_PAUSE_SECONDS: Final = 2.0


class Reconciler:
    """Compares, and mends in one direction: from what runs to what the hub believes."""

    def __init__(
        self,
        *,
        rows: ServerRows,
        servers: Servers,
        spawner: Spawner,
        clock: Clock,
        start_timeout_seconds: int,
        believed_idle: Callable[[Username], float],
    ) -> None:
        """`believed_idle` is how idle a user's server may seem when a hub finds it running."""
        self._rows = rows
        self._servers = servers
        self._spawner = spawner
        self._clock = clock
        self._start_timeout = start_timeout_seconds
        self._believed_idle = believed_idle
        self._unfinished: dict[ServerId, float] = {}
        """Starts of an earlier hub, and when we first saw them."""
        self._adopted: set[ServerId] = set()
        self._is_first_look = True

    async def run(self) -> None:
        """Reconcile for ever."""
        while True:
            is_soon = self._unfinished or self._is_first_look
            await asyncio.sleep(_SHORT_PAUSE_SECONDS if is_soon else PAUSE_SECONDS)
            await self.once()

    async def once(self) -> None:
        """Compare once; raises ApplianceError if the spawner can't be asked."""
        began = self._clock.monotonic()
        running = await self._spawner.running()
        self._adopted &= running.keys()
        with_token = self._rows.with_token()
        views = {view.server: view for view in self._rows.active()}
        for server, found in running.items():
            if self._servers.is_settled(server, since=began):
                await self._found(server, found, views.get(server), has_token=server in with_token)
        gone = [view for server, view in views.items() if server not in running]
        for view in sorted(gone, key=lambda one: one.started or self._clock.now()):
            if self._servers.is_settled(view.server, since=began):
                await self._gone(view)
        self._is_first_look = False
        self._servers.has_compared()

    async def _gone(self, view: ServerView) -> None:
        self._unfinished.pop(view.server, None)
        self._servers.lost(view.server)
        if not (self._is_first_look and view.state is ServerState.STARTING):
            return
        try:
            await self._servers.start(view.server)
        except ApplianceError as err:
            log.warning("cannot start the server %s, which stood in line: %s", view.server, err)

    async def _found(
        self, server: ServerId, found: Running, view: ServerView | None, *, has_token: bool
    ) -> None:
        if view is None or not has_token:
            log.warning("server %s runs and nobody knows of it: stopping it", server)
            await self._stop(server)
        elif view.state is ServerState.STOPPING:
            await self._stop(server)
            self._servers.gone(server)
        elif found.ready:
            self._unfinished.pop(server, None)
            # Each takes questions to the database, so that hundreds would hold up all requests.
            if view.state is not ServerState.READY or server not in self._adopted:
                self._servers.adopt(server, idle_seconds=self._idle(view))
                self._adopted.add(server)
        elif view.state is ServerState.STARTING:
            await self._follow(server)

    async def _follow(self, server: ServerId) -> None:
        """A start that an earlier hub began: give it the time that any start has."""
        now = self._clock.monotonic()
        first_seen = self._unfinished.setdefault(server, now)
        if now - first_seen > self._start_timeout:
            self._unfinished.pop(server)
            await self._stop(server)
            why = f"it was not ready after {self._start_timeout} s"
            self._servers.gone(
                server, FailureNote("your server did not start", why, "start it again")
            )

    async def _stop(self, server: ServerId) -> None:
        try:
            await self._spawner.stop(server)
        except ApplianceError as err:
            log.warning("cannot stop the server %s: %s", server, err)

    def _idle(self, view: ServerView) -> float:
        """How long it was idle by the wall clock, believed only up to a bound: clocks jump."""
        if view.last_activity is None:
            return 0.0
        idle = (self._clock.now() - view.last_activity).total_seconds()
        return min(max(0.0, idle), self._believed_idle(view.server.user))
