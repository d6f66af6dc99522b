"""Limits: what a user or a group may use and why, giving them other ones, and what ran out."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from appliance.access.scopes import Target
from appliance.errors import NotAllowed, NotFound
from appliance.hub.api.handler import Body, HubApiHandler
from appliance.hub.limits.memory_kills import NOTEBOOK_MAX, Killed, MemoryKills
from appliance.hub.limits.server_limits import Kind, ServerLimits, Subject, Wish
from appliance.limits import NAMES, Effective, Limit
from appliance.texts import say
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern


class NewLimits(Body):
    """Limits to set; null takes one away, what isn't there stays as it is."""

    memory: int | None = None
    cpu: float | None = None
    tasks: int | None = None
    force: bool = False
    """Lower memory even below what is in use, so that Linux stops what is too much."""

    def wish(self) -> Wish:
        given = self.model_fields_set - {"force"}
        return {name: getattr(self, name) for name in sorted(given)}


class OutOfMemory(Body):
    """What a server says when Linux has stopped something in it."""

    server: str = Field("", max_length=30)
    notebook: str = Field("", max_length=NOTEBOOK_MAX)
    by_machine: bool = False


class LimitsPart(HubApiHandler):
    """What the handlers of limits share."""

    limits: ServerLimits

    def show(self, subject: Subject) -> None:
        """Finish with what holds for it, and what it was given on a page."""
        self.reply(
            {
                **effective_model(self.limits.of_subject(subject)),
                "given": self.limits.given_to(subject),
                "most": dict(self.limits.book.caps),
            }
        )

    async def change(self, subject: Subject) -> None:
        """Do what the body asks for, and show what holds then."""
        body = self.parse_body(NewLimits)
        await self.limits.give(subject, body.wish(), by=self.identified().name, force=body.force)
        self.show(subject)


class UserLimitsHandler(LimitsPart):
    """One user's."""

    @needs_scope("read:users", "admin:users")
    async def get(self, user: str) -> None:
        self.show(Subject(Kind.USER, self.person(user).name))

    @needs_scope("admin:users")
    async def patch(self, user: str) -> None:
        person = self.person(user)
        self.check_may_change(person)
        await self.change(Subject(Kind.USER, person.name))


class GroupLimitsHandler(LimitsPart):
    """Those of a group's or class's members."""

    @needs_scope("read:groups", "classroom")
    async def get(self, group: str) -> None:
        self.show(Subject(Kind.GROUP, self.known(group)))

    @needs_scope("admin:groups", "classroom")
    async def patch(self, group: str) -> None:
        name = self.known(group)
        if not self.identified().scopes.allows("admin:groups", Target(group=name)):
            check_teachers_may(self.limits)
        await self.change(Subject(Kind.GROUP, name))

    def known(self, group: str) -> str:
        found: str = self.groups.get(group).name
        return found


class DefaultLimitsHandler(LimitsPart):
    """Those of everybody who has no other ones."""

    @needs_scope("admin:users")
    async def get(self) -> None:
        self.reply(
            {
                **effective_model(self.limits.book.default()),
                "given": {},
                "most": dict(self.limits.book.caps),
            }
        )


class OutOfMemoryHandler(HubApiHandler):
    """Servers say here what Linux has stopped in them."""

    memory_kills: MemoryKills

    @needs_scope("users:activity")
    async def post(self, user: str) -> None:
        body = self.parse_body(OutOfMemory)
        server = self.server_id(user, body.server)
        if not self.servers.view(server).ready:
            raise NotFound(say("cannot find the server {name}", name=server), why="it doesn't run")
        printable = "".join(one if one.isprintable() else "?" for one in body.notebook)
        self.memory_kills.note(Killed(server, printable, by_machine=body.by_machine))
        self.reply_nothing()


def check_teachers_may(limits: ServerLimits) -> None:
    """Raise NotAllowed unless the configuration lets teachers set limits of their classes."""
    if not limits.book.teachers_may:
        raise NotAllowed(
            "cannot set the limits of the class",
            why="only admins may here",
            mend="ask an admin; with the setting page_limits.teachers, teachers may, too",
        )


def effective_model(effective: Effective) -> dict[str, Any]:
    """For the API."""
    return {"limits": {name: _limit_model(effective.limits[name]) for name in NAMES}}


def _limit_model(one: Limit) -> dict[str, Any]:
    source = one.source
    return {
        "value": one.value,
        "source": source.kind,
        "name": source.name or None,
        "on_page": source.on_page,
    }


handlers = [
    Pattern(r"/api/appliance/limits", DefaultLimitsHandler),
    Pattern(r"/api/appliance/users/(?P<user>[^/]+)/limits", UserLimitsHandler),
    Pattern(r"/api/appliance/groups/(?P<group>[^/]+)/limits", GroupLimitsHandler),
    Pattern(r"/api/appliance/users/(?P<user>[^/]+)/out-of-memory", OutOfMemoryHandler),
]
