"""The admin pages: users and their servers in one list, and what admins do with them.

Every change is a POST that ends in a redirect. What only shows once (passwords, links) waits in
`ShownOnce` in between. Actions on many users go on when one of them fails, and say which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from appliance.access.principal import Principal
from appliance.access.scopes import Target
from appliance.db.models import UserState
from appliance.errors import NotAllowed, NotFound
from appliance.hub.classroom.rights import Rights
from appliance.hub.disk_use import DiskUse, Share
from appliance.hub.pages.admin_actions import Actions, Outcome
from appliance.hub.pages.admin_rights import LOOK, POWER, check_may
from appliance.hub.pages.shown_once import Sheet, ShownOnce
from appliance.hub.server_rows import ServerView
from appliance.hub.servers import Servers
from appliance.hub.usage import Usage, UsageMeter
from appliance.hub.users import Person, Users
from appliance.names import ServerId, Username, parse_server_name
from appliance.web.guards import login_needed
from appliance.web.handlers import PageHandler
from appliance.web.parts import Pattern

PAGE_SIZE: Final = 50
# Hashing their passwords takes half a minute, which is as long as people wait for a page.
_NAMES_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Row:
    """A user with the servers, as the list shows them."""

    person: Person
    server: ServerView
    named: list[ServerView]
    usage: Usage | None
    disk: Share | None
    you: bool

    @property
    def name(self) -> Username:
        return self.person.name

    @property
    def waiting(self) -> bool:
        return self.person.state is UserState.WAITING

    @property
    def locked(self) -> bool:
        return self.person.state is UserState.LOCKED


class AdminPage(PageHandler):
    """What the admin pages share."""

    users: Users
    servers: Servers
    usage: UsageMeter
    disk_use: DiskUse
    shown_once: ShownOnce
    actions: Actions
    rights: Rights

    def check_admin(self) -> None:
        """Raise NotAllowed unless the admin pages are open to who asks."""
        if self.principal is None or not self.principal.scopes.allows("admin-ui", Target()):
            raise NotAllowed(
                "cannot open this page", why="it is for admins", mend="go back to your server"
            )

    @property
    def asker(self) -> Principal:
        """Who asks, if the admin pages are open to them; raises NotAllowed."""
        self.check_admin()
        return self.identified()

    def check_may(self, verb: str, person: Person, *, server: str = "") -> None:
        """Raise NotAllowed for what the asker may not do with a user."""
        groups = self.web.groups_of(person.name)
        check_may(self.asker, verb, person, groups=groups, server=server)
        if verb in POWER:
            self.rights.check_not_above(self.asker, person, groups)

    def person(self, name: str) -> Person:
        """A user whom the asker may see; raises NotFound."""
        person = self.users.get(name)
        try:
            self.check_may(LOOK, person)
        except NotAllowed as refusal:
            raise NotFound(f"cannot find the user {name[:60]!r}", why=refusal.why) from refusal
        return person

    @property
    def origin(self) -> str:
        return f"{self.request.protocol}://{self.request.host}"

    @property
    def site(self) -> str:
        """The address of the appliance, as the admin's browser knows it."""
        return f"{self.origin}{self.web.base_url}"

    async def rows(self, people: list[Person]) -> list[Row]:
        servers = self.servers.of_users([person.name for person in people])
        usage = await self.usage.all()
        return [
            Row(
                person,
                servers[person.name][0],
                servers[person.name][1:],
                usage.get(ServerId(person.name)),
                self.disk_use.of_user(person.name),
                person.name == self.user,
            )
            for person in people
        ]

    def named_server(self, person: Person, name: str) -> ServerId:
        """One of somebody's servers; raises BadRequest or NotFound."""
        server = ServerId(person.name, parse_server_name(name))
        if not self.servers.known(server):
            raise NotFound(f"cannot find the server {server}", why="there is no such server")
        return server

    def show_sheet(self, sheet: Sheet) -> None:
        """Go to the page with cards of the new passwords."""
        self.redirect(self.hub_path(f"cards/{self.shown_once.put(self.user, sheet)}"))

    def tell(self, outcome: Outcome) -> None:
        """Leave a note of what was done and what was not."""
        if outcome.failed:
            self.leave_note("bad", outcome.text)
        else:
            self.leave_note("good", outcome.text)

    def user_page(self, name: str) -> str:
        return self.hub_path(f"admin/users/{quote(name, safe='@')}")


class LogHandler(AdminPage):
    """The last lines that a user's server wrote."""

    @login_needed
    async def get(self, name: str) -> None:
        self.check_admin()
        person = self.person(name)
        server = self.named_server(person, self.get_query_argument("server", ""))
        self.check_may("log", person, server=server.name)
        lines = await self.servers.log(server, lines=300)
        self.render_page("admin_log.html", target=person.name, server_name=server.name, lines=lines)


class RemoveHandler(AdminPage):
    """Asks once more, then removes."""

    @login_needed
    async def get(self) -> None:
        self.check_admin()
        names = [name for name in self.get_query_arguments("user")[:PAGE_SIZE] if self._known(name)]
        if not names:
            raise NotFound("cannot find whom to remove", mend="choose users in the list first")
        self.render_page("admin_remove.html", names=names)

    @login_needed
    async def post(self) -> None:
        self.check_admin()
        names = self.get_body_arguments("user")[:PAGE_SIZE]
        self.tell(await self.actions.do("remove", names, by=self.user, may=self.check_may))
        self.redirect(self.hub_path("admin"))

    def _known(self, name: str) -> bool:
        return self.users.find(name) is not None


handlers = [
    Pattern(r"/admin/remove", RemoveHandler),
    Pattern(r"/admin/users/(?P<name>[^/]+)/log", LogHandler),
]
