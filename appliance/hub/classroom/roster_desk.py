"""Rosters on a teacher's desk: lists that are being looked at, and accounts that are being made.

A list that was uploaded waits in memory for whoever brought it while they mend its rows, and so do
new passwords until they are printed; nothing of it is stored, and after an hour, or when the hub
starts anew, it is gone. Making the accounts of a whole school takes minutes, since passwords are
hashed slowly by design: it is done beside all requests, and asked after from a page.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Generic, TypeVar

from appliance.clock import Clock
from appliance.errors import ApplianceError, NotAllowed, NotFound
from appliance.hub.classroom.classes import Classes
from appliance.hub.classroom.people import People
from appliance.hub.classroom.roster_check import Aim, Row, RowState
from appliance.hub.classroom.roster_columns import Layout, guess_layout
from appliance.hub.classroom.roster_rows import Edit, Entry, read_entries
from appliance.hub.classroom.roster_tables import Table
from appliance.hub.groups import Groups
from appliance.hub.new_accounts import Wish
from appliance.hub.supervisor import Supervisor
from appliance.hub.users import Person, Users
from appliance.names import Username
from appliance.native_auth.authenticator import NativeAuthenticator
from appliance.texts import say

log = logging.getLogger(__name__)

KEPT_FOR: Final = timedelta(hours=1)
_MOST_OF_ONE: Final = 10
# Cells of all lists of one owner: several of a whole school, or one that is as wide as may be.
_HEAVIEST: Final = 250_000
# Accounts that are made between two looks at the progress page.
_PART: Final = 10


@dataclass(slots=True)
class Draft:
    """A list that somebody looks at before anything is done."""

    table: Table
    layout: Layout
    aim: Aim
    edits: dict[int, Edit] = field(default_factory=dict)
    left_out: set[int] = field(default_factory=set)
    """Lines that are to be passed over."""

    @classmethod
    def of(cls, table: Table, aim: Aim) -> Draft:
        return cls(table, guess_layout(table), aim)

    @property
    def cells(self) -> int:
        return sum(len(record.cells) for record in self.table.records)

    def entries(self) -> list[Entry]:
        """The rows as they are now."""
        return [
            replace(entry, skipped=say("you left it out"))
            if entry.is_person and entry.line in self.left_out
            else entry
            for entry in read_entries(self.table, self.layout, self.edits)
        ]


@dataclass(frozen=True, slots=True)
class MadeAccount:
    """An account with a new password, which is never shown again."""

    name: Username
    full_name: str
    password: str


@dataclass(frozen=True, slots=True)
class NotDone:
    """Somebody for whom it could not be done."""

    name: str
    why: str


@dataclass(slots=True)
class Job:
    """Accounts, or passwords, that are being made."""

    total: int
    owner: str = ""
    """For whom it is done."""
    group: str = ""
    draft: str = ""
    """The key of the list that they come from."""
    done: int = 0
    made: list[MadeAccount] = field(default_factory=list)
    joined: list[Username] = field(default_factory=list)
    not_done: list[NotDone] = field(default_factory=list)
    stopped: ApplianceError | None = None
    """What kept the rest from being done."""
    is_finished: bool = False
    shown_as: str = ""
    """Under which key the cards wait, once somebody has come for them."""

    @property
    def percent(self) -> int:
        return round(100 * self.done / self.total) if self.total else 100


T = TypeVar("T")
Refusal = Callable[[Person], ApplianceError | None]
"""What keeps somebody's password from being made anew; None if nothing does."""


@dataclass(frozen=True, slots=True)
class _Kept(Generic[T]):
    owner: str
    until: datetime
    thing: T


class Shelf(Generic[T]):
    """Things under keys, each for its owner alone, for an hour after its last use.

    An owner's oldest go when there are too many, or all of them weigh too much: large lists would
    take the memory that the hub needs.
    """

    def __init__(self, *, clock: Clock, weigh: Callable[[T], int] = lambda _thing: 0) -> None:
        self._clock = clock
        self._weigh = weigh
        self._kept: dict[str, _Kept[T]] = {}

    def put(self, owner: str, thing: T) -> str:
        now = self._clock.now()
        self._kept = {key: one for key, one in self._kept.items() if one.until > now}
        own = [key for key, one in self._kept.items() if one.owner == owner]
        weight = self._weigh(thing) + sum(self._weigh(self._kept[key].thing) for key in own)
        while own and (len(own) >= _MOST_OF_ONE or weight > _HEAVIEST):
            weight -= self._weigh(self._kept.pop(own.pop(0)).thing)
        key = secrets.token_urlsafe(16)
        self._kept[key] = _Kept(owner, now + KEPT_FOR, thing)
        return key

    def get(self, key: str, owner: str) -> T:
        """What the owner has put there; raises NotFound when it is gone."""
        kept = self._kept.get(key)
        now = self._clock.now()
        if kept is None or kept.owner != owner or kept.until <= now:
            raise NotFound(
                "cannot find this list any more",
                why="lists and new passwords are kept for an hour, for whoever brought them",
                mend="bring the list again: accounts that are there already stay as they are",
            )
        self._kept[key] = _Kept(owner, now + KEPT_FOR, kept.thing)
        return kept.thing


