"""Hand-outs on their way: a copy of a folder to everybody in a class, in the background.

What is still to do is in the database, so a hub that is started again goes on where the last one
was. Who joins later gets what was handed out before. One user's deliveries are done in their order,
some users' at a time; what fails stays with its reason until somebody, or the user's next start of
a server, has it tried again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, exists, insert, literal, select, update
from sqlalchemy.orm import Session

from appliance.clock import Clock
from appliance.db.class_models import Delivery, Handout, Teaching
from appliance.db.models import Group, Membership, User, UserState
from appliance.db.session import Database
from appliance.errors import ApplianceError
from appliance.hub.states import ServerState
from appliance.hub.supervisor import Supervisor
from appliance.interfaces import ClassFiles, Rule
from appliance.names import ServerId, Username

log = logging.getLogger(__name__)

_AT_ONCE: Final = 2
"""Users who are served at the same time: copying is the disk's work, and a lesson goes on."""
_LOOK_EVERY_SECONDS: Final = 60.0
WAITING: Final = "waiting"
FAILED: Final = "failed"
_STATE: Final = "state"


@dataclass(frozen=True, slots=True)
class _Job:
    """One hand-out to one user."""

    handout_id: int
    group: str
    folder: str
    rule: Rule


class Deliveries:
    """Delivers what waits; pages and API read the rows."""

    def __init__(
        self, *, db: Database, clock: Clock, files: ClassFiles, supervisor: Supervisor
    ) -> None:
        self._db = db
        self._clock = clock
        self._files = files
        self._supervisor = supervisor
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._served: set[int] = set()
        """Users of whom a task knows, by id."""

    async def run(self) -> None:
        """Go on with what an earlier hub left, then see now and then that nobody was missed."""
        while True:
            self._add_missing()
            self._wake(self._waiting_users())
            await asyncio.sleep(_LOOK_EVERY_SECONDS)

    def hand_out(self, session: Session, handout: Handout) -> None:
        """Note that everybody who is in the class now waits for it; `begin` after the commit."""
        people = list(session.scalars(_students(handout.group_id)))
        if people:
            session.execute(
                insert(Delivery), [_waiting(handout.id, one, self._clock.now()) for one in people]
            )

    def begin(self) -> None:
        """Serve those who wait."""
        self._wake(self._waiting_users())

    async def welcome(self, user: Username, group: str) -> None:
        """Give somebody who has just joined a class what was handed out before."""
        with self._db.session() as session:
            user_id = session.scalar(select(User.id).where(User.name == user))
            group_id = session.scalar(select(Group.id).where(Group.name == group))
            if user_id is not None and group_id is not None:
                self._add(session, user_id, group_id)
        if user_id is not None:
            self._wake([user_id])

    def on_state(self, server: ServerId, state: ServerState) -> None:
        """When a user's server starts, what could not be delivered is tried again."""
        if state is not ServerState.STARTING:
            return
        with self._db.reading() as connection:
            user_id = connection.scalar(
                select(Delivery.user_id)
                .join(User, User.id == Delivery.user_id)
                .where(User.name == server.user, Delivery.done.is_(False))
                .limit(1)
            )
        if user_id is not None:
            with self._db.session() as session:
                self._wait_again(session, Delivery.user_id == user_id)
            self._wake([user_id])

    def again(self, handout_id: int) -> int:
        """Try again with those for whom it failed; returns how many that are."""
        with self._db.session() as session:
            count = self._wait_again(session, Delivery.handout_id == handout_id)
        self.begin()
        return count

    # Who waits

    def _add_missing(self) -> None:
        """Rows for people in classes of whom nobody told."""
        with self._db.reading() as connection:
            pairs = connection.execute(_MISSING).all()
        if pairs:
            now = self._clock.now()
            with self._db.session() as session:
                session.execute(insert(Delivery), [_waiting(*pair, now) for pair in pairs])

    def _add(self, session: Session, user_id: int, group_id: int) -> None:
        query = _MISSING.where(User.id == user_id, Handout.group_id == group_id)
        rows = [_waiting(*pair, self._clock.now()) for pair in session.execute(query)]
        if rows:
            session.execute(insert(Delivery), rows)

    def _wait_again(self, session: Session, *where: Any) -> int:
        rows = session.scalars(select(Delivery).where(Delivery.done.is_(False), *where)).all()
        failed = [row for row in rows if row.report.get(_STATE) != WAITING]
        for row in failed:
            row.report = {_STATE: WAITING}
        return len(failed)

    def _waiting_users(self) -> list[int]:
        with self._db.reading() as connection:
            query = select(Delivery.user_id).where(_IS_WAITING).distinct()
            return list(connection.scalars(query))

    # Serving them

    def _wake(self, user_ids: Iterable[int]) -> None:
        for user_id in user_ids:
            if user_id not in self._served:
                self._served.add(user_id)
                self._supervisor.run("delivering materials", self._serve(user_id))

    async def _serve(self, user_id: int) -> None:
        try:
            async with self._slots:
                while found := self._next(user_id):
                    await self._deliver(user_id, *found)
        finally:
            self._served.discard(user_id)

    def _next(self, user_id: int) -> tuple[Username, _Job] | None:
        """The user's oldest hand-out that waits; those of classes that they left are dropped."""
        query = (
            select(User.name, Group.name, Handout, _IS_MEMBER)
            .select_from(Delivery)
            .join(Handout, Handout.id == Delivery.handout_id)
            .join(Group, Group.id == Handout.group_id)
            .join(User, User.id == Delivery.user_id)
            .where(Delivery.user_id == user_id, _IS_WAITING)
            .order_by(Handout.id)
        )
        with self._db.session() as session:
            for name, group, handout, is_member in session.execute(query):
                if is_member:
                    job = _Job(handout.id, group, handout.folder, Rule(handout.rule))
                    return Username(name), job
                session.execute(
                    delete(Delivery).where(
                        Delivery.handout_id == handout.id, Delivery.user_id == user_id
                    )
                )
        return None

    async def _deliver(self, user_id: int, user: Username, job: _Job) -> None:
        try:
            report = await self._files.hand_out(job.group, user, job.folder, job.rule)
        except ApplianceError as err:
            log.warning("cannot hand out %r of %r to %s: %s", job.folder, job.group, user, err)
            failure = {_STATE: FAILED, "why": err.why or err.what, "mend": err.mend}
            self._note(user_id, job, done=False, report=failure)
        else:
            self._note(user_id, job, done=True, report=asdict(report))

    def _note(self, user_id: int, job: _Job, *, done: bool, report: dict[str, Any]) -> None:
        """Keep how it went; the user, or the hand-out, may be gone by now."""
        with self._db.session() as session:
            session.execute(
                update(Delivery)
                .where(Delivery.handout_id == job.handout_id, Delivery.user_id == user_id)
                .values(done=done, report=report, at=self._clock.now())
            )


