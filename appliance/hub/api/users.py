"""Users: listing, making, changing, removing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast, get_args
from urllib.parse import urlencode

from appliance.access.scopes import Filters
from appliance.errors import BadRequest, Conflict, NotAllowed
from appliance.hub.api.handler import Body, HubApiHandler
from appliance.hub.api.models import READ_USER, user_model
from appliance.hub.users import ActiveFilter, Person, Sort
from appliance.names import Username
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern

MAX_PER_PAGE: Final = 200
DEFAULT_PER_PAGE: Final = 50
_PAGED: Final = "application/jupyterhub-pagination+json"


class NewUsers(Body):
    """Names to make users of."""

    usernames: list[str]
    admin: bool = False


class NewUserBody(Body):
    """What a user made by path may be told."""

    admin: bool = False


class UserChange(Body):
    """What can be changed of a user."""

    admin: bool | None = None
    name: str | None = None


class UserModels(HubApiHandler):
    """Users as models, with few queries for many."""

    def models(self, people: Sequence[Person]) -> list[dict[str, Any]]:
        names = [person.name for person in people]
        servers, groups = self.servers.of_users(names), self.groups.of_users(names)
        return [
            user_model(
                person,
                servers[person.name],
                scopes=self.identified().scopes,
                groups=groups.get(person.name, frozenset()),
                roles=self.roles.of_user(person.name, admin=person.admin),
                hub_url=self.web.hub_url,
                include_stopped=self.get_query_argument("include_stopped_servers", None)
                is not None,
            )
            for person in people
        ]

    def model(self, person: Person) -> dict[str, Any]:
        return self.models([person])[0]


class UserListHandler(UserModels):
    """All users."""

    @needs_scope("list:users", rows=True)
    async def get(self) -> None:
        paged = _PAGED in self.request.headers.get("Accept", "")
        offset = abs(self.whole_number("offset", 0))
        limit = abs(self.whole_number("limit", DEFAULT_PER_PAGE if paged else MAX_PER_PAGE))
        limit = min(max(limit, 1), MAX_PER_PAGE)
        page = self.users.list_page(
            offset=min(offset, 2**31),
            limit=limit,
            search=self.get_query_argument("name_filter", "")[:48],
            sort=self._sort(),
            servers=self._state(),
            only=_named(self.identified().scopes.filters("list:users")),
        )
        items = self.models(page.items)
        if not paged:
            self.reply(items)
            return
        following: dict[str, Any] | None = None
        if offset + limit < page.total:
            following = {"offset": offset + limit, "limit": limit}
            following["url"] = self._url_of(following)
        self.set_header("Content-Type", _PAGED)
        self.reply(
            {
                "items": items,
                "_pagination": {
                    "offset": offset,
                    "limit": limit,
                    "total": page.total,
                    "next": following,
                },
            }
        )

    @needs_scope("admin:users")
    async def post(self) -> None:
        body = self.parse_body(NewUsers)
        if not body.usernames:
            raise BadRequest("cannot make users", why="the list of names is empty")
        self._check_may_make(admin=body.admin)
        made = await self.users.create_many(body.usernames, admin=body.admin, all_or_none=True)
        if not made.created:
            raise Conflict("cannot make the users", why="all of them are there already")
        people = self.users.list_page(
            limit=len(made.created), sort="id", only=[new.name for new in made.created]
        )
        self.reply(self.models(people.items), status=201)

    def _check_may_make(self, *, admin: bool) -> None:
        if admin and not self.identified().admin:
            raise NotAllowed("cannot make admins", why="only admins may")

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

    def _url_of(self, page: dict[str, Any]) -> str:
        kept = {
            name: self.get_query_arguments(name)
            for name in self.request.query_arguments
            if name not in {"offset", "limit"}
        }
        query = urlencode({**kept, **page}, doseq=True)
        return f"{self.request.protocol}://{self.request.host}{self.request.path}?{query}"


class UserHandler(UserModels):
    """One user."""

    @needs_scope(*READ_USER)
    async def get(self, user: str) -> None:
        self.reply(self.model(self.person(user)))

    @needs_scope("admin:users")
    async def post(self, user: str) -> None:
        body = self.parse_body(NewUserBody)
        if body.admin and not self.identified().admin:
            raise NotAllowed("cannot make admins", why="only admins may")
        made = await self.users.create_many([user], admin=body.admin, all_or_none=True)
        if not made.created:
            raise Conflict(f"cannot make the user {user!r}", why=made.skipped[0].why)
        self.reply(self.model(self.person(user)), status=201)

    @needs_scope("admin:users")
    async def patch(self, user: str) -> None:
        body = self.parse_body(UserChange)
        person = self.person(user)
        who = self.check_may_change(person)
        if body.name is not None and body.name != person.name:
            raise BadRequest(
                f"cannot rename the user {person.name!r}",
                why="files and servers belong to the name",
                mend="make a new user",
            )
        if body.admin is not None and body.admin != person.admin:
            if not who.admin:
                raise NotAllowed("cannot make admins", why="only admins may")
            person = self.users.set_admin(person.name, admin=body.admin)
        self.reply({**self.model(person), "auth_state": None})

    @needs_scope("delete:users")
    async def delete(self, user: str) -> None:
        person = self.person(user)
        who = self.check_may_change(person)
        if who.name == person.name:
            raise BadRequest("cannot remove yourself", mend="ask another admin")
        await self.users.remove(person.name)
        self.set_status(204)
        self.finish()


def _named(filters: Filters) -> list[Username] | None:
    """The users that a filtered scope names; None means everybody."""
    if filters is None:
        return None
    return [Username(one.value) for one in filters if one.kind == "user"]


handlers = [
    Pattern(r"/api/users/?", UserListHandler),
    Pattern(r"/api/users/(?P<user>[^/]+)", UserHandler),
]
