"""Where people go on to when they have logged in, and what is begun for them meanwhile.

A browser follows redirects for some hundred milliseconds until it asks for the server. So a log-in
that leads there begins to start it at once. One that leads elsewhere starts nothing, such as an
admin's to the page about users, and neither does one to what would be refused there.
"""

from __future__ import annotations

import logging
import re
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from appliance.access.principal import Kind, Principal
from appliance.access.scopes import GroupsOf, Target
from appliance.errors import ApplianceError, BadRequest
from appliance.hub.classroom.rights import CLASSROOM
from appliance.hub.pages.goals import pending_path
from appliance.hub.server_rows import ServerView
from appliance.hub.servers import Servers
from appliance.hub.states import ServerState
from appliance.names import ServerId, Username, parse_server_name

log = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 1.0
"""How long a browser is kept waiting for a server, before it gets a page that shows how it is."""
_STARTABLE: Final = (ServerState.STOPPED, ServerState.FAILED)
# Below the base URL. A server's own address may have anything behind it, a page's has names alone.
_FRONT: Final = ("", "hub", "hub/")
_OWN: Final = re.compile(r"hub/spawn/?|hub/user-redirect(?:/.*)?")
_PAGE: Final = re.compile(r"hub/spawn(?:-pending)?/(?P<user>[^/]+)(?:/(?P<name>[^/]+))?/?")
_ADDRESS: Final = re.compile(r"(?:hub/)?user/(?P<user>[^/]+)(?:/(?P<name>[^/]+))?(?:/.*)?")


class Arrivals:
    """Starts the servers of people who log in; fulfils `web.parts.Arrivals`."""

    def __init__(
        self, *, servers: Servers, groups_of: GroupsOf, base_url: str, starts_servers: bool
    ) -> None:
        self._servers = servers
        self._groups_of = groups_of
        self._base_url = base_url
        self._starts_servers = starts_servers

    async def at_log_in(self, principal: Principal, goal: str | None) -> str:
        """Begin what the way to the goal needs; the path to go on to, with or without a goal.

        Who goes to the server itself is there without a stop at the page that starts it.
        """
        if goal is None or self._below_base(goal) in _FRONT:
            goal = self.front_of(principal)
        server = self._server_behind(principal.username, goal)
        if server is None or not self._may_start(principal, server):
            return goal
        if goal != self.front_of(principal):
            await self._start(server)
            return goal
        view = await self._start(server, wait=PATIENCE_SECONDS)
        if view.ready:
            return view.url
        is_told = view.active or view.failure
        return f"{self._base_url}hub/{pending_path(server)}" if is_told else goal

    async def at_sign_up(self, principal: Principal) -> None:
        """Who has just got an account or a password reads a page first; its server gets ready."""
        server = ServerId(principal.username)
        if self.front_of(principal).endswith("/spawn") and self._may_start(principal, server):
            await self._start(server)

    def front_of(self, principal: Principal | None) -> str:
        """Where people go who don't say where.

        Users go on to their notebooks in one step, as in JupyterHub; teachers to their classes, and
        admins, who have other things to do here, to the page from which they reach all of it.
        """
        page = "spawn"
        if principal is not None and principal.admin:
            page = "home"
        elif principal is not None and principal.scopes.has(CLASSROOM):
            page = "classes"
        return f"{self._base_url}hub/{page}"

    def _below_base(self, goal: str) -> str:
        return unquote(urlsplit(goal).path).removeprefix(self._base_url)

    def _server_behind(self, user: Username, goal: str) -> ServerId | None:
        """The user's own server to which the way leads, if it leads to one."""
        path = self._below_base(goal)
        given = parse_qs(urlsplit(goal).query, keep_blank_values=True).keys()
        if path.startswith("hub/spawn") and given - {"next"}:
            return None  # The page starts it with these options.
        if _OWN.fullmatch(path):
            return ServerId(user)
        page, address = _PAGE.fullmatch(path), _ADDRESS.fullmatch(path)
        found = page or address
        if found is None or found["user"] != user:
            return None
        try:
            named = ServerId(user, parse_server_name(found["name"] or ""))
        except BadRequest:
            named = None
        if named and self._servers.known(named):
            return named
        return None if page else ServerId(user)

    async def _start(self, server: ServerId, *, wait: float = 0.0) -> ServerView:
        view = await self._servers.seen(server)
        # A batch may have it in line already, where it now gets the user's own place.
        if view.state in (*_STARTABLE, ServerState.STARTING):
            try:
                view = await self._servers.start(server, wait=wait)
            except ApplianceError as error:
                # The page at the end of the way says so, if it is so still.
                log.info("cannot start the server %s at log-in: %s", server, error)
                view = self._servers.view(server)
        return view

    def _may_start(self, principal: Principal, server: ServerId) -> bool:
        if not self._starts_servers or principal.kind is not Kind.USER:
            return False
        if principal.must_change_password:
            return False
        target = Target(user=server.user, server=server.name, groups=self._groups_of(server.user))
        return principal.scopes.allows("start:servers", target)
