"""Groups of users: making, listing, changing and removing them."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field

from appliance.errors import BadRequest, Conflict, NotAllowed
from appliance.hub.api.handler import Body
from appliance.hub.api.models import READ_GROUP, group_model
from appliance.hub.api.paging import PagedHandler
from appliance.hub.classroom.classes import Classes
from appliance.hub.classroom.people import People
from appliance.hub.groups import NAMES_AT_ONCE, GroupView
from appliance.hub.kept_json import check_kept
from appliance.names import Username, parse_username
from appliance.texts import say
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern

# They are read with every list of groups.
_PROPERTIES_BYTES: Final = 64 * 1024


class NewGroups(Body):
    """Names to make groups of, all of the same users."""

    groups: list[str] = Field(min_length=1, max_length=NAMES_AT_ONCE)
    users: list[str] = Field(default_factory=list)


class NewGroup(Body):
    """Who is in a group made by path."""

    users: list[str] = Field(default_factory=list)


class Members(Body):
    """Whom to add or to take out."""

    users: list[str]


class GroupModels(PagedHandler):
    """Groups as models."""

    classes: Classes
    people: People

    def model(self, group: GroupView) -> dict[str, Any]:
        return group_model(
            group, scopes=self.identified().scopes, roles=self.roles.of_group(group.name)
        )

    def check_may_add(self, users: list[str]) -> None:
        """Raise NotAllowed if somebody who is no admin would add one.

        Rights on a group's members would become rights on an admin, by whose server all is open.
        """
        if self.identified().admin or len(users) > NAMES_AT_ONCE:
            return
        names = [parse_username(user) for user in users]
        people = self.users.list_page(only=names, limit=max(1, len(names))).items
        admin = next((person.name for person in people if person.admin), None)
        if admin is not None:
            raise NotAllowed(
                f"cannot add the user {admin!r}", why="only admins may add admins to a group"
            )


class GroupListHandler(GroupModels):
    """All groups."""

    @needs_scope("list:groups", rows=True)
    async def get(self) -> None:
        filters = self.row_filters("list:groups", {"group"})
        part = self.part()
        only = None if filters is None else [one.value for one in filters]
        page = self.groups.list_page(offset=part.offset, limit=part.limit, only=only)
        self.reply_part(part, [self.model(group) for group in page.items], page.total)

    @needs_scope("admin:groups")
    async def post(self) -> None:
        body = self.parse_body(NewGroups)
        self.check_may_add(body.users)
        made = self.groups.create(body.groups, body.users)
        self.reply([self.model(group) for group in made], status=201)


class GroupHandler(GroupModels):
    """One group."""

    @needs_scope(*READ_GROUP)
    async def get(self, group: str) -> None:
        self.reply(self.model(self.groups.get(group)))

    @needs_scope("admin:groups")
    async def post(self, group: str) -> None:
        body = self.parse_body(NewGroup)
        self.check_may_add(body.users)
        self.reply(self.model(self.groups.create([group], body.users)[0]), status=201)

    @needs_scope("delete:groups")
    async def delete(self, group: str) -> None:
        if group in self.classes.titles():
            raise Conflict(
                say("cannot remove the group {name!r}", name=group[:60]),
                why="it is a class, with files and an end of its own",
                mend="archive or delete the class",
            )
        self.groups.remove(group)
        self.set_status(204)
        self.finish()


class MembersHandler(GroupModels):
    """Who is in a group."""

    @needs_scope("groups")
    async def post(self, group: str) -> None:
        users = self.parse_body(Members).users
        self.check_may_add(users)
        before = set(self.groups.get(group).users)
        changed = self.groups.add_users(group, users)
        joined = [Username(name) for name in changed.users if name not in before]
        await self.people.changed(group, joined=joined)
        self.reply(self.model(changed))

    @needs_scope("groups")
    async def delete(self, group: str) -> None:
        before = set(self.groups.get(group).users)
        changed = self.groups.remove_users(group, self.parse_body(Members).users)
        left = [Username(name) for name in before.difference(changed.users)]
        await self.people.changed(group, left=left)
        self.reply(self.model(changed))


class PropertiesHandler(GroupModels):
    """What else is known of a group; the hub itself has no use for it."""

    @needs_scope("groups")
    async def put(self, group: str) -> None:
        properties = self.json_body() if self.request.body else None
        if not isinstance(properties, dict):
            raise BadRequest("cannot read the request", why="its body is no JSON object")
        check_kept(properties, name="the group's properties", most_bytes=_PROPERTIES_BYTES)
        self.reply(self.model(self.groups.set_properties(group, properties)))


_GROUP = r"/api/groups/(?P<group>[^/]+)"

handlers = [
    Pattern(r"/api/groups/?", GroupListHandler),
    Pattern(_GROUP, GroupHandler),
    Pattern(rf"{_GROUP}/users", MembersHandler),
    Pattern(rf"{_GROUP}/properties", PropertiesHandler),
]
