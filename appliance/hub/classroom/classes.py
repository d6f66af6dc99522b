"""Classes: groups with teachers, whose people and materials those teachers look after.

What a teacher may do follows from the scope `classroom!group=NAME`, which the role `teacher` gives
on the classes taught (appliance/access/roles.py), so pages and API ask the same.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, delete, func, select
from sqlalchemy.orm import Session

from appliance import audit
from appliance.audit import Action
from appliance.clock import Clock
from appliance.db.class_models import SchoolClass, Teaching
from appliance.db.models import Group, Membership, User, UserState
from appliance.db.session import Database, fold
from appliance.errors import BadRequest, Conflict, NoSuchClass, NotFound
from appliance.hub.links import end_links_by_teachers
from appliance.names import Username, parse_group_name
from appliance.texts import say

log = logging.getLogger(__name__)

TITLE_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class ClassView:
    """A class, as pages and API show it."""

    name: str
    title: str
    created: datetime
    frozen: bool
    must_approve: bool
    has_nbgrader: bool
    teachers: tuple[Username, ...]
    students: int
    """How many are in it, those who wait included, teachers not."""
    waiting: int


class Classes:
    """All classes."""

    def __init__(self, *, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def list_all(self, *, only: Iterable[str] | None = None) -> list[ClassView]:
        """The classes by title, kept to some names if need be."""
        query = _CLASSES
        if only is not None:
            query = query.where(Group.name.in_(list(only)))
        with self._db.session() as session:
            found = _views(session, session.execute(query).all())
        return sorted(found, key=lambda one: (fold(one.title), one.name))

    def titles(self) -> dict[str, str]:
        """What people call each class, by its name."""

        def read() -> dict[str, str]:
            with self._db.reading() as connection:
                return {row.name: row.title or row.name for row in connection.execute(_TITLES)}

        return self._db.remembered("class-titles", read)

    def find(self, name: str) -> ClassView | None:
        return next(iter(self.list_all(only=[name])), None)

    def get(self, name: str) -> ClassView:
        found = self.find(name)
        if found is None:
            raise NoSuchClass(name)
        return found

    def members(self, name: str) -> list[Username]:
        """Everybody in it by name, those who wait and teachers who are members included."""
        query = (
            select(User.name)
            .join(Membership, Membership.user_id == User.id)
            .join(Group, Group.id == Membership.group_id)
            .where(Group.name == name)
            .order_by(User.name)
        )
        with self._db.session() as session:
            return [Username(one) for one in session.scalars(query)]

    def taught_by(self, user: str) -> list[str]:
        """The classes that a user teaches."""
        query = (
            select(Group.name)
            .join(Teaching, Teaching.group_id == Group.id)
            .join(User, User.id == Teaching.user_id)
            .where(User.name == user)
            .order_by(Group.name)
        )
        with self._db.session() as session:
            return list(session.scalars(query))

    def create(self, name: str, *, title: str = "", teachers: Sequence[Username] = ()) -> ClassView:
        """Make a class, of the group of that name if there is one; or raise Conflict."""
        parsed = parse_group_name(name)
        with self._db.session() as session:
            group = session.scalar(select(Group).where(Group.name == parsed))
            if group is None:
                group = Group(name=parsed)
                session.add(group)
                session.flush()
            elif session.get(SchoolClass, group.id):
                raise class_exists(parsed)
            session.add(
                SchoolClass(group_id=group.id, title=parse_title(title), created=self._clock.now())
            )
            session.flush()
            for user in dict.fromkeys(teachers):
                _let_teach(session, group.id, user)
        audit.note(Action.CREATE_CLASS, parsed)
        return self.get(parsed)

    def change(self, name: str, **values: Any) -> ClassView:
        """Set some of title, frozen, must_approve and has_nbgrader."""
        if "title" in values:
            values["title"] = parse_title(values["title"])
        with self._db.session() as session:
            row = _row(session, name)
            for key, value in values.items():
                setattr(row, key, value)
        audit.note(Action.CHANGE_CLASS, name, **values)
        return self.get(name)

    def add_teacher(self, name: str, user: Username) -> None:
        """Let a user teach it, from now on; raises NotFound."""
        with self._db.session() as session:
            row = _row(session, name)
            _let_teach(session, row.group_id, user)
        audit.note(Action.ADD_TEACHER, name, users=[user])

    def remove_teacher(self, name: str, user: Username) -> None:
        """Take a class from a teacher; it works at once."""
        with self._db.session() as session:
            row = _row(session, name)
            session.execute(
                delete(Teaching).where(
                    Teaching.group_id == row.group_id,
                    Teaching.user_id == _user_id(session, user),
                )
            )
        audit.note(Action.REMOVE_TEACHER, name, users=[user])

    def remove(self, name: str) -> None:
        """Remove a class and its group; accounts and homes stay."""
        with self._db.session() as session:
            row = _row(session, name)
            session.execute(delete(Group).where(Group.id == row.group_id))
        log.info("class %r removed", name)
        audit.note(Action.REMOVE_CLASS, name)


_CLASSES: Final = select(Group, SchoolClass).join(SchoolClass, SchoolClass.group_id == Group.id)
_TITLES: Final = select(Group.name, SchoolClass.title).join(
    SchoolClass, SchoolClass.group_id == Group.id
)


def class_exists(name: str) -> Conflict:
    return Conflict(
        say("cannot make the class {name!r}", name=name),
        why="there is such a class already",
        mend="choose another name",
    )


def parse_title(text: str) -> str:
    """Return what people call a class ("" is its name), or raise BadRequest saying why not."""
    title = " ".join(unicodedata.normalize("NFC", text).split())
    if len(title) > TITLE_MAX or not title.isprintable():
        raise BadRequest(
            say("cannot use {title!r} as a class's title", title=text[:60]),
            why=say("it is longer than {most} characters, or has some that can't be shown",
                    most=TITLE_MAX),
        )  # fmt: skip
    return title


def _views(session: Session, rows: Sequence[Row[Group, SchoolClass]]) -> list[ClassView]:
    """All of them in two more queries."""
    ids = [group.id for group, _ in rows]
    teachers: dict[int, list[Username]] = {}
    taught = (
        select(Teaching.group_id, User.name)
        .join(User, User.id == Teaching.user_id)
        .where(Teaching.group_id.in_(ids))
        .order_by(User.name)
    )
    for group_id, name in session.execute(taught):
        teachers.setdefault(group_id, []).append(Username(name))
    is_teacher = (
        select(Teaching.user_id)
        .where(Teaching.group_id == Membership.group_id, Teaching.user_id == User.id)
        .exists()
    )
    counts = (
        select(
            Membership.group_id,
            func.count(),
            func.count().filter(User.state == UserState.WAITING),
        )
        .join(User, User.id == Membership.user_id)
        .where(Membership.group_id.in_(ids), ~is_teacher)
        .group_by(Membership.group_id)
    )
    counted = {group_id: numbers for group_id, *numbers in session.execute(counts)}
    found = []
    for group, row in rows:
        students, waiting = counted.get(group.id, (0, 0))
        found.append(
            ClassView(
                name=group.name, title=row.title or group.name, created=row.created,
                frozen=row.frozen, must_approve=row.must_approve, has_nbgrader=row.has_nbgrader,
                teachers=tuple(teachers.get(group.id, ())), students=students, waiting=waiting,
            )
        )  # fmt: skip
    return found


def _row(session: Session, name: str) -> SchoolClass:
    query = (
        select(SchoolClass).join(Group, Group.id == SchoolClass.group_id).where(Group.name == name)
    )
    row = session.scalar(query)
    if row is None:
        raise NoSuchClass(name)
    return row


def _let_teach(session: Session, group_id: int, user: str) -> None:
    user_id = _user_id(session, user)
    session.merge(Teaching(group_id=group_id, user_id=user_id))
    end_links_by_teachers(session, user_id)


def _user_id(session: Session, user: str) -> int:
    found = session.scalar(select(User.id).where(User.name == user))
    if found is None:
        raise NotFound(say("cannot find the user {name!r}", name=user[:60]))
    return found