def _waiting(handout_id: int, user_id: int, now: datetime) -> dict[str, Any]:
    return {
        "handout_id": handout_id,
        "user_id": user_id,
        "at": now,
        "done": False,
        "report": {_STATE: WAITING},
    }


def _students(group_id: int) -> Any:
    """Who is in the class, let in, and no teacher of it."""
    return (
        select(User.id)
        .join(Membership, Membership.user_id == User.id)
        .where(
            Membership.group_id == group_id, User.state != UserState.WAITING, ~_teaches(group_id)
        )
        .order_by(User.name)
    )


def _teaches(group_id: Any) -> Any:
    return exists().where(Teaching.group_id == group_id, Teaching.user_id == User.id)


_IS_WAITING: Final = Delivery.done.is_(False) & (
    Delivery.report[_STATE].as_string() == literal(WAITING)
)
_IS_MEMBER: Final = exists().where(
    Membership.user_id == Delivery.user_id, Membership.group_id == Handout.group_id
)
_MISSING: Final = (
    select(Handout.id, User.id)
    .join(Membership, Membership.group_id == Handout.group_id)
    .join(User, User.id == Membership.user_id)
    .where(
        Handout.latecomers.is_(True),
        User.state != UserState.WAITING,
        ~_teaches(Handout.group_id),
        ~exists().where(Delivery.handout_id == Handout.id, Delivery.user_id == User.id),
    )
    .order_by(Handout.id, User.id)
)