class RosterDesk:
    """Makes what lists ask for."""

    def __init__(
        self,
        *,
        clock: Clock,
        users: Users,
        groups: Groups,
        classes: Classes,
        people: People,
        authenticator: NativeAuthenticator,
        supervisor: Supervisor,
    ) -> None:
        self.drafts: Shelf[Draft] = Shelf(clock=clock, weigh=lambda draft: draft.cells)
        self.jobs: Shelf[Job] = Shelf(clock=clock)
        self._users = users
        self._groups = groups
        self._classes = classes
        self._people = people
        self._authenticator = authenticator
        self._supervisor = supervisor
        self._working: list[Job] = []
        users.follow_ends(self._on_end)

    def _on_end(self, user: Username) -> None:
        """Somebody's rights shrank: nothing more is done with those that they had."""
        for job in self._working:
            if job.owner == user:
                job.stopped = NotAllowed(
                    "cannot go on", why="your rights have changed in the meantime"
                )

    @contextmanager
    def _at_work(self, job: Job) -> Iterator[None]:
        self._working.append(job)
        try:
            yield
        finally:
            self._working.remove(job)

    def begin_making(self, owner: str, rows: Sequence[Row], *, group: str, draft: str = "") -> str:
        """Begin to make what can be made of the rows; returns the key of the job."""
        wanted = [row for row in rows if row.state in {RowState.NEW, RowState.JOIN}]
        job = Job(len(wanted), owner, group, draft)
        return self._begin(job, "making accounts", lambda: self.make(wanted, job))

    def begin_passwords(
        self, owner: str, names: Sequence[Username], *, group: str, refusal: Refusal
    ) -> str:
        """Begin to give users new passwords, which end their sessions; returns the job's key."""
        job = Job(len(names), owner, group)
        return self._begin(job, "new passwords", lambda: self.reset(names, job, refusal))

    def _begin(self, job: Job, name: str, work: Callable[[], Coroutine[None, None, None]]) -> str:
        key = self.jobs.put(job.owner, job)
        self._supervisor.run(f"{name} for {job.owner}", _to_the_end(job, work))
        return key

    async def make(self, rows: Sequence[Row], job: Job) -> None:
        """Make the accounts of new people, and let those join who have one."""
        for group in dict.fromkeys(row.group for row in rows if row.group_is_new):
            if self._classes.find(group) is None:
                self._classes.create(group)
        joined: dict[str, list[Username]] = {}
        with self._at_work(job):
            try:
                self._join(rows, job, joined)
                new = [row for row in rows if row.state is RowState.NEW]
                for start in range(0, len(new), _PART):
                    await self._make_part(new[start : start + _PART], job, joined)
            finally:
                for group, names in joined.items():
                    await self._people.changed(group, joined=names)

    def _join(self, rows: Sequence[Row], job: Job, joined: dict[str, list[Username]]) -> None:
        for row in rows:
            if row.state is RowState.JOIN:
                self._groups.add_users(row.group, [row.name])
                joined.setdefault(row.group, []).append(Username(row.name))
                job.joined.append(Username(row.name))
                job.done += 1

    async def _make_part(
        self, rows: Sequence[Row], job: Job, joined: dict[str, list[Username]]
    ) -> None:
        _check_goes_on(job)
        by_name = {row.name: row for row in rows}
        made = await self._users.create_many([_wish(row) for row in rows], generate=True)
        for new in made.created:
            row = by_name[new.name]
            job.made.append(MadeAccount(new.name, row.full_name, new.password or ""))
            if row.group:
                joined.setdefault(row.group, []).append(new.name)
        job.not_done += [NotDone(one.name, one.why) for one in made.skipped]
        job.done += len(rows)

    async def reset(self, names: Sequence[Username], job: Job, refusal: Refusal) -> None:
        """Give each of them a new password; who may have one is looked at when it is their turn."""
        with self._at_work(job):
            for name in names:
                _check_goes_on(job)
                try:
                    person = self._users.get(name)
                    if why_not := refusal(person):
                        raise why_not
                    password = await self._authenticator.generate_for(person.name)
                    job.made.append(MadeAccount(person.name, person.full_name, password))
                except ApplianceError as error:
                    job.not_done.append(NotDone(name, error.why or error.what))
                job.done += 1


def _check_goes_on(job: Job) -> None:
    if job.stopped:
        raise job.stopped


async def _to_the_end(job: Job, work: Callable[[], Coroutine[None, None, None]]) -> None:
    """However it ends, whoever waits for it learns that it has ended."""
    try:
        await work()
    except ApplianceError as error:
        job.stopped = error
        raise
    finally:
        job.is_finished = True


def _wish(row: Row) -> Wish:
    return Wish(
        row.name, full_name=row.full_name, email=row.email, language=row.language,
        groups=(row.group,) if row.group else (),
    )  # fmt: skip


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Rows with something to mend first, then those to look at, then the others."""
    order = {RowState.WRONG: 0, RowState.NEW: 2, RowState.JOIN: 2}

    def key(row: Row) -> tuple[int, int]:
        return (1 if row.note and row.state is RowState.NEW else order.get(row.state, 3), row.line)

    return sorted(rows, key=key)
