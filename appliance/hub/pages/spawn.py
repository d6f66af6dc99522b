"""Starting a server from a page, and the page that shows how it gets on.

One's own server also starts by following a link: JupyterLab's "Restart" and nbgitpuller's links do
just that, and all it does is what the next click would. It must be a navigation, though, so that
an image in a notebook doesn't start servers; and for somebody else's server a form asks first.
"""

from __future__ import annotations

from typing import Any, Final

from appliance.access.scopes import Target
from appliance.errors import BadRequest, Conflict, NotFound, SpawnError
from appliance.hub.arrival import PATIENCE_SECONDS
from appliance.hub.pages.goals import parse_server, pending_path, progress_path, spawn_path
from appliance.hub.server_rows import FailureNote, ServerView
from appliance.hub.servers import Servers
from appliance.hub.spawn_options import options_of
from appliance.hub.states import ServerState
from appliance.hub.users import Users
from appliance.names import ServerId, parse_display_name, parse_server_name
from appliance.web.guards import check_access, login_needed
from appliance.web.handlers import PageHandler
from appliance.web.parts import Pattern

_STOP_SECONDS: Final = 20.0


class ServerPage(PageHandler):
    """What pages about one server share."""

    servers: Servers
    users: Users

    def find_server(self, user: str | None, name: str | None) -> ServerId:
        """The server named in the path.

        Raises NotFound unless it may be started by who asks, BadRequest if there can't be one of
        that name.
        """
        owner = parse_server(user or self.user, None).user
        if self.principal:
            target = Target(user=owner, server=name or "", groups=self.web.groups_of(owner))
            check_access(self.principal, ("start:servers",), target)
        self.users.get(owner)
        server = ServerId(owner, parse_server_name(name or ""))
        self.servers.check_room(server)
        return server

    def go_on(self, view: ServerView) -> None:
        """To where the link wanted to go, or to the server itself."""
        self.redirect(self.next_path() or view.url)


class SpawnHandler(ServerPage):
    """Starts a server."""

    @login_needed
    async def get(self, user: str | None = None, name: str | None = None) -> None:
        server = self.find_server(user, name)
        options = options_of(self.request.query_arguments)
        display_name = self._display_name()
        view = await self.servers.seen(server)
        is_starting = view.state is ServerState.STARTING
        if view.ready:
            self.go_on(view)
        elif is_starting and server.user != self.user:
            self.redirect(self.hub_path(pending_path(server, self.next_path() or "")))
        elif is_starting or self._may_start_by_link(server):
            # Logging in has begun it perhaps, and it is there in a moment.
            await self._start(server, options, display_name)
        else:
            self.render_page(
                "spawn_confirm.html",
                target=server.user,
                server_name=server.name,
                is_new=not self.servers.known(server),
                deep_path=self.next_path() or "",
                spawn_url=self.own_uri,
            )

    @login_needed
    async def post(self, user: str | None = None, name: str | None = None) -> None:
        server = self.find_server(user, name)
        options = options_of(self.request.body_arguments, self.request.files)
        view = await self.servers.seen(server)
        if view.active and options:
            # They would be lost in silence.
            raise BadRequest(
                "cannot start the server with these options",
                why="it is already running or on its way",
                mend="stop it first",
            )
        if view.ready:
            self.go_on(view)
        else:
            options = options or options_of(self.request.query_arguments)
            await self._start(server, options, self._display_name())

    def _display_name(self) -> str | None:
        text = self.get_argument("display_name", "")
        return parse_display_name(text) if text else None

    def _may_start_by_link(self, server: ServerId) -> bool:
        """One's own, but not by an image, and no new one because another site's link says so."""
        if server.user != self.user or not self._is_navigation():
            return False
        return self.servers.known(server) or not self.comes_from_elsewhere

    def _is_navigation(self) -> bool:
        return self.request.headers.get("Sec-Fetch-Dest", "document") == "document"

    async def _start(
        self, server: ServerId, options: dict[str, Any] | None, display_name: str | None
    ) -> None:
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
            view = await self.servers.start(
                server, options=options, display_name=display_name, wait=PATIENCE_SECONDS
            )
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
        if not self.servers.known(server):
            raise NotFound(f"cannot find the server {server}", why="there is no such server")
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
                server_name=server.name,
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
            progress_url=f"{self.hub_path(progress_path(view.server))}"
            f"?_xsrf={self.xsrf_value}&language={self.language}",
            next_url=goal,
        )

    def _show_failure(self, view: ServerView, failure: FailureNote, goal: str) -> None:
        is_admin = self.principal is not None and self.principal.admin
        self.render_page(
            "spawn_failed.html",
            status=500,
            target=view.server.user,
            server_name=view.server.name,
            failure=failure,
            log=failure.log if is_admin else (),
            spawn_url=self.hub_path(spawn_path(view.server, goal)),
        )


handlers = [
    Pattern(r"/spawn(?:/(?P<user>[^/]+)(?:/(?P<name>[^/]+))?)?/?", SpawnHandler),
    Pattern(r"/spawn-pending/(?P<user>[^/]+)(?:/(?P<name>[^/]+))?/?", PendingHandler),
]
