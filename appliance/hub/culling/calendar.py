"""Stopping all servers at the times of `culling.stop_at`.

Nobody is stopped without a warning before: when the clock was set, or the hub was down, the servers
go on for as long as the warning says, or until the next of the times.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, select

from appliance.clock import Clock
from appliance.db.care_models import CalendarStop
from appliance.db.session import Database
from appliance.errors import ApplianceError
from appliance.hub.classroom.messages import Messages
from appliance.hub.culling.keeps import Keeps, Kept
from appliance.hub.culling.rules import Rules
from appliance.hub.culling.stop_times import next_stop
from appliance.hub.groups import Groups
from appliance.hub.server_rows import ServerView
from appliance.hub.servers import Servers
from appliance.names import Username
from appliance.texts import say

log = logging.getLogger(__name__)

TOPIC: Final = "stop by the calendar"
LOOK_SECONDS: Final = 10.0
# A restart of the hub at the very minute is made up; hours of being down are not.
_MADE_UP: Final = timedelta(minutes=10)
# Both clocks differ by less, unless one was set.
_JUMP_SECONDS: Final = 60.0
_AT_ONCE: Final = 8
_WARNED: Final = "warned"
_DONE: Final = "done"


@dataclass(slots=True)
class _Coming:
    """The next time, for which people are warned since a moment in monotonic seconds."""

    at: datetime
    since: float
    told: set[Username] = field(default_factory=set)


class Calendar:
    """Looks at the clock, warns, and stops."""

    def __init__(
        self,
        *,
        rules: Rules,
        keeps: Keeps,
        groups: Groups,
        messages: Messages,
        db: Database,
        clock: Clock,
    ) -> None:
        self._rules = rules
        self._keeps = keeps
        self._groups = groups
        self._messages = messages
        self._db = db
        self._clock = clock
        self._after: datetime | None = None
        """What is to come is later than this."""
        self._coming: _Coming | None = None
        self._looked: tuple[datetime, float] | None = None

    @property
    def _times(self) -> list[str]:
        return self._rules.settings.stop_at

    def next_for(self, user: str, groups: Collection[str], kept: Kept | None) -> datetime | None:
        """When a user's server is stopped by the clock; None if it never is."""
        if not self._times or self._rules.is_exempt(user, groups):
            return None
        now = self._clock.now()
        after = now
        if kept is not None and not self._rules.settings.stop_kept:
            after = now + timedelta(seconds=kept.left)
        return next_stop(self._times, after)

    async def run(self, servers: Servers, on_end: Callable[[str], None]) -> None:
        """Follow the calendar for ever."""
        if not self._times:
            await asyncio.Event().wait()
        while True:
            await self.once(servers, on_end)
            await asyncio.sleep(LOOK_SECONDS)

    async def once(self, servers: Servers, on_end: Callable[[str], None]) -> None:
        """Do what is due at this moment."""
        time.tzset()  # the machine may have been moved to another zone
        now, at = self._clock.now(), self._clock.monotonic()
        after = self._begin(now, at)
        coming = next_stop(self._times, after)
        lead = self._rules.settings.warning
        if coming is None or now < coming - timedelta(seconds=lead):
            return
        if self._coming is None or self._coming.at != coming:
            self._coming = _Coming(coming, at)
            self._note(coming, _WARNED)
        if now >= coming and at - self._coming.since >= lead - 2 * LOOK_SECONDS:
            await self._stop_all(servers, coming, on_end)
            return
        leaves = max(coming, now + timedelta(seconds=self._coming.since + lead - at))
        self._warn(servers, self._coming, leaves if now >= coming else coming)

    def _begin(self, now: datetime, at: float) -> datetime:
        """From when on times count: since the last one, this hub's start, or the clock was set."""
        looked, self._looked = self._looked, (now, at)
        if looked is None:
            self._after = self._load(now, at)
        elif abs((now - looked[0]).total_seconds() - (at - looked[1])) > _JUMP_SECONDS:
            log.info("the clock was set: what it passed over is left out")
            self._after, self._coming = now, None
        return self._after or now

    def _load(self, now: datetime, at: float) -> datetime:
        """What an earlier hub left."""
        with self._db.reading() as connection:
            rows = connection.execute(select(CalendarStop.at, CalendarStop.state)).all()
        for row in rows:
            if row.state == _WARNED and now - _MADE_UP < row.at:
                self._coming = _Coming(row.at, at - self._rules.settings.warning)
        done: list[datetime] = [row.at for row in rows if row.state == _DONE and row.at <= now]
        return max([now - _MADE_UP, *done])

    def _note(self, moment: datetime, state: str) -> None:
        with self._db.session() as session:
            # What is older, or was left out when the clock was set, says nothing any more.
            session.execute(delete(CalendarStop).where(CalendarStop.at != moment))
            session.merge(CalendarStop(at=moment, state=state))

    def _concerned(self, servers: Servers) -> Iterator[ServerView]:
        """The servers that are to be stopped."""
        active = servers.active()
        groups = self._groups.of_users({view.server.user for view in active})
        for view in active:
            own = groups.get(view.server.user, frozenset())
            if self._rules.is_exempt(view.server.user, own):
                continue
            if self._rules.settings.stop_kept or self._keeps.of(view.server, own) is None:
                yield view

    def _warn(self, servers: Servers, coming: _Coming, leaves: datetime) -> None:
        moment = f"{leaves.astimezone():%H:%M}"
        lasts = max(timedelta(minutes=1), leaves - self._clock.now())
        for view in self._concerned(servers):
            user = view.server.user
            if user not in coming.told:
                coming.told.add(user)
                text = say("All servers are stopped at {time}. Save what you work on.", time=moment)
                self._messages.tell(user, text, topic=TOPIC, lasts=lasts)

    async def _stop_all(
        self, servers: Servers, coming: datetime, on_end: Callable[[str], None]
    ) -> None:
        some = asyncio.Semaphore(_AT_ONCE)
        moment = f"{self._clock.now().astimezone():%H:%M}"

        async def stop(view: ServerView) -> None:
            async with some:
                try:
                    await servers.stop(view.server)
                except ApplianceError as err:
                    log.warning("cannot stop the server %s: %s", view.server, err)
                    return
            on_end("calendar")
            text = say(
                "Your server was stopped at {time}, as all servers. Your files are there.",
                time=moment,
            )
            self._messages.tell(view.server.user, text, topic=TOPIC)

        concerned = list(self._concerned(servers))
        log.info("stopping %d servers by the calendar", len(concerned))
        await asyncio.gather(*(stop(view) for view in concerned))
        self._after, self._coming = coming, None
        self._note(coming, _DONE)
