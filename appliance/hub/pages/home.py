"""The page "My server": its state, the buttons, what it uses, and the way to everything else.

Besides the default server, people may have named ones: for a second project, or to try something.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final, NamedTuple

from appliance.access.scopes import Scopes, Target
from appliance.clock import Clock
from appliance.config.schema import Config
from appliance.errors import BadRequest, Conflict, NotFound
from appliance.hub.classroom.inbox import Inbox
from appliance.hub.culling.keeps import LONGEST, Keeps
from appliance.hub.culling.outlook import Outlook, Outlooks
from appliance.hub.disk_use import DiskUse
from appliance.hub.limits.server_limits import ServerLimits
from appliance.hub.pages.goals import pending_path
from appliance.hub.pages.limits import in_a_sentence
from appliance.hub.server_rows import ServerView
from appliance.hub.servers import Servers
from appliance.hub.services import Services
from appliance.hub.shares import Shares
from appliance.hub.usage import UsageMeter
from appliance.hub.users import Users
from appliance.names import ServerId, parse_display_name, parse_server_name
from appliance.web.forms import FormError, told
from appliance.web.guards import login_needed
from appliance.web.handlers import PageHandler
from appliance.web.parts import Pattern

# More servers of others than these are found by their links.
_SHARED: Final = 50
# For how long one may keep a server running, in minutes.
_CHOICES: Final = (60, 120, 240, 480, 720, 1440)


class Link(NamedTuple):
    """Something to open."""

    name: str
    url: str


class Foreseen(NamedTuple):
    """A server that runs, and when it is stopped."""

    view: ServerView
    outlook: Outlook


class HomePage(PageHandler):
    """What the page and its forms share."""

    config: Config
    servers: Servers
    users: Users
    usage: UsageMeter
    limits: ServerLimits
    disk_use: DiskUse
    shares: Shares
    services: Services
    inbox: Inbox
    keeps: Keeps
    outlooks: Outlooks
    clock: Clock

    def own_server(self) -> ServerId:
        """The server that a form names; raises BadRequest or NotFound."""
        server = ServerId(self.user, parse_server_name(self.get_body_argument("server", "")))
        if not self.servers.known(server):
            raise NotFound(f"cannot find the server {server}", why="you have no such server")
        return server

    async def show(
        self, *, name: str = "", display_name: str = "", error: FormError | None = None
    ) -> None:
        """The page; after a mistake in its form with what was typed."""
        server, *named = self.servers.of_user(self.user)
        is_admin = self.principal is not None and self.principal.admin
        self.render_page(
            "home.html",
            status=error.status if error else 200,
            server=server,
            cards=self.inbox.cards(self.user),
            usage=await self.usage.of(server.server) if server.ready else None,
            may_use=self._may_use(),
            disk=self.disk_use.of_user(self.user),
            front_end=self.config.servers.front_end,
            waiting=self.users.counts().waiting if is_admin else 0,
            named=named,
            running=self._foreseen(view for view in (server, *named) if view.ready),
            keep_choices=self._keep_choices(),
            shared=self.shares.with_user(self.user, limit=_SHARED).items,
            services=self._open_services(),
            named_limit=self.servers.named_limit,
            moving=any(view.pending for view in (server, *named)),
            name=name,
            display_name=display_name,
            error=error,
        )

    def _foreseen(self, running: Iterable[ServerView]) -> list[Foreseen]:
        views = list(running)
        outlooks = self.outlooks.of_all(view.server for view in views)
        return [Foreseen(view, outlooks[view.server]) for view in views]

    def _keep_choices(self) -> list[int]:
        """For how many minutes the user may keep a server running."""
        most = (LONGEST if self.may_keep_longer() else self.keeps.most).total_seconds() / 60
        some = [minutes for minutes in _CHOICES if minutes <= most]
        return some or ([int(most)] if most >= 1 else [])

    def may_keep_longer(self) -> bool:
        return self.principal is not None and self.principal.admin

    def _may_use(self) -> str:
        """What a server may use; nothing where nobody holds it to that."""
        return in_a_sentence(self.limits.of(self.user)) if self.limits.are_held else ""

    def _open_services(self) -> list[Link]:
        """The services with pages that the user may open."""
        scopes = self.principal.scopes if self.principal else Scopes({})
        return [
            Link(name, one.prefix(self.web.base_url))
            for name, one in self.services.all().items()
            if one.url and one.display and scopes.allows("access:services", Target(service=name))
        ]


class HomeHandler(HomePage):
    """My server."""

    @login_needed
    async def get(self) -> None:
        await self.show()


class StopHandler(HomePage):
    """Stops one of one's own servers, or cancels its start."""

    @login_needed
    async def post(self) -> None:
        await self.servers.stop(self.own_server(), wait=2.0)
        self.redirect(self.hub_path("home"))


class KeepHandler(HomePage):
    """Keeps one of one's own servers running for a time, or no longer."""

    @login_needed
    async def post(self) -> None:
        text = self.get_body_argument("minutes", "0")
        minutes = int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else 0
        try:
            server = self.own_server()
            if minutes:
                until = self.clock.now() + timedelta(minutes=minutes)
                self.keeps.keep(server, until, by=self.user, unlimited=self.may_keep_longer())
            else:
                self.keeps.forget(server)
        except (BadRequest, NotFound) as wrong:
            self.leave_note("bad", told(wrong))
        self.redirect(self.hub_path("home"))


class AddHandler(HomePage):
    """Makes a named server and starts it."""

    @login_needed
    async def get(self) -> None:
        # After a mistake the page stands at this address, and loads itself again.
        await self.show()

    @login_needed
    async def post(self) -> None:
        field = "display_name"
        try:
            display_name = parse_display_name(self.get_body_argument(field, ""))
            field = "name"
            server = self._make(self.get_body_argument(field, "").lower(), display_name)
        except (BadRequest, Conflict) as wrong:
            await self._show_again(FormError.of(wrong, field=field))
        else:
            await self.servers.start(server)
            self.redirect(self.hub_path(pending_path(server)))

    def _make(self, name: str, display_name: str) -> ServerId:
        if not name:
            raise BadRequest("cannot make the server", why="it needs a name")
        server = ServerId(self.user, parse_server_name(name))
        self.servers.create(server, display_name=display_name)
        return server

    async def _show_again(self, error: FormError) -> None:
        name = self.get_body_argument("name", "")[:200]
        display_name = self.get_body_argument("display_name", "")[:500]
        await self.show(name=name, display_name=display_name, error=error)


class ForgetHandler(HomePage):
    """Takes a named server off the list; the files are the user's and stay."""

    @login_needed
    async def post(self) -> None:
        server = self.own_server()
        view = self.servers.view(server)
        try:
            self._forget(server)
        except (BadRequest, Conflict) as wrong:
            self.leave_note("bad", told(wrong))
        else:
            self.leave_note("good", f"“{view.title}” is off the list. Your files are still there.")
        self.redirect(self.hub_path("home"))

    def _forget(self, server: ServerId) -> None:
        if not server.name:
            raise BadRequest("cannot forget your server", why="everybody has one")
        self.servers.forget(server)


handlers = [
    Pattern(r"/home", HomeHandler),
    Pattern(r"/home/stop", StopHandler),
    Pattern(r"/home/keep", KeepHandler),
    Pattern(r"/home/servers", AddHandler),
    Pattern(r"/home/forget", ForgetHandler),
]
