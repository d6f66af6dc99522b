"""Starting a server from a page, and the page that shows how it gets on.

One's own server also starts by following a link: JupyterLab's "Restart" and nbgitpuller's links do
just that, and all it does is what the next click would. It must be a navigation, though, so that
an image in a notebook doesn't start servers; and for somebody else's server a form asks first.
"""

from __future__ import annotations

from typing import Final

from appliance.access.scopes import Target
from appliance.errors import Conflict, SpawnError
from appliance.hub.pages.goals import parse_server, pending_path, progress_path, spawn_path
from appliance.hub.server_rows import FailureNote, ServerView
from appliance.hub.servers import Servers
from appliance.hub.states import ServerState
from appliance.hub.users import Users
from appliance.names import ServerId
from appliance.web.guards import check_access, login_needed
from appliance.web.handlers import PageHandler
from appliance.web.parts import Pattern

_PATIENCE_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 20.0


class ServerPage(PageHandler):
    """What pages about one server share."""

    servers: Servers
    users: Users

    def find_server(self, user: str | None, name: str | None) -> ServerId:
        """The server named in the path; raises NotFound unless it may be started by who asks."""
        server = parse_server(user or self.user, name)
        if self.principal:
            groups = self.web.groups_of(server.user)
            target = Target(user=server.user, server=server.name, groups=groups)
            check_access(self.principal, ("start:servers",), target)
        self.users.get(server.user)
        return server

    def go_on(self, view: ServerView) -> None:
        """To where the link wanted to go, or to the server itself."""
        self.redirect(self.next_path() or view.url)


class SpawnHandler(ServerPage):
    """Starts a server."""

    @login_needed
    async def get(self, user: str | None = None, name: str | None = None) -> None:
        server = self.find_server(user, name)
        view = self.servers.view(server)
        if view.ready:
            self.go_on(view)
        elif view.state is ServerState.STARTING:
            self.redirect(self.hub_path(pending_path(server, self.next_path() or "")))
        elif server.user == self.user and self._is_navigation():
            await self._start(server)
        else:
            goal = self.next_path() or ""
            self.render_page(
                "spawn_confirm.html",
                target=server.user,
                deep_path=goal,
                spawn_url=self.hub_path(spawn_path(server, goal)),
            )

    @login_needed
    async def post(self, user: str | None = None, name: str | None = None) -> None:
        server = self.find_server(user, name)
        view = self.servers.view(server)
        if view.ready:
            self.go_on(view)
        else:
            await self._start(server)

    def _is_navigation(self) -> bool:
        return self.request.headers.get("Sec-Fetch-Dest", "document") == "document"

    async def _start(self, server: ServerId) -> None:
        view = self.servers.view(server)
        if view.state is ServerState.STOPPING:
            view = await self.servers.stop(server, wait=_STOP_SECONDS)
        if view.state is ServerState.STOPPING:
            raise Conflict(
                "cannot start the server now",
                why="it is still stopping",
                mend="wait a little and load this page again",
            )
        try:
            view = await self.servers.start(server, wait=_PATIENCE_SECONDS)
        except SpawnError:
            # The page behind the redirect tells it, and can be loaded again without starting again.
            view = self.servers.view(server)
        if view.ready:
            self.go_on(view)
        else:
            self.redirect(self.hub_path(pending_path(server, self.next_path() or "")))


class PendingHandler(ServerPage):
    """Shows how a start gets on; never starts anything."""

    @login_needed
    async def get(self, user: str, name: str | None = None) -> None:
        server = self.find_server(user, name)
        view = self.servers.view(server)
        goal = self.next_path() or ""
        if view.ready:
            self.go_on(view)
        elif view.state is ServerState.STARTING:
            self._show_progress(view, goal)
        elif view.failure:
            self._show_failure(view, view.failure, goal)
        else:
            is_front = goal.rstrip("/") == view.url.rstrip("/")
            self.render_page(
                "not_running.html",
                target=server.user,
                deep_path="" if is_front else goal,
                spawn_url=self.hub_path(spawn_path(server, goal)),
                may_start=True,
            )

    def _show_progress(self, view: ServerView, goal: str) -> None:
        self.render_page(
            "spawn_pending.html",
            target=view.server.user,
            server_name=view.server.name,
            started=view.started,
            place=view.queue_position,
            progress_url=f"{self.hub_path(progress_path(view.server))}?_xsrf={self.xsrf_value}",
            next_url=goal,
        )

    def _show_failure(self, view: ServerView, failure: FailureNote, goal: str) -> None:
        is_admin = self.principal is not None and self.principal.admin
        self.render_page(
            "spawn_failed.html",
            status=500,
            target=view.server.user,
            failure=failure,
            log=failure.log if is_admin else (),
            spawn_url=self.hub_path(spawn_path(view.server, goal)),
        )


handlers = [
    Pattern(r"/spawn(?:/(?P<user>[^/]+)(?:/(?P<name>[^/]+))?)?/?", SpawnHandler),
    Pattern(r"/spawn-pending/(?P<user>[^/]+)(?:/(?P<name>[^/]+))?/?", PendingHandler),
]
