"""Collections: dated snapshots of one folder from everybody in a class.

A collection is made in parts of a few people, each noted when it is done, so that a page can show
how far it is and a hub that is started again goes on with those who are left.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select

from appliance import audit
from appliance.audit import Action
from appliance.clock import Clock
from appliance.db.class_models import Collection
from appliance.db.models import Group, Membership, User, UserState
from appliance.db.session import Database
from appliance.errors import ApplianceError, Conflict, NotFound
from appliance.hub.classroom.classes import ClassView
from appliance.hub.supervisor import Supervisor
from appliance.interfaces import ClassFiles, Collected
from appliance.names import Username, parse_home_folder
from appliance.texts import say

log = logging.getLogger(__name__)

_AT_ONCE: Final = 8
"""People in one part."""
_NOTE: Final = 200
_NAME: Final = 60
COLLECTED: Final = "collected"
FAILED: Final = "failed"
WAITING: Final = "waiting"


@dataclass(frozen=True, slots=True)
class CollectionView:
    """A collection, as pages and API show it."""

    id: int
    folder: str
    place: str
    """Its folder's name in the class's collected folder."""
    created: datetime
    created_by: str
    note: str
    people: dict[str, dict[str, Any]]
    """By name: a `state` (collected, failed or waiting) and what is known besides."""

    @property
    def counts(self) -> Counter[str]:
        return Counter(str(one["state"]) for one in self.people.values())

    @property
    def rows(self) -> list[tuple[str, dict[str, Any]]]:
        """Everybody, failures first."""
        order = (FAILED, WAITING, COLLECTED)
        return sorted(self.people.items(), key=lambda one: (order.index(one[1]["state"]), one[0]))

    @property
    def running(self) -> bool:
        return any(one["state"] == WAITING for one in self.people.values())


class Collecting:
    """Collections of all classes."""

    def __init__(
        self, *, db: Database, clock: Clock, files: ClassFiles, supervisor: Supervisor
    ) -> None:
        self._db = db
        self._clock = clock
        self._files = files
        self._supervisor = supervisor
        self._running: set[int] = set()

    async def run(self) -> None:
        """Go on with what an earlier hub left; then there is nothing to look for."""
        with self._db.session() as session:
            rows = list(session.scalars(select(Collection).order_by(Collection.id)))
        for row in rows:
            if _view(row).running:
                self._begin(row.id)
        await asyncio.get_running_loop().create_future()

    def collect(
        self, one: ClassView, asker: str, hand: Username, folder: str, *, note: str = ""
    ) -> CollectionView:
        """Begin a snapshot of a folder from everybody; it goes to `hand`, a teacher.

        Raises Conflict while the same folder is being collected, or for a class without students.
        """
        path = parse_home_folder(folder)
        what = say("cannot collect {folder!r}", folder=path)
        if any(other.running and other.folder == path for other in self.collections(one)):
            raise Conflict(what, why="it is being collected right now", mend="wait a moment")
        with self._db.session() as session:
            people = list(session.scalars(_members(one)))
            people = [name for name in people if name not in one.teachers]
            if not people:
                raise Conflict(
                    what, why="nobody is in the class", mend="add students to the class first"
                )
            row = Collection(
                group_id=session.scalar(select(Group.id).where(Group.name == one.name)),
                folder=path,
                place=self._place(path, {other.place for other in self.collections(one)}),
                created=self._clock.now(),
                created_by=asker,
                report={
                    "note": " ".join(note.split())[:_NOTE],
                    "teacher": hand,
                    "people": {name: {"state": WAITING} for name in people},
                },
            )
            session.add(row)
            session.flush()
        audit.note(Action.COLLECT, one.name, folder=path, place=row.place)
        self._begin(row.id)
        return _view(row)

    def collections(self, one: ClassView) -> list[CollectionView]:
        """The class's collections, the last first."""
        query = (
            select(Collection)
            .join(Group, Group.id == Collection.group_id)
            .where(Group.name == one.name)
            .order_by(Collection.id.desc())
        )
        with self._db.session() as session:
            return [_view(row) for row in session.scalars(query)]

    def collection(self, one: ClassView, collection_id: int) -> CollectionView:
        for found in self.collections(one):
            if found.id == collection_id:
                return found
        raise NotFound("cannot find the collection", why="this class has no such collection")

    def _place(self, folder: str, taken: set[str]) -> str:
        words = re.sub(r"[^\w.-]+", "-", folder.replace("/", "-")).strip("-.")[:_NAME]
        base = f"{words or 'folder'}-{self._clock.now().astimezone():%Y-%m-%d-%H%M}"
        names = [base, *(f"{base}-{number}" for number in range(2, len(taken) + 3))]
        return next(name for name in names if name not in taken)

    # Making it

    def _begin(self, collection_id: int) -> None:
        if collection_id not in self._running:
            self._running.add(collection_id)
            self._supervisor.run("collecting", self._make(collection_id))

    async def _make(self, collection_id: int) -> None:
        try:
            while part := self._next_part(collection_id):
                group, folder, place, teacher, people = part
                try:
                    reports = await self._files.collect(group, people, teacher, folder, place)
                except ApplianceError as err:
                    log.warning("cannot collect %r of %r: %s", folder, group, err)
                    failure = _failed(err.why or err.what, err.mend)
                    self._note(collection_id, dict.fromkeys(people, failure))
                else:
                    self._note(collection_id, {n: _entry(reports[n]) for n in people})
        finally:
            self._running.discard(collection_id)

    def _next_part(
        self, collection_id: int
    ) -> tuple[str, str, str, Username, list[Username]] | None:
        """Some of those who wait; people who have left the class since are noted as such."""
        query = (
            select(Collection, Group.name)
            .join(Group, Group.id == Collection.group_id)
            .where(Collection.id == collection_id)
        )
        with self._db.session() as session:
            found = session.execute(query).one_or_none()
            if found is None:
                return None
            row, group = found
            waiting = [n for n, one in row.report["people"].items() if one["state"] == WAITING]
            still = set(session.scalars(_member_names(row.group_id)))
            gone = {name: _failed("they have left the class") for name in {*waiting} - still}
            if gone:
                row.report = _with(row.report, gone)
            part = [Username(name) for name in waiting if name in still][:_AT_ONCE]
            if not part:
                return None
            return group, row.folder, row.place, Username(row.report["teacher"]), part

    def _note(self, collection_id: int, people: dict[Username, dict[str, Any]]) -> None:
        with self._db.session() as session:
            row = session.get(Collection, collection_id)
            if row is not None:
                row.report = _with(row.report, people)


def _with(report: dict[str, Any], people: Any) -> dict[str, Any]:
    return {**report, "people": {**report["people"], **people}}


def _entry(report: Collected) -> dict[str, Any]:
    if not report.done:
        return _failed(report.failure)
    return {"state": COLLECTED, **asdict(report)}


def _failed(why: str, mend: str = "") -> dict[str, Any]:
    return {"state": FAILED, "why": why, "mend": mend}


def _view(row: Collection) -> CollectionView:
    return CollectionView(
        row.id, row.folder, row.place, row.created, row.created_by,
        str(row.report.get("note", "")), dict(row.report.get("people", {})),
    )  # fmt: skip


def _members(one: ClassView) -> Any:
    return (
        select(User.name)
        .join(Membership, Membership.user_id == User.id)
        .join(Group, Group.id == Membership.group_id)
        .where(Group.name == one.name, User.state != UserState.WAITING)
        .order_by(User.name)
    )


def _member_names(group_id: int) -> Any:
    return (
        select(User.name)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.group_id == group_id)
    )
