"""Reports of activity, which servers send again and again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import Field

from appliance.clock import Clock
from appliance.errors import BadRequest
from appliance.hub.api.handler import Body, HubApiHandler
from appliance.hub.api.server_paths import USER
from appliance.names import ServerName, parse_server_name
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern

_FUTURE: Final = timedelta(minutes=59)
# Each is looked up in the database, which nobody else can use meanwhile.
_SERVERS_IN_REPORT: Final = 100


class ServerActivity(Body):
    """When a server was last active."""

    last_activity: str


class ActivityReport(Body):
    """When a user and the user's servers were last active."""

    last_activity: str | None = None
    servers: dict[str, ServerActivity] | None = Field(None, max_length=_SERVERS_IN_REPORT)


class ActivityHandler(HubApiHandler):
    """Reports of activity, which servers send again and again."""

    clock: Clock

    @needs_scope("users:activity")
    async def post(self, user: str) -> None:
        body = self.parse_body(ActivityReport)
        if body.last_activity is None and not body.servers:
            raise BadRequest("cannot note the activity", why="the report is empty")
        servers: dict[ServerName, datetime] = {
            parse_server_name(name): self._moment(report.last_activity)
            for name, report in (body.servers or {}).items()
        }
        last = None if body.last_activity is None else self._moment(body.last_activity)
        self.servers.note_activity(self.person(user).name, last, servers)
        self.set_header("Content-Type", "text/plain")
        self.finish()

    def _moment(self, text: str) -> datetime:
        try:
            moment = datetime.fromisoformat(text[:40])
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            moment = moment.astimezone(UTC)
        except (ValueError, OverflowError) as err:
            raise BadRequest(
                "cannot note the activity", why=f"{text[:40]!r} is no ISO 8601 time"
            ) from err
        if moment > self.clock.now() + _FUTURE:
            raise BadRequest("cannot note the activity", why=f"{text[:40]!r} is in the future")
        return moment


handlers = [Pattern(rf"/api{USER}/activity", ActivityHandler)]
