"""When each server will be stopped, as far as one can tell now: for pages and the culler."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from appliance.clock import Clock
from appliance.hub.activity import Activity
from appliance.hub.culling.calendar import Calendar
from appliance.hub.culling.keeps import Keeps, Kept
from appliance.hub.culling.rules import Rules
from appliance.hub.groups import Groups
from appliance.names import ServerId


class Cause(StrEnum):
    """Why a server is stopped by itself."""

    IDLE = "idle"
    CALENDAR = "calendar"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What becomes of one server that runs, if nobody uses it and nothing is changed."""

    idle_left: float | None
    """Seconds until it is stopped for want of use; None means never."""
    warning: int
    """How many seconds before that its user is told."""
    stops: datetime | None
    """When it is stopped, for whichever cause comes first."""
    cause: Cause | None
    kept: Kept | None

    @property
    def is_near(self) -> bool:
        """Whether its user is to be warned that nobody uses it."""
        return self.idle_left is not None and self.idle_left <= self.warning


class Outlooks:
    """Puts together what is known about servers that run."""

    def __init__(
        self,
        *,
        rules: Rules,
        keeps: Keeps,
        calendar: Calendar,
        activity: Activity,
        groups: Groups,
        clock: Clock,
    ) -> None:
        self._rules = rules
        self._keeps = keeps
        self._calendar = calendar
        self._activity = activity
        self._groups = groups
        self._clock = clock

    def of(self, server: ServerId) -> Outlook:
        """One server."""
        return self.of_all([server])[server]

    def of_all(self, servers: Iterable[ServerId]) -> dict[ServerId, Outlook]:
        """Some servers, with one question about groups."""
        wanted = list(servers)
        groups = self._groups.of_users({one.user for one in wanted})
        return {one: self._of(one, groups.get(one.user, frozenset())) for one in wanted}

    def _of(self, server: ServerId, groups: Collection[str]) -> Outlook:
        kept = self._keeps.of(server, groups)
        left, warning = self._idle(server, groups, kept)
        now = self._clock.now()
        stops, cause = None, None
        if left is not None:
            stops, cause = now + timedelta(seconds=left), Cause.IDLE
        by_clock = self._calendar.next_for(server.user, groups, kept)
        if by_clock is not None and (stops is None or by_clock < stops):
            stops, cause = by_clock, Cause.CALENDAR
        return Outlook(left, warning, stops, cause, kept)

    def _idle(
        self, server: ServerId, groups: Collection[str], kept: Kept | None
    ) -> tuple[float | None, int]:
        timeout = self._rules.timeout(server.user, groups)
        idle = self._activity.idle_seconds(server)
        if timeout is None or idle is None:
            return None, 0
        left = timeout - idle
        return (left if kept is None else max(left, kept.left)), self._rules.warning(timeout)
