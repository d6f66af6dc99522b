"""When a server is stopped by itself, and keeping it, or those of a class, running until a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import Field

from appliance.access.principal import Kind
from appliance.access.scopes import Target
from appliance.clock import Clock, stamp
from appliance.errors import BadRequest
from appliance.hub.api.handler import Body, HubApiHandler
from appliance.hub.api.server_paths import DEFAULT, NAMED
from appliance.hub.classroom.classes import Classes
from appliance.hub.culling.keeps import Keeps, Kept
from appliance.hub.culling.outlook import Outlooks
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern

_MOST_MINUTES: Final = 60 * 24 * 366


class Keep(Body):
    """Until when: a moment, or so many minutes from now."""

    until: str | None = None
    minutes: int | None = Field(default=None, ge=1, le=_MOST_MINUTES)


class Keeping(HubApiHandler):
    """What both handlers share."""

    keeps: Keeps
    clock: Clock

    def wanted(self) -> datetime:
        """The time that the body names."""
        body = self.parse_body(Keep)
        if (body.until is None) == (body.minutes is None):
            raise BadRequest(
                "cannot keep the server running",
                why="the request must have one of until and minutes",
            )
        if body.minutes is not None:
            return self.clock.now() + timedelta(minutes=body.minutes)
        return moment_of("cannot keep the server running", body.until or "")

    def is_unlimited(self, target: Target) -> bool:
        """Whether the longest time of the settings is not for the one who asks."""
        who = self.identified()
        return who.kind is Kind.ROOT or who.scopes.allows("admin:servers", target)


class KeepHandler(Keeping):
    """One server."""

    outlooks: Outlooks

    @needs_scope("read:servers")
    async def get(self, user: str, server: str) -> None:
        wanted = self.known_server(user, server)
        outlook = self.outlooks.of(wanted) if self.servers.view(wanted).ready else None
        kept = outlook.kept if outlook else self.keeps.of(wanted, self.groups.of(wanted.user))
        self.reply(
            {
                "stops": stamp(outlook.stops) if outlook else None,
                "cause": str(outlook.cause) if outlook and outlook.cause else None,
                **kept_model(kept),
            }
        )

    @needs_scope("start:servers")
    async def put(self, user: str, server: str) -> None:
        wanted = self.known_server(user, server)
        unlimited = self.is_unlimited(self.target(wanted.user, wanted.name))
        until = self.wanted()
        self.keeps.keep(wanted, until, by=self.identified().name, unlimited=unlimited)
        self.reply(kept_model(self.keeps.of_server(wanted)))

    @needs_scope("start:servers")
    async def delete(self, user: str, server: str) -> None:
        self.keeps.forget(self.known_server(user, server))
        self.reply_nothing()


class ClassKeepHandler(Keeping):
    """The servers of a class, those that start later included."""

    classes: Classes

    @needs_scope("classroom")
    async def get(self, group: str) -> None:
        self.reply(kept_model(self.keeps.of_class(self.classes.get(group).name)))

    @needs_scope("classroom")
    async def put(self, group: str) -> None:
        name = self.classes.get(group).name
        unlimited = self.is_unlimited(Target(group=name))
        self.keeps.keep_class(name, self.wanted(), by=self.identified().name, unlimited=unlimited)
        self.reply(kept_model(self.keeps.of_class(name)))

    @needs_scope("classroom")
    async def delete(self, group: str) -> None:
        self.keeps.forget_class(self.classes.get(group).name)
        self.reply_nothing()


def kept_model(kept: Kept | None) -> dict[str, Any]:
    return {
        "kept_until": stamp(kept.until) if kept else None,
        "kept_by": kept.set_by if kept else None,
        "kept_for_class": (kept.group or None) if kept else None,
    }


def moment_of(what: str, text: str) -> datetime:
    """A moment in ISO 8601; without a zone it is UTC. Raises BadRequest."""
    try:
        moment = datetime.fromisoformat(text[:40])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as err:
        raise BadRequest(what, why=f"{text[:40]!r} is no ISO 8601 time") from err


handlers = [
    Pattern(rf"/api/appliance{DEFAULT}/keep", KeepHandler),
    Pattern(rf"/api/appliance{NAMED}/keep", KeepHandler),
    Pattern(r"/api/appliance/classes/(?P<group>[^/]+)/keep", ClassKeepHandler),
]
