"""What a class is given: files of its shared folder, hand-outs, and how they went with everybody.

Pages, API and command line call the same methods here. Files are touched by `ClassFiles` alone, on
behalf of a teacher of the class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any, Final

from sqlalchemy import delete, func, select, update

from appliance import audit
from appliance.audit import Action
from appliance.clock import Clock
from appliance.db.class_models import Delivery, Handout
from appliance.db.models import Group, Membership, User
from appliance.db.session import Database
from appliance.errors import BadRequest, Conflict, NotFound, SpawnRefused
from appliance.hub.classroom.classes import ClassView
from appliance.hub.classroom.deliveries import FAILED, WAITING, Deliveries
from appliance.interfaces import ClassFiles, Entry, Rule
from appliance.names import Username, parse_folder, parse_home_folder
from appliance.texts import say

DONE: Final = "done"


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """How a hand-out went with somebody."""

    user: Username
    full_name: str
    state: str
    """waiting, done or failed."""
    at: datetime
    report: dict[str, Any]
    here: bool
    """Whether they are still in the class."""


@dataclass(frozen=True, slots=True)
class HandoutView:
    """A hand-out, with the number of people in each state."""

    id: int
    folder: str
    rule: str
    created: datetime
    created_by: str
    latecomers: bool
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        return self.counts[DONE]

    @property
    def failed(self) -> int:
        return self.counts[FAILED]

    @property
    def waiting(self) -> int:
        return self.counts[WAITING]

    @property
    def total(self) -> int:
        return self.counts.total()


class Materials:
    """Shared folders and hand-outs of all classes."""

    def __init__(
        self, *, db: Database, clock: Clock, files: ClassFiles, deliveries: Deliveries
    ) -> None:
        self._db = db
        self._clock = clock
        self._files = files
        self._deliveries = deliveries

    # The shared folder

    def hand_of(self, one: ClassView, asker: str) -> Username:
        """The teacher in whose name files are touched: who asks, or the first one for an admin."""
        if asker in one.teachers:
            return Username(asker)
        if not one.teachers:
            raise Conflict(
                say("cannot open the files of the class {name!r}", name=one.name),
                why="it has no teacher, in whose name they could be opened",
                mend="name a teacher in the class's settings first",
            )
        return one.teachers[0]

    async def browse(self, one: ClassView, asker: str, folder: str) -> list[Entry]:
        """What is in a folder below the shared one: folders first, then files."""
        path = parse_folder(folder, may_be_empty=True)
        return await self._list(one, asker, path)

    async def upload(
        self, one: ClassView, asker: str, path: str, source: IO[bytes], size: int
    ) -> str:
        """Put a file there, in the place of one of the same name; returns its path."""
        parsed = parse_folder(path)
        try:
            await self._files.put_file(one.name, self.hand_of(one, asker), parsed, source.fileno())
        except SpawnRefused as err:
            raise Conflict(err.what, why=err.why, mend=err.mend) from err
        audit.note(Action.UPLOAD_MATERIAL, one.name, path=parsed, bytes=size)
        return parsed

    async def _list(self, one: ClassView, asker: str, folder: str) -> list[Entry]:
        try:
            return await self._files.list_folder(one.name, self.hand_of(one, asker), folder)
        except SpawnRefused as err:
            raise NotFound(err.what, why=err.why, mend=err.mend) from err

    # Hand-outs

    async def hand_out(
        self, one: ClassView, asker: str, folder: str, *, rule: str, latecomers: bool = True
    ) -> HandoutView:
        """Give everybody in the class a copy of a folder; returns at once, copying goes on."""
        path = parse_home_folder(folder)
        if rule not in set(Rule):
            raise BadRequest(
                "cannot hand out the folder",
                why="there is no such rule for files that are there already",
                mend="choose keep, replace or beside",
            )
        if not await self._list(one, asker, path):
            raise Conflict(
                say("cannot hand out {folder!r}", folder=path),
                why="the folder is empty",
                mend="put files into it first",
            )
        with self._db.session() as session:
            group_id = session.scalar(select(Group.id).where(Group.name == one.name))
            # Newcomers get a folder once, by what was said last.
            session.execute(
                update(Handout)
                .where(Handout.group_id == group_id, Handout.folder == path)
                .values(latecomers=False)
            )
            row = Handout(
                group_id=group_id, folder=path, rule=Rule(rule), created=self._clock.now(),
                created_by=asker, latecomers=latecomers,
            )  # fmt: skip
            session.add(row)
            session.flush()
            self._deliveries.hand_out(session, row)
            handout_id = row.id
        audit.note(Action.HAND_OUT, one.name, folder=path, rule=rule)
        self._deliveries.begin()
        return self.handout(one, handout_id)

    def again(self, one: ClassView, handout_id: int) -> int:
        """Try again with those for whom it failed; returns how many that are."""
        found = self.handout(one, handout_id)
        audit.note(Action.HAND_OUT, one.name, folder=found.folder, again=True)
        return self._deliveries.again(handout_id)

    def forget(self, one: ClassView, handout_id: int) -> HandoutView:
        """Take a hand-out from the list: newcomers don't get it any more, copies stay."""
        found = self.handout(one, handout_id)
        with self._db.session() as session:
            session.execute(delete(Handout).where(Handout.id == handout_id))
        audit.note(Action.FORGET_HANDOUT, one.name, folder=found.folder)
        return found

    def handouts(self, one: ClassView) -> list[HandoutView]:
        """The class's hand-outs, the last first."""
        return self._views(one, Group.name == one.name)

    def handout(self, one: ClassView, handout_id: int) -> HandoutView:
        found = self._views(one, Group.name == one.name, Handout.id == handout_id)
        if not found:
            raise NotFound("cannot find the hand-out", why="this class has no such hand-out")
        return found[0]

    def deliveries(self, handout_id: int) -> list[DeliveryView]:
        """How it went with everybody: failures first, then those who wait."""
        is_member = (
            select(Membership.user_id)
            .where(Membership.group_id == Handout.group_id, Membership.user_id == User.id)
            .exists()
        )
        query = (
            select(Delivery, User, is_member)
            .join(User, User.id == Delivery.user_id)
            .join(Handout, Handout.id == Delivery.handout_id)
            .where(Delivery.handout_id == handout_id)
        )
        with self._db.session() as session:
            found = [
                DeliveryView(
                    Username(user.name), user.full_name, _state(row.report, done=row.done), row.at,
                    dict(row.report), here,
                )
                for row, user, here in session.execute(query)
            ]  # fmt: skip
        order = (FAILED, WAITING, DONE)
        return sorted(found, key=lambda one: (order.index(one.state), one.user))

    def _views(self, one: ClassView, *where: Any) -> list[HandoutView]:
        rows = (
            select(Handout)
            .join(Group, Group.id == Handout.group_id)
            .where(*where)
            .order_by(Handout.id.desc())
        )
        state = Delivery.report["state"].as_string()
        with self._db.session() as session:
            found = list(session.scalars(rows))
            numbers = session.execute(
                select(Delivery.handout_id, Delivery.done, state, func.count())
                .where(Delivery.handout_id.in_([row.id for row in found]))
                .group_by(Delivery.handout_id, Delivery.done, state)
            ).all()
        counts: dict[int, Counter[str]] = {row.id: Counter() for row in found}
        for handout_id, done, said, number in numbers:
            counts[handout_id][_state({"state": said}, done=done)] += number
        return [
            HandoutView(
                row.id, row.folder, row.rule, row.created, row.created_by, row.latecomers,
                counts[row.id],
            )
            for row in found
        ]  # fmt: skip


def handed_folders(handouts: Sequence[HandoutView]) -> list[str]:
    """The folders that were handed out, each once, the last first: what there is to collect."""
    return list(dict.fromkeys(one.folder for one in handouts))


def _state(report: dict[str, Any], *, done: bool) -> str:
    if done:
        return DONE
    return WAITING if report.get("state") == WAITING else FAILED
