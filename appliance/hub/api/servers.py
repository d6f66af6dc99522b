"""Single-user servers: making, starting, changing, stopping and listing them."""

from __future__ import annotations

import logging
from typing import Any, Final

from pydantic import Field

from appliance.errors import ApplianceError, BadRequest, Conflict, NotAllowed
from appliance.hub.api import activity, progress
from appliance.hub.api.handler import Body, HubApiHandler
from appliance.hub.api.models import server_model
from appliance.hub.api.server_paths import DEFAULT, NAMED, USER
from appliance.hub.server_rows import ServerView
from appliance.hub.spawn_options import check_options
from appliance.hub.states import ServerState
from appliance.interfaces import Running
from appliance.names import ServerId, parse_display_name, parse_server_name
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern

log = logging.getLogger(__name__)

# A request waits this long for a start or stop before it answers 202, as in JupyterHub.
SLOW_SECONDS: Final = 10.0


class WantedServer(Body):
    """How a server is to be started; no options means those of its last start."""

    display_name: str = ""
    user_options: dict[str, Any] | None = None


class ServerChange(Body):
    """What can be changed of a server that doesn't run."""

    name: str | None = None
    display_name: str | None = None
    user_options: dict[str, Any] = Field(default_factory=dict)


class Stop(Body):
    """Whether a named server is to be forgotten, too."""

    remove: bool = False


class ServerHandler(HubApiHandler):
    """One server; the default one has no name."""

    @needs_scope("read:servers")
    async def get(self, user: str, server: str) -> None:
        self._reply(self.servers.view(self.known_server(user, server)))

    @needs_scope("start:servers")
    async def put(self, user: str, server: str) -> None:
        """Make a named server without starting it."""
        wanted = self.server_id(user, server)
        if self.servers.known(wanted):
            raise Conflict(f"cannot make the server {wanted}", why="there is such a server already")
        display_name, options = self._wanted()
        self._reply(
            self.servers.create(wanted, display_name=display_name or "", options=options),
            status=201,
        )

    @needs_scope("start:servers")
    async def post(self, user: str, server: str) -> None:
        wanted = self.server_id(user, server)
        display_name, options = self._wanted()
        if self.servers.view(wanted).state is ServerState.STARTING:
            self._empty(202)
            return
        view = await self.servers.start(
            wanted,
            options=options,
            display_name=display_name if wanted.name else None,
            wait=SLOW_SECONDS,
        )
        self._empty(201 if view.ready else 202)

    @needs_scope("start:servers")
    async def patch(self, user: str, server: str) -> None:
        found = self.server_id(user, server)
        body = self.parse_body(ServerChange)
        if not body.model_fields_set:
            raise BadRequest("cannot change the server", why="the request names nothing to change")
        view = self.servers.edit(
            found,
            name=None if body.name is None else parse_server_name(body.name),
            display_name=parse_display_name(body.display_name) if body.display_name else None,
            options=check_options(body.user_options)
            if "user_options" in body.model_fields_set
            else None,
        )
        self._reply(view)

    @needs_scope("delete:servers")
    async def delete(self, user: str, server: str) -> None:
        wanted = self.known_server(user, server)
        remove = (Stop() if self.json_body() is None else self.parse_body(Stop)).remove
        if remove and not wanted.name:
            raise BadRequest("cannot forget the default server", why="every user has one")
        view = await self.servers.stop(wanted, wait=SLOW_SECONDS, forget=remove)
        self._empty(202 if view.active else 204)

    def _wanted(self) -> tuple[str | None, dict[str, Any] | None]:
        """The display name and the options, None for what the request doesn't have."""
        body = self.json_body()
        if body is None:
            body = {}
        if not isinstance(body, dict):
            raise BadRequest("cannot read the request", why="its body is no JSON object")
        if not body:
            return None, None
        if not body.keys() & {"user_options", "display_name"}:
            # Clients before JupyterHub 6 send the options alone.
            return None, check_options(body)
        wanted = self.parse_body(WantedServer)
        name = parse_display_name(wanted.display_name) or None
        options = wanted.user_options
        return name, None if options is None else check_options(options)

    def _reply(self, view: ServerView, *, status: int = 200) -> None:
        target = self.target(view.server.user, view.server.name)
        may = self.identified().scopes.allows("admin:server_state", target)
        self.reply(server_model(view, hub_url=self.web.hub_url, with_state=may), status=status)

    def _empty(self, status: int) -> None:
        self.set_status(status)
        if status == 204:
            self.clear_header("Content-Type")
        else:
            self.set_header("Content-Type", "text/plain")
        self.finish()


class AdminAccessHandler(HubApiHandler):
    """Where old clients asked for a cookie; the log-in of servers needs none."""

    @needs_scope("servers")
    async def post(self, user: str) -> None:
        raise NotAllowed(
            "cannot give access to this server",
            why="that was for JupyterHub before 0.8",
            mend="open the server's address; who has the scope access:servers is let in",
        )


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


handlers = [
    Pattern(rf"/api{DEFAULT}", ServerHandler),
    Pattern(rf"/api{NAMED}", ServerHandler),
    Pattern(rf"/api{USER}/admin-access", AdminAccessHandler),
    Pattern(rf"/api/appliance{DEFAULT}/log", LogHandler),
    Pattern(rf"/api/appliance{NAMED}/log", LogHandler),
    Pattern(r"/api/appliance/servers", ServerListHandler),
    *progress.handlers,
    *activity.handlers,
]
