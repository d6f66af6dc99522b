"""Single-user servers: starting, stopping, following, and their reports of activity."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import Field
from tornado.iostream import StreamClosedError

from appliance.clock import Clock
from appliance.errors import ApplianceError, BadRequest
from appliance.hub.api.handler import Body, HubApiHandler
from appliance.hub.api.models import server_model
from appliance.hub.progress import Event
from appliance.hub.spawn_options import check_options
from appliance.interfaces import Running
from appliance.names import ServerId, ServerName, parse_server_name
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern

log = logging.getLogger(__name__)

# A request waits this long for a start or stop before it answers 202, as in JupyterHub.
SLOW_SECONDS: Final = 10.0
_KEEP_ALIVE_SECONDS: Final = 8.0
_FUTURE: Final = timedelta(minutes=59)
# Each is looked up in the database, which nobody else can use meanwhile.
_SERVERS_IN_REPORT: Final = 100


class ServerHandler(HubApiHandler):
    """One server; the default one has no name."""

    @needs_scope("read:servers")
    async def get(self, user: str, server: str) -> None:
        view = self.servers.view(self.known_server(user, server))
        may = self.identified().scopes.allows("admin:server_state", self.target(user, server))
        self.reply(server_model(view, hub_url=self.web.hub_url, with_state=may))

    @needs_scope("start:servers")
    async def post(self, user: str, server: str) -> None:
        wanted = self.server_id(user, server)
        view = await self.servers.start(wanted, options=self._options(), wait=SLOW_SECONDS)
        self._empty(201 if view.ready else 202)

    @needs_scope("delete:servers")
    async def delete(self, user: str, server: str) -> None:
        wanted = self.known_server(user, server)
        body = self.json_body()
        remove = isinstance(body, dict) and body.get("remove") is True
        if remove and not wanted.name:
            raise BadRequest("cannot forget the default server", why="every user has one")
        view = await self.servers.stop(wanted, wait=SLOW_SECONDS)
        if remove and not view.active:
            self.servers.forget(wanted)
        self._empty(202 if view.active else 204)

    def _options(self) -> dict[str, Any]:
        body = self.json_body()
        if not isinstance(body, dict):
            raise BadRequest("cannot read the request", why="its body is no JSON object")
        # Clients before JupyterHub 6 send the options alone.
        options = (
            body.get("user_options", {}) if body.keys() & {"user_options", "display_name"} else body
        )
        if not isinstance(options, dict):
            raise BadRequest("cannot read the request", why="user_options is no JSON object")
        return check_options(options)

    def _empty(self, status: int) -> None:
        self.set_status(status)
        if status == 204:
            self.clear_header("Content-Type")
        else:
            self.set_header("Content-Type", "text/plain")
        self.finish()


class ProgressHandler(HubApiHandler):
    """A start as it goes on, as server-sent events."""

    @needs_scope("read:servers")
    async def get(self, user: str, server: str) -> None:
        events = self.servers.progress(self.known_server(user, server))
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-cache")
        # nginx would hold events back until a buffer is full.
        self.set_header("X-Accel-Buffering", "no")
        try:
            await self._send("\n\n")
            await self._stream(events)
        except StreamClosedError:
            return  # whoever listened has left, and the start goes on

    async def _stream(self, events: AsyncIterator[Event]) -> None:
        following = asyncio.ensure_future(anext(events, None))
        try:
            while True:
                done, _ = await asyncio.wait({following}, timeout=_KEEP_ALIVE_SECONDS)
                if not done:
                    await self._send("\n\n")
                    continue
                event = following.result()
                if event is None:
                    return
                await self._send(f"data: {json.dumps(event)}\n\n")
                following = asyncio.ensure_future(anext(events, None))
        finally:
            following.cancel()

    async def _send(self, text: str) -> None:
        self.write(text)
        await self.flush()


class ServerActivity(Body):
    """When a server was last active."""

    last_activity: str


class ActivityReport(Body):
    """When a user and the user's servers were last active."""

    last_activity: str | None = None
    servers: dict[str, ServerActivity] | None = Field(None, max_length=_SERVERS_IN_REPORT)


class ActivityHandler(HubApiHandler):
    """Reports of activity, which servers send again and again."""

    clock: Clock

    @needs_scope("users:activity")
    async def post(self, user: str) -> None:
        body = self.parse_body(ActivityReport)
        if body.last_activity is None and not body.servers:
            raise BadRequest("cannot note the activity", why="the report is empty")
        servers: dict[ServerName, datetime] = {
            parse_server_name(name): self._moment(report.last_activity)
            for name, report in (body.servers or {}).items()
        }
        last = None if body.last_activity is None else self._moment(body.last_activity)
        self.servers.note_activity(self.person(user).name, last, servers)
        self.set_header("Content-Type", "text/plain")
        self.finish()

    def _moment(self, text: str) -> datetime:
        try:
            moment = datetime.fromisoformat(text[:40])
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            moment = moment.astimezone(UTC)
        except (ValueError, OverflowError) as err:
            raise BadRequest(
                "cannot note the activity", why=f"{text[:40]!r} is no ISO 8601 time"
            ) from err
        if moment > self.clock.now() + _FUTURE:
            raise BadRequest("cannot note the activity", why=f"{text[:40]!r} is in the future")
        return moment


class LogHandler(HubApiHandler):
    """The last lines that a server wrote, for admins."""

    @needs_scope("admin:server_state")
    async def get(self, user: str, server: str) -> None:
        lines = min(max(self.whole_number("lines", 100), 1), 10_000)
        self.reply({"lines": await self.servers.log(self.known_server(user, server), lines=lines)})


class ServerListHandler(HubApiHandler):
    """Every server that runs or is on its way, with what it uses."""

    @needs_scope("read:servers", rows=True)
    async def get(self) -> None:
        usage = await self._usage()
        scopes = self.identified().scopes
        rows = []
        for view in self.servers.active():
            if not scopes.allows("read:servers", self.target(view.server.user, view.server.name)):
                continue
            found = usage.get(view.server)
            rows.append(
                {
                    **server_model(view, hub_url=self.web.hub_url),
                    "user": view.server.user,
                    "server": view.server.name,
                    "memory_bytes": found.memory_bytes if found else None,
                    "memory_limit_bytes": found.memory_limit_bytes if found else None,
                    "cpu_seconds": found.cpu_seconds if found else None,
                    "tasks": found.tasks if found else None,
                }
            )
        self.reply(rows)

    async def _usage(self) -> dict[ServerId, Running]:
        """What each uses; nothing while the spawner can't be asked."""
        try:
            return await self.servers.usage()
        except ApplianceError as err:
            log.warning("cannot tell what servers use: %s", err)
            return {}


_USER: Final = r"/users/(?P<user>[^/]+)"
# The empty group makes the default server's name.
_DEFAULT: Final = rf"{_USER}/server(?P<server>)"
_NAMED: Final = rf"{_USER}/servers/(?P<server>[^/]*)"

handlers = [
    Pattern(rf"/api{_DEFAULT}", ServerHandler),
    Pattern(rf"/api{_NAMED}", ServerHandler),
    Pattern(rf"/api{_DEFAULT}/progress", ProgressHandler),
    Pattern(rf"/api{_NAMED}/progress", ProgressHandler),
    Pattern(rf"/api{_USER}/activity", ActivityHandler),
    Pattern(rf"/api/appliance{_DEFAULT}/log", LogHandler),
    Pattern(rf"/api/appliance{_NAMED}/log", LogHandler),
    Pattern(r"/api/appliance/servers", ServerListHandler),
]
