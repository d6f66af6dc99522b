"""Stopping servers that nobody uses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from appliance.config.culling_schema import Culling
from appliance.errors import ApplianceError
from appliance.hub.activity import Activity
from appliance.hub.servers import Servers

log = logging.getLogger(__name__)


class Culler:
    """Looks for idle servers now and then, and stops them one after the other."""

    def __init__(
        self,
        *,
        servers: Servers,
        activity: Activity,
        settings: Culling,
        on_end: Callable[[str], None],
    ) -> None:
        self._servers = servers
        self._activity = activity
        self._settings = settings
        self._on_end = on_end

    async def run(self) -> None:
        """Cull for ever, if it is enabled."""
        while True:
            await asyncio.sleep(self._settings.interval)
            if self._settings.enabled:
                await self.once()

    async def once(self) -> None:
        """Stop every server that has been idle for longer than the setting."""
        for view in self._servers.active():
            idle = self._activity.idle_seconds(view.server)
            if view.ready and idle is not None and idle > self._settings.timeout:
                log.info("server %s: idle for %d s, stopping it", view.server, idle)
                try:
                    await self._servers.stop(view.server)
                    self._on_end("idle")
                except ApplianceError as err:
                    log.warning("cannot stop the idle server %s: %s", view.server, err)


def believed_idle_seconds(settings: Culling) -> float:
    """How idle a server may seem when a hub finds it running.

    It stays so far below the limit that the server's next report comes first: after a restart, or a
    jump of the clock, nobody is culled on old news.
    """
    reports = min(300, max(5, settings.timeout // 4))
    return max(0.0, settings.timeout - 1.5 * reports - 10)
