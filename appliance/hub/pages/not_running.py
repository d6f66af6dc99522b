"""What stands at a server's address while the server doesn't run.

People get a page that starts it and goes on to the very address they asked for. Scripts, above all
JupyterLab in an open tab, get status 424, which they know as "the server is gone".
"""

from __future__ import annotations

import asyncio
from typing import Final

from appliance.access.scopes import Target
from appliance.errors import ApplianceError, NotFound
from appliance.hub.pages.goals import parse_server, pending_path, server_path, spawn_path
from appliance.hub.server_rows import ServerView
from appliance.hub.servers import Servers
from appliance.hub.states import ServerState
from appliance.hub.users import Users
from appliance.names import ServerId
from appliance.web.guards import login_needed, public
from appliance.web.handlers import PageHandler
from appliance.web.parts import Pattern, Web

_HOPS: Final = 4
_HOP = "redirects"


def not_running_message(web: Web, server: ServerId | None = None) -> str:
    """What scripts are told; the address is JupyterHub's, and clients show it."""
    where = f"{web.hub_url}spawn/{server_path(server)}" if server else f"{web.hub_url}spawn"
    return f"JupyterHub server no longer running. Restart the server at {where}"


class ServerAddressHandler(PageHandler):
    """Requests for /user/… that came here because no server answered them.

    Reading needs no XSRF token, not even for scripts: JupyterLab's polls end here when its server
    is stopped, and what they learn is that alone.
    """

    servers: Servers
    users: Users

    async def prepare(self) -> None:
        token = self._token()
        if token is not None:
            self.principal = self.web.identify.by_token(token)
        elif self.is_read:
            self.principal = self.identify_cookie()
        else:
            await super().prepare()

    @public
    async def get(self, user: str, path: str | None = None) -> None:
        path = path or "/"
        if self._is_script(path):
            self._tell_script(self._find(user, path) if self.principal else None)
        else:
            await self._page(user, path)

    @login_needed
    async def _page(self, user: str, path: str) -> None:
        server = self._find(user, path)
        # The proxy didn't find it.
        view = await self.servers.seen(server, doubted=True)
        goal = self._goal()
        if view.ready:
            await self._go_to_server(goal)
        elif self._may_start(server) and view.state in {ServerState.STARTING, ServerState.FAILED}:
            self.redirect(self.hub_path(pending_path(server, goal)), status=303)
        else:
            self._offer(view, goal)

    @public
    async def post(self, user: str, path: str | None = None) -> None:
        self._tell_script(self._find(user, path or "/") if self.principal else None)

    put = patch = delete = post

    def _find(self, user: str, path: str) -> ServerId:
        """The server that is meant; NotFound alike if there is none or it isn't one's own."""
        segment = path.split("/")[1]
        for name in (segment, None):
            try:
                server = parse_server(user, name)
            except NotFound:
                continue
            if name and not self.servers.known(server):
                continue
            target = Target(
                user=server.user, server=server.name, groups=self.web.groups_of(server.user)
            )
            allowed = self.principal and self.principal.scopes.allows("access:servers", target)
            if allowed and self.users.find(server.user):
                return server
        raise NotFound("cannot find this server", why="it isn't there, or it isn't yours")

    def _is_script(self, path: str) -> bool:
        accept = self.request.headers.get("Accept", "").strip().lower()
        return accept.startswith("application/json") or "api" in path.split("/")

    def _tell_script(self, server: ServerId | None) -> None:
        message = not_running_message(self.web, server)
        self.reply({"status": 424, "message": message}, status=424)

    def _goal(self) -> str:
        """The address asked for, without our own count of redirects."""
        parts = [p for p in self.request.query.split("&") if p and not p.startswith(f"{_HOP}=")]
        query = f"?{'&'.join(parts)}" if parts else ""
        raw = self.request.path.removeprefix(self.web.hub_url)
        return f"{self.web.base_url}{raw}{query}"

    async def _go_to_server(self, goal: str) -> None:
        """It runs after all: the proxy will find it now, or in a moment."""
        text = self.get_query_argument(_HOP, "0")
        hop = int(text) if text.isdecimal() and len(text) < 3 else _HOPS
        if hop >= _HOPS:
            raise ApplianceError(
                "cannot reach the server",
                why="it runs, but the way to it leads back here",
                mend="stop it on your page and start it again",
            )
        if hop:
            await asyncio.sleep(min(2**hop, 10))
        mark = "&" if "?" in goal else "?"
        self.redirect(f"{goal}{mark}{_HOP}={hop + 1}")

    def _offer(self, view: ServerView, goal: str) -> None:
        is_front = goal.rstrip("/") == view.url.rstrip("/")
        self.render_page(
            "not_running.html",
            status=424,
            target=view.server.user,
            server_name=view.server.name,
            deep_path="" if is_front else goal,
            spawn_url=self.hub_path(spawn_path(view.server, goal)),
            may_start=self._may_start(view.server),
        )

    def _may_start(self, server: ServerId) -> bool:
        """Not everybody with whom a server is shared."""
        groups = self.web.groups_of(server.user)
        target = Target(user=server.user, server=server.name, groups=groups)
        return self.principal is not None and self.principal.scopes.allows("start:servers", target)


handlers = [Pattern(r"/user/(?P<user>[^/]+)(?P<path>/.*)?", ServerAddressHandler)]
