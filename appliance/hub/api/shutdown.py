"""Ending the hub.

The hub is a service of systemd, which starts it again: this restarts it, and with `servers` it
stops people's servers first. What runs otherwise goes on, and requests wait meanwhile. An appliance
that a request could switch off for good would be switched on again only by somebody at its command
line; who is there has `systemctl stop appliance.target`.
"""

from __future__ import annotations

import logging

from appliance import audit
from appliance.audit import Action
from appliance.hub.api.handler import Body, HubApiHandler
from appliance.hub.ending import Ending
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern

log = logging.getLogger(__name__)


class Shutdown(Body):
    """What is to end with the hub: servers, or not. The proxy is a service of its own and stays."""

    proxy: bool = False
    servers: bool = False


class ShutdownHandler(HubApiHandler):
    """Ends the hub."""

    ending: Ending

    @needs_scope("shutdown")
    async def post(self) -> None:
        body = self.parse_body(Shutdown)
        log.warning("%s shuts the hub down (servers: %s)", self.identified().name, body.servers)
        audit.note(Action.SHUT_DOWN, servers=body.servers)
        self.reply({"message": "Shutting down Hub"}, status=202)
        self.ending.begin(stop_servers=body.servers)


handlers = [Pattern(r"/api/shutdown", ShutdownHandler)]
