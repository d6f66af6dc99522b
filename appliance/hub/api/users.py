"""Users: listing, making, changing, removing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, cast, get_args

from pydantic import Field

from appliance.access.principal import Kind
from appliance.errors import BadRequest, Conflict, NotAllowed
from appliance.hub.api.handler import Body
from appliance.hub.api.models import READ_USER, UserModels
from appliance.hub.api.paging import PagedHandler
from appliance.hub.classroom.classes import Classes
from appliance.hub.classroom.people import People
from appliance.hub.disk_use import DiskUse
from appliance.hub.users import ActiveFilter, Person, Sort
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern

# Others are served between parts of a long list.
_AT_ONCE: Final = 100


class NewUsers(Body):
    """Names to make users of."""

    usernames: list[str] = Field(min_length=1)
    admin: bool = False


class NewUserBody(Body):
    """What a user made by path may be told."""

    admin: bool = False


class UserChange(Body):
    """What can be changed of a user; there is no state of an authenticator to keep."""

    admin: bool | None = None
    name: str | None = None
    auth_state: dict[str, Any] | None = None


class UserHandlerBase(PagedHandler):
    """Users as models, with few queries for many."""

    disk_use: DiskUse

    def models(self, people: Sequence[Person]) -> list[dict[str, Any]]:
        names = [person.name for person in people]
        stopped = self._includes_stopped()
        servers = self.servers.of_users(names) if stopped else self.servers.used_of_users(names)
        groups = self.groups.of_users(names)
        models = UserModels(
            self.identified().scopes,
            hub_url=self.web.hub_url,
            disk_of=self.disk_use.of_user,
            include_stopped=stopped,
        )
        return [
            models.of(
                person,
                servers.get(person.name, ()),
                groups=groups.get(person.name, frozenset()),
                roles=self.roles.of_user(person.name, admin=person.admin, teaches=person.teaches),
            )
            for person in people
        ]

    def model(self, person: Person) -> dict[str, Any]:
        return self.models([person])[0]

    def check_may_make(self, *, admin: bool) -> None:
        if admin and not self.identified().admin:
            raise NotAllowed("cannot make admins", why="only admins may")

    def _includes_stopped(self) -> bool:
        text = self.get_query_argument("include_stopped_servers", "0")
        return text.lower() not in {"0", "false"}


class UserListHandler(UserHandlerBase):
    """All users."""

    @needs_scope("list:users", rows=True)
    async def get(self) -> None:
        within = self.row_filters("list:users", {"user", "group"})
        part = self.part()
        page = self.users.list_page(
            offset=part.offset,
            limit=part.limit,
            search=self.get_query_argument("name_filter", ""),
            sort=self._sort(),
            servers=self._state(),
            within=within,
        )
        self.reply_part(part, self.models(page.items), page.total)

    @needs_scope("admin:users")
    async def post(self) -> None:
        body = self.parse_body(NewUsers)
        self.check_may_make(admin=body.admin)
        made = await self.users.create_many(body.usernames, admin=body.admin, all_or_none=True)
        if not made.created:
            raise Conflict("cannot make the users", why=made.skipped[0].why)
        names = [new.name for new in made.created]
        models: list[dict[str, Any]] = []
        for start in range(0, len(names), _AT_ONCE):
            await asyncio.sleep(0)
            some = names[start : start + _AT_ONCE]
            page = self.users.list_page(limit=len(some), sort="id", only=some)
            models += self.models(page.items)
        self.reply(models, status=201)

    def _sort(self) -> Sort:
        text = self.get_query_argument("sort", "id")
        if text not in get_args(Sort):
            raise BadRequest("cannot sort so", why=f"sort is one of {', '.join(get_args(Sort))}")
        return cast(Sort, text)

    def _state(self) -> ActiveFilter | None:
        text = self.get_query_argument("state", "")
        if text and text not in get_args(ActiveFilter):
            raise BadRequest(
                "cannot filter so", why=f"state is one of {', '.join(get_args(ActiveFilter))}"
            )
        return cast(ActiveFilter, text) if text else None


class UserHandler(UserHandlerBase):
    """One user."""

    people: People
    classes: Classes

    @needs_scope(*READ_USER)
    async def get(self, user: str) -> None:
        self.reply(self.model(self.person(user)))

    @needs_scope("admin:users")
    async def post(self, user: str) -> None:
        body = self.parse_body(NewUserBody)
        self.check_may_make(admin=body.admin)
        made = await self.users.create_many([user], admin=body.admin, all_or_none=True)
        if not made.created:
            raise Conflict(f"cannot make the user {user[:60]!r}", why=made.skipped[0].why)
        self.reply(self.model(self.person(user)), status=201)

    @needs_scope("admin:users")
    async def patch(self, user: str) -> None:
        person = self.person(user)
        body = self.parse_body(UserChange)
        self.check_may_change(person)
        self.check_may_make(admin=bool(body.admin))
        if body.name is not None:
            person = await self.users.rename(person, body.name)
            self.people.due([*self.groups.of(person.name), *self.classes.taught_by(person.name)])
        if body.admin is not None and body.admin != person.admin:
            person = self.users.set_admin(person.name, admin=body.admin)
        self.reply({**self.model(person), "auth_state": None})

    @needs_scope("delete:users")
    async def delete(self, user: str) -> None:
        person = self.person(user)
        who = self.check_may_change(person)
        if who.kind is Kind.USER and who.name == person.name:
            raise BadRequest("cannot remove yourself", mend="ask another admin")
        await self.users.remove(person.name)
        self.set_status(204)
        self.finish()


handlers = [
    Pattern(r"/api/users/?", UserListHandler),
    Pattern(r"/api/users/(?P<user>[^/]+)", UserHandler),
]
