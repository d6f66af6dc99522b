"""Archives of classes: who was in them, where their files are, and making a class again."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, select

from appliance import audit
from appliance.audit import Action
from appliance.clock import stamp
from appliance.db.class_models import Archive
from appliance.db.session import Database
from appliance.errors import Conflict, NotFound
from appliance.hub.classroom.classes import Classes
from appliance.hub.classroom.people import People
from appliance.hub.groups import Groups
from appliance.hub.new_accounts import Created, Skipped, Wish
from appliance.hub.users import Person, Users
from appliance.interfaces import ClassFiles
from appliance.names import Username
from appliance.texts import say

MAKING: Final = "making"
PACKED: Final = "packed"
READY: Final = "ready"
FAILED: Final = "failed"


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a class, as its archive remembers them."""

    name: Username
    full_name: str = ""
    email: str = ""
    language: str = ""
    teacher: bool = False
    leaves: bool = False
    """Was there for this class alone: the account goes with it."""
    since: str = ""
    """When the account was made: a later one of the same name is somebody else's."""

    def is_account_of(self, person: Person | None) -> bool:
        """Whether it is still the same account."""
        return person is not None and bool(self.since) and stamp(person.created) == self.since

    def kept(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ArchiveView:
    """An archive, as pages and API show it."""

    id: int
    name: str
    title: str
    created: datetime
    created_by: str
    state: str
    place: str
    members: tuple[Member, ...]
    anew: bool
    archive: str
    """The name by which the files are known."""
    bytes: int
    skipped: dict[str, list[str]]
    failure: dict[str, str]
    """what, why and mend, if it failed."""

    @property
    def moving(self) -> bool:
        return self.state in {MAKING, PACKED}

    @property
    def students(self) -> list[Member]:
        return [member for member in self.members if not member.teacher]


class Archives:
    """All archives."""

    def __init__(
        self,
        *,
        db: Database,
        classes: Classes,
        people: People,
        groups: Groups,
        users: Users,
        files: ClassFiles,
    ) -> None:
        self._db = db
        self._classes = classes
        self._people = people
        self._groups = groups
        self._users = users
        self._files = files

    def list_all(self) -> list[ArchiveView]:
        """The newest first."""
        with self._db.session() as session:
            rows = session.scalars(select(Archive).order_by(Archive.id.desc())).all()
            return [archive_view(row) for row in rows]

    def of_teacher(self, user: str) -> list[ArchiveView]:
        """Those of the classes that a user taught when they ended, and still going on."""
        return [
            one
            for one in self.list_all()
            if one.state != FAILED and any(m.teacher and m.name == user for m in one.members)
        ]

    def get(self, number: int) -> ArchiveView:
        with self._db.session() as session:
            row = session.get(Archive, number)
            if row is None:
                raise NotFound(say("cannot find the archive {number}", number=number))
            return archive_view(row)

    async def restore(self, number: int, name: str = "") -> Created:
        """Make a class of an archive's title with its people; who has no account gets one.

        Files stay in the archive, and a class isn't given to a later account by itself: with the
        name of somebody who taught it, somebody else would get rights over all of its people.
        """
        view = self.get(number)
        if view.state != READY:
            raise Conflict(
                say("cannot make the class {name!r} again", name=view.name),
                why="its archive isn't complete",
            )
        found = {member.name: self._users.find(member.name) for member in view.members}
        known = {one.name for one in view.members if one.is_account_of(found[one.name])}
        free = [one for one in view.students if found[one.name] is None]
        teachers = [one.name for one in view.members if one.teacher and one.name in known]
        one = self._classes.create(name or view.name, title=view.title, teachers=teachers)
        self._groups.add_users(one.name, [m.name for m in view.students if m.name in known])
        made = await self._users.create_many(
            [Wish(m.name, m.full_name, m.email, m.language, (one.name,)) for m in free],
            generate=True,
        )
        joined = [m.name for m in view.students if m.name in known or m in free]
        await self._people.changed(one.name, joined=joined)
        others = [
            Skipped(name, say("the account of this name was made later; add it if it is meant"))
            for name, person in found.items()
            if person is not None and name not in known
        ]
        return Created(made.created, [*made.skipped, *others])

    async def remove(self, number: int) -> None:
        """Delete an archive with its files, for good."""
        view = self.get(number)
        if view.moving:
            raise Conflict(
                say("cannot delete the archive of {name!r}", name=view.name),
                why="it is being made",
                mend="wait until it is ready",
            )
        await self._files.delete_archive(view.archive)
        with self._db.session() as session:
            session.execute(delete(Archive).where(Archive.id == number))
        audit.note(Action.REMOVE_ARCHIVE, view.name, place=view.place)


def archive_view(row: Archive) -> ArchiveView:
    report = row.report
    return ArchiveView(
        id=row.id, name=row.name, title=row.title or row.name, created=row.created,
        created_by=row.created_by, state=row.state, place=row.place,
        members=tuple(Member(**member) for member in row.members),
        anew=bool(report.get("anew")), archive=report.get("archive", ""),
        bytes=report.get("bytes", 0), skipped=report.get("skipped", {}),
        failure=report.get("failure", {}),
    )  # fmt: skip


def archive_name(name: str, number: int, created: datetime) -> str:
    """A name for the files, which no other archive has."""
    text = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", text).strip("-")[:30].strip("-") or "class"
    return f"{slug}-{created:%Y-%m-%d}-{number}"


def list_of_people(members: Sequence[Member]) -> list[tuple[str, ...]]:
    """The rows of an archive's list, with a head."""
    rows: list[tuple[str, ...]] = [("username", "full_name", "email", "role")]
    rows += [(m.name, m.full_name, m.email, "teacher" if m.teacher else "") for m in members]
    return rows
