"""The end of a term: a class goes into an archive, and begins anew or is gone.

It takes minutes, so it runs beside the answers to requests, and each step is written down: `making`
while files are packed, `packed` when they are, and one commit at the end takes the class and the
accounts of those who were there for it alone. A hub that dies in between goes on where it was; a
failure while packing leaves the class as it was.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from sqlalchemy import select

from appliance import audit
from appliance.audit import Action
from appliance.clock import Clock
from appliance.db.class_models import Archive
from appliance.db.session import Database
from appliance.errors import ApplianceError, Conflict, NotFound
from appliance.hub.classroom.archives import (
    FAILED,
    MAKING,
    PACKED,
    ArchiveView,
    archive_name,
    archive_view,
)
from appliance.hub.classroom.classes import Classes
from appliance.hub.classroom.leaving import Leaving
from appliance.hub.classroom.people import People
from appliance.hub.servers import Servers
from appliance.hub.supervisor import Supervisor
from appliance.hub.users import Users
from appliance.interfaces import ClassFiles
from appliance.names import Username
from appliance.texts import say

log = logging.getLogger(__name__)

_AGAIN_SECONDS: Final = 30.0


class Terms:
    """Ends the terms of classes."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        classes: Classes,
        people: People,
        leaving: Leaving,
        users: Users,
        servers: Servers,
        files: ClassFiles,
        settle: Callable[[str], Awaitable[None]],
        supervisor: Supervisor,
    ) -> None:
        """`settle` makes sure that a class has its folder."""
        self._db = db
        self._clock = clock
        self._classes = classes
        self._people = people
        self._leaving = leaving
        self._users = users
        self._servers = servers
        self._files = files
        self._settle = settle
        self._supervisor = supervisor
        self._done: dict[int, int] = {}
        self._at_work: set[int] = set()

    def progress(self, archive: ArchiveView) -> int:
        """How many of the members are packed."""
        return self._done.get(archive.id, 0)

    def under_way(self, name: str) -> ArchiveView | None:
        """The archive that a class is going into at this moment."""
        query = select(Archive).where(Archive.name == name, Archive.state.in_((MAKING, PACKED)))
        with self._db.session() as session:
            row = session.scalar(query.order_by(Archive.id.desc()).limit(1))
            return archive_view(row) if row else None

    def last_failure(self, name: str) -> ArchiveView | None:
        """How the last attempt failed, if it did."""
        query = select(Archive).where(Archive.name == name).order_by(Archive.id.desc()).limit(1)
        with self._db.session() as session:
            row = session.scalar(query)
            return archive_view(row) if row is not None and row.state == FAILED else None

    def archive(self, name: str, *, by: str, anew: bool) -> ArchiveView:
        """Begin to put a class into an archive; with `anew` an empty one of its name follows."""
        one = self._classes.get(name)
        if self.under_way(one.name):
            raise Conflict(
                say("cannot archive the class {name!r}", name=one.name),
                why="it is going into an archive already",
                mend="wait until it is ready",
            )
        members = self._leaving.members(one.name)
        with self._db.session() as session:
            row = Archive(
                name=one.name, title=one.title, created=self._clock.now(), created_by=by,
                state=MAKING, members=[member.kept() for member in members],
                report={"anew": anew, "teachers": list(one.teachers)},
            )  # fmt: skip
            session.add(row)
            session.flush()
            row.report = {**row.report, "archive": archive_name(one.name, row.id, row.created)}
            view = archive_view(row)
        audit.note(Action.ARCHIVE_CLASS, one.name, anew=anew, users=len(members))
        self._begin(view.id)
        return view

    async def run(self) -> None:
        """Go on with what an earlier hub began, and with what could not be finished."""
        query = select(Archive.id).where(Archive.state.in_((MAKING, PACKED)))
        while True:
            with self._db.session() as session:
                for number in session.scalars(query).all():
                    self._begin(number)
            await asyncio.sleep(_AGAIN_SECONDS)

    def _begin(self, number: int) -> None:
        if number not in self._at_work:
            self._at_work.add(number)
            self._supervisor.run(f"archive {number}", self._carry_out(number))

    async def _carry_out(self, number: int) -> None:
        try:
            view = self._view(number)
            if view.state == MAKING:
                await self._pack(view)
            view = self._view(number)
            if view.state == PACKED:
                await self._finish(view)
        finally:
            self._at_work.discard(number)

    async def _pack(self, view: ArchiveView) -> None:
        students = [member.name for member in view.members if not member.teacher]
        self._done[view.id] = 0

        def told(_user: Username) -> None:
            self._done[view.id] += 1

        try:
            await self._settle(view.name)
            await self._stop_servers(students)
            # An earlier hub may have left a part of it.
            await self._files.delete_archive(view.archive)
            made = await self._files.archive_class(view.name, view.archive, students, told=told)
        except ApplianceError as err:
            log.warning("cannot archive the class %r: %s", view.name, err)
            failure = {"what": err.what, "why": err.why, "mend": err.mend}
            self._note(view.id, FAILED, failure=failure)
            return
        self._note(
            view.id, PACKED, place=made.place, bytes=made.bytes,
            homes=dict(made.homes), skipped={name: [*why] for name, why in made.skipped.items()},
        )  # fmt: skip

    async def _finish(self, view: ArchiveView) -> None:
        """Nothing of the class is left but the archive; tried again until that is so."""
        await self._files.forget_class(view.name)
        gone = self._leaving.end(view)
        log.info("class %r is in the archive %s, %d users left", view.name, view.place, len(gone))
        self._done.pop(view.id, None)
        self._users.tell_ends(gone)
        if view.anew:
            await self._people.changed(view.name)
        await self._users.finish_departures(gone)

    async def _stop_servers(self, users: list[Username]) -> None:
        stops = [
            self._servers.stop(one.server)
            for views in self._servers.used_of_users(users).values()
            for one in views
            if one.active
        ]
        await asyncio.gather(*stops)

    def _note(self, number: int, state: str, **report: object) -> None:
        with self._db.session() as session:
            row = session.get(Archive, number)
            if row is not None:
                row.state, row.report = state, {**row.report, **report}
                row.place = str(report.get("place", row.place))

    def _view(self, number: int) -> ArchiveView:
        with self._db.session() as session:
            row = session.get(Archive, number)
            if row is None:
                raise NotFound("cannot find the archive")
            return archive_view(row)
