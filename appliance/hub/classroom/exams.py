"""Exams: for a time, the servers of a class's students have no network.

The hub tells the spawner who is in an exam now, again and again; the spawner keeps to it until it
is told otherwise. So a hub that is down neither ends an exam nor lets anybody out of one.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, select

from appliance import audit
from appliance.audit import Action
from appliance.clock import Clock
from appliance.db.care_models import Exam
from appliance.db.class_models import Teaching
from appliance.db.models import Group, Membership, User
from appliance.db.session import Database
from appliance.errors import ApplianceError, BadRequest, NoSuchClass
from appliance.hub.classroom.messages import Messages
from appliance.interfaces import NetworkKeeper, OfflineReport, Spawner
from appliance.names import Username
from appliance.texts import say

log = logging.getLogger(__name__)

TOPIC: Final = "exam"
LONGEST: Final = timedelta(hours=24)
AHEAD: Final = timedelta(days=366)
_LOOK_SECONDS: Final = 5.0
# Told again after this, whoever was started anew meanwhile.
_AGAIN_SECONDS: Final = 60.0

_IN_CLASS: Final = (
    select(User.name, Exam.ends)
    .join(Membership, Membership.user_id == User.id)
    .join(Exam, Exam.group_id == Membership.group_id)
    .where(
        ~select(Teaching.user_id)
        .where(Teaching.user_id == User.id, Teaching.group_id == Exam.group_id)
        .exists()
    )
)


@dataclass(frozen=True, slots=True)
class ExamView:
    """The exam of a class, under way or to come."""

    group: str
    begins: datetime
    ends: datetime
    set_by: str
    is_now: bool
    waits_for: tuple[Username, ...] = ()
    """Students whose server runs with a network, and must be started anew."""


class Exams:
    """All exams; a class has one at a time."""

    def __init__(self, *, db: Database, clock: Clock, spawner: Spawner, messages: Messages) -> None:
        self._db = db
        self._clock = clock
        self._keeper = spawner if isinstance(spawner, NetworkKeeper) else None
        self._messages = messages
        self._told: frozenset[Username] | None = None
        """Who the spawner was last told, in this hub's time."""
        self._told_at = 0.0
        self._report = OfflineReport()
        self._changed = asyncio.Event()

    @property
    def are_possible(self) -> bool:
        """Whether the spawner can take the network from servers."""
        return self._keeper is not None

    # Looking

    def of_class(self, group: str) -> ExamView | None:
        """A class's exam, unless it is over."""
        now = self._clock.now()
        query = select(Exam).join(Group, Group.id == Exam.group_id).where(Group.name == group)
        with self._db.session() as session:
            row = session.scalar(query.where(Exam.ends > now))
            if row is None:
                return None
            is_now = row.begins <= now
            members = select(User.name).join(Membership, Membership.user_id == User.id)
            names = session.scalars(members.where(Membership.group_id == row.group_id))
            waits = set(self._report.open) & set(names) if is_now else set()
            return ExamView(
                group, row.begins, row.ends, row.set_by, is_now,
                tuple(Username(name) for name in sorted(waits)),
            )  # fmt: skip

    def now(self) -> dict[Username, datetime]:
        """Who is in an exam at this moment, and until when."""
        now = self._clock.now()
        found: dict[Username, datetime] = {}
        with self._db.reading() as connection:
            for row in connection.execute(_IN_CLASS.where(Exam.begins <= now, Exam.ends > now)):
                name = Username(row.name)
                found[name] = max(row.ends, found.get(name, row.ends))
        return found

    # Setting

    def set(self, group: str, begins: datetime | None, ends: datetime, *, by: str) -> None:
        """Let a class's exam last from one moment to another; without a beginning, from now."""
        self._check_possible()
        now = self._clock.now()
        starts = now if begins is None else max(begins, now)
        _check_times(now, starts, ends)
        with self._db.session() as session:
            number = session.scalar(select(Group.id).where(Group.name == group))
            if number is None:
                raise NoSuchClass(group)
            session.merge(Exam(group_id=number, begins=starts, ends=ends, set_by=by))
        audit.note(Action.SET_EXAM, group, begins=str(starts), ends=str(ends))
        self._changed.set()

    def end(self, group: str) -> None:
        """End a class's exam now, or call it off; that there is none is no error."""
        with self._db.session() as session:
            number = session.scalar(select(Group.id).where(Group.name == group))
            gone = session.execute(delete(Exam).where(Exam.group_id == number).returning(Exam.ends))
            if gone.first() is None:
                return
        audit.note(Action.SET_EXAM, group, ends="now")
        self._changed.set()

    def _check_possible(self) -> None:
        if not self.are_possible:
            raise BadRequest(
                "cannot set an exam",
                why="this spawner can't take the network from servers",
                mend="install the appliance; a trial has no such thing",
            )

    # Keeping

    async def run(self) -> None:
        """Tell the spawner for ever, as soon as something begins, ends or changes."""
        if self._keeper is None:
            await asyncio.Event().wait()
        while True:
            self._changed.clear()
            try:
                await self.once()
            except ApplianceError as err:
                log.warning("cannot tell the spawner who is in an exam: %s", err)
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def once(self) -> None:
        """Tell the spawner, if there is something to tell; raises ApplianceError if it can't be."""
        if self._keeper is None:
            return
        now, at = self.now(), self._clock.monotonic()
        users = frozenset(now)
        is_due = at - self._told_at >= _AGAIN_SECONDS or bool(self._report.open)
        if users == self._told and not (users and is_due):
            return
        report = await self._keeper.set_offline(sorted(users))
        before, self._told, self._told_at, self._report = self._told, users, at, report
        for user in sorted(users - (before or frozenset())):
            self._tell_begun(user, now[user])
        # An earlier hub may have told them; then the notice of the beginning is still there.
        for user in sorted((before or frozenset()) - users):
            self._tell_ended(user, is_cut=user in report.cut)
        for user in sorted(set(report.open)):
            self._messages.tell(
                user, say("The exam has begun: stop your server and start it again."), topic=TOPIC
            )

    def _tell_begun(self, user: Username, ends: datetime) -> None:
        text = say(
            "An exam is under way: your server has no network until {time}.",
            time=f"{ends.astimezone():%H:%M}",
        )
        self._messages.tell(user, text, topic=TOPIC, lasts=ends - self._clock.now())

    def _tell_ended(self, user: Username, *, is_cut: bool) -> None:
        text = say("The exam is over: your server has a network again.")
        if is_cut:
            text = say("The exam is over: stop your server and start it again to have a network.")
        self._messages.tell(user, text, topic=TOPIC, lasts=timedelta(hours=1))


def _check_times(now: datetime, begins: datetime, ends: datetime) -> None:
    what = "cannot set an exam"
    if ends <= begins:
        raise BadRequest(what, why="it would end before it begins", mend="choose a later end")
    if ends - begins > LONGEST:
        raise BadRequest(what, why="it can last a day at the most", mend="choose an earlier end")
    if begins > now + AHEAD:
        raise BadRequest(what, why="it begins more than a year from now")
