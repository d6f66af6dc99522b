"""The end of the hub: by a signal, or because somebody asked for it."""

from __future__ import annotations

import asyncio
import logging

from appliance.hub.servers import Servers
from appliance.hub.supervisor import Supervisor

log = logging.getLogger(__name__)


class Ending:
    """Knows when the hub is to end; `server.py` waits for it."""

    def __init__(self, *, servers: Servers, supervisor: Supervisor) -> None:
        self._servers = servers
        self._supervisor = supervisor
        self._due = asyncio.Event()

    @property
    def is_due(self) -> bool:
        return self._due.is_set()

    async def wait(self) -> None:
        """Wait until the hub is to end."""
        await self._due.wait()

    def now(self) -> None:
        """End the hub; servers go on."""
        self._due.set()

    def begin(self, *, stop_servers: bool) -> None:
        """End the hub, after stopping all servers if need be; returns at once."""
        if stop_servers:
            self._supervisor.run("stopping all servers", self._stop_servers())
        else:
            self.now()

    async def _stop_servers(self) -> None:
        active = [view.server for view in self._servers.active()]
        stops = [self._servers.stop(server) for server in active]
        for server, answer in zip(
            active, await asyncio.gather(*stops, return_exceptions=True), strict=True
        ):
            if isinstance(answer, BaseException):
                log.warning("cannot stop the server %s: %s", server, answer)
        self.now()
