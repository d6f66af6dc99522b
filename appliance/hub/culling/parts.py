"""The parts of culling, joined."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from appliance.clock import Clock
from appliance.config.schema import Config
from appliance.db.session import Database
from appliance.hub.activity import Activity
from appliance.hub.classroom.messages import Messages
from appliance.hub.classroom.streams import Streams
from appliance.hub.culler import Culler
from appliance.hub.culling.calendar import Calendar
from appliance.hub.culling.keeps import Keeps
from appliance.hub.culling.outlook import Outlooks
from appliance.hub.culling.rules import Rules
from appliance.hub.groups import Groups
from appliance.hub.servers import Servers


@dataclass(frozen=True, slots=True)
class Culling:
    """The parts by name, and what runs for ever beside the answers to requests."""

    culler: Culler
    outlooks: Outlooks
    parts: dict[str, Any]
    loops: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)


def make_culling(
    *,
    config: Config,
    db: Database,
    clock: Clock,
    groups: Groups,
    activity: Activity,
    servers: Servers,
    messages: Messages,
    streams: Streams,
    on_end: Callable[[str], None],
) -> Culling:
    """Join them; nothing runs yet."""
    rules = Rules(config.culling, config.group_culling)
    keeps = Keeps(
        db=db, clock=clock, most_seconds=config.culling.keep_most, changed=streams.tell
    )  # fmt: skip
    calendar = Calendar(
        rules=rules, keeps=keeps, groups=groups, messages=messages, db=db, clock=clock
    )
    outlooks = Outlooks(
        rules=rules, keeps=keeps, calendar=calendar, activity=activity, groups=groups, clock=clock
    )
    culler = Culler(
        servers=servers, activity=activity, rules=rules, outlooks=outlooks, keeps=keeps,
        messages=messages, clock=clock, on_end=on_end,
    )  # fmt: skip
    return Culling(
        culler=culler,
        outlooks=outlooks,
        parts={"culler": culler, "keeps": keeps, "outlooks": outlooks, "calendar": calendar},
        loops={"calendar": partial(calendar.run, servers, on_end)},
    )
