"""The parts of the classroom, joined: each area adds its own here, `hub/app.py` stays short.

Pages and API handlers find a part by its name, as those of the core.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from appliance.access.roles import Roles
from appliance.clock import Clock
from appliance.config.schema import Config
from appliance.db.session import Database
from appliance.hub.classroom.classes import Classes
from appliance.hub.classroom.people import People
from appliance.hub.classroom.rights import Rights
from appliance.hub.groups import Groups
from appliance.hub.links import Links
from appliance.hub.servers import Servers
from appliance.hub.sessions import Sessions
from appliance.hub.supervisor import Supervisor
from appliance.hub.users import Users
from appliance.interfaces import Spawner
from appliance.native_auth.authenticator import NativeAuthenticator
from appliance.native_auth.throttle import Throttle
from appliance.places import Places


@dataclass(frozen=True, slots=True)
class Ground:
    """What the classroom stands on."""

    config: Config
    places: Places
    clock: Clock
    db: Database
    roles: Roles
    groups: Groups
    users: Users
    servers: Servers
    sessions: Sessions
    authenticator: NativeAuthenticator
    throttle: Throttle
    links: Links
    spawner: Spawner
    supervisor: Supervisor
    hub_url: str


@dataclass(frozen=True, slots=True)
class Classroom:
    """The parts by name, and what runs for ever beside the answers to requests."""

    parts: dict[str, Any]
    loops: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)


def make_classroom(ground: Ground) -> Classroom:
    """Join the parts of the classroom; nothing runs yet."""
    classes = Classes(db=ground.db, clock=ground.clock)
    people = People(classes=classes, servers=ground.servers, supervisor=ground.supervisor)
    return Classroom(
        parts={
            "classes": classes,
            "people": people,
            "rights": Rights(roles=ground.roles),
        },
        loops={"classes": people.run},
    )
