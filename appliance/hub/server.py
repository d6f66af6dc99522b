"""Running a hub: sockets, background loops, and an end that loses nothing."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Mapping
from typing import Final

from tornado.httpserver import HTTPServer

from appliance.errors import ApplianceError
from appliance.hub.app import Hub
from appliance.notify import notify, watchdog_interval

log = logging.getLogger(__name__)

# Names of the sockets: FileDescriptorName= in the socket units.
HUB_SOCKET: Final = "hub"
ADMIN_SOCKET: Final = "admin"
_BODY_BYTES: Final = 2 * 1024 * 1024
_HEADER_BYTES: Final = 64 * 1024
_FIRST_LOOK_SECONDS: Final = 5.0
_GOODBYE_SECONDS: Final = 5.0


class HubServer:
    """Serves one hub on its two sockets."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        # The proxy alone can connect to the hub's socket, so its X-Forwarded-… are believed.
        self._public = HTTPServer(
            hub.application, xheaders=True,
            max_body_size=_BODY_BYTES, max_header_size=_HEADER_BYTES, idle_connection_timeout=120,
        )  # fmt: skip
        self._admin = HTTPServer(hub.gate, max_body_size=_BODY_BYTES, max_header_size=_HEADER_BYTES)

    async def start(self, sockets: Mapping[str, socket.socket]) -> None:
        """Look at what runs, then answer requests; those that came before have waited in line."""
        await self._first_look()
        await self._hub.relays.open_all()
        for server, name in ((self._public, HUB_SOCKET), (self._admin, ADMIN_SOCKET)):
            if name in sockets:
                sockets[name].settimeout(0)
                server.add_socket(sockets[name])
        hub, keep_running = self._hub, self._hub.supervisor.keep_running
        keep_running("watching exits", hub.servers.watch_exits)
        keep_running("reconciling", hub.reconciler.run)
        keep_running("culling", hub.culler.run)
        keep_running("housekeeping", hub.housekeeping.run)
        keep_running("routes", hub.routes.run)
        keep_running("services", hub.keeper.run)
        for loop_name, loop in hub.classroom.loops.items():
            keep_running(loop_name, loop)
        interval = watchdog_interval()
        if interval:
            keep_running("watchdog", lambda: _feed_watchdog(interval))
        hub.metrics.on_ready()
        notify("READY=1\nSTATUS=Answering requests")
        log.info("ready")

    async def _first_look(self) -> None:
        try:
            async with asyncio.timeout(_FIRST_LOOK_SECONDS):
                await self._hub.reconciler.once()
        except (ApplianceError, TimeoutError) as err:
            log.warning("cannot see yet which servers run: %s", err or "the spawner is silent")

    async def stop(self) -> None:
        """Take no more requests, give those under way a moment, end the loops, close the database.

        Starts under way are left to the spawner; the next hub finds them and goes on.
        """
        notify("STOPPING=1")
        self._public.stop()
        self._admin.stop()
        await self._hub.supervisor.close()
        await self._hub.relays.close_all()
        for server in (self._public, self._admin):
            try:
                async with asyncio.timeout(_GOODBYE_SECONDS):
                    await server.close_all_connections()
            except TimeoutError:
                log.warning("some connections did not close in time")
        self._hub.authenticator.close()
        self._hub.db.close()

    async def run(self, sockets: Mapping[str, socket.socket]) -> None:
        """Serve until SIGTERM, SIGINT, or a request to end."""
        ending = self._hub.ending
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ending.now)
        await self.start(sockets)
        await ending.wait()
        log.info("stopping")
        await self.stop()


async def _feed_watchdog(interval: float) -> None:
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(interval)
