"""Classes: groups with teachers, whose people and materials those teachers look after.

What a teacher may do follows from the scope `classroom!group=NAME`, which the role `teacher` gives
on the classes taught (appliance/access/roles.py), so pages and API ask the same.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from appliance import audit
from appliance.audit import Action
from appliance.clock import Clock
from appliance.db.class_models import SchoolClass, Teaching
from appliance.db.models import Group, Membership, User, UserState
from appliance.db.session import Database
from appliance.errors import Conflict, NotFound
from appliance.names import Username, parse_group_name
from appliance.texts import say

log = logging.getLogger(__name__)


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
            rows = session.execute(query).all()
            found = [_view(session, group, row) for group, row in rows]
        return sorted(found, key=lambda one: (one.title.lower(), one.name))

    def find(self, name: str) -> ClassView | None:
        return next(iter(self.list_all(only=[name])), None)

    def get(self, name: str) -> ClassView:
        found = self.find(name)
        if found is None:
            raise NotFound(say("cannot find the class {name!r}", name=name[:60]))
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

    def create(self, name: str, *, title: str = "") -> ClassView:
        """Make a class, of the group of that name if there is one; or raise Conflict."""
        parsed = parse_group_name(name)
        with self._db.session() as session:
            group = session.scalar(select(Group).where(Group.name == parsed))
            if group is None:
                group = Group(name=parsed)
                session.add(group)
                session.flush()
            elif session.get(SchoolClass, group.id):
                raise Conflict(
                    say("cannot make the class {name!r}", name=parsed),
                    why="there is such a class already",
                    mend="choose another name",
                )
            session.add(SchoolClass(group_id=group.id, title=title, created=self._clock.now()))
        audit.note(Action.CREATE_CLASS, parsed)
        return self.get(parsed)

    def change(self, name: str, **values: Any) -> ClassView:
        """Set some of title, frozen, must_approve and has_nbgrader."""
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
            session.merge(Teaching(group_id=row.group_id, user_id=_user_id(session, user)))
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


_CLASSES: Final = select(Group, SchoolClass).join(SchoolClass, SchoolClass.group_id == Group.id)


def _view(session: Session, group: Group, row: SchoolClass) -> ClassView:
    teachers = (
        select(User.name)
        .join(Teaching, Teaching.user_id == User.id)
        .where(Teaching.group_id == group.id)
        .order_by(User.name)
    )
    teaches = (
        select(Teaching.user_id)
        .where(Teaching.group_id == group.id, Teaching.user_id == User.id)
        .exists()
    )
    counts = (
        select(func.count(), func.count().filter(User.state == UserState.WAITING))
        .select_from(Membership)
        .join(User, User.id == Membership.user_id)
        .where(Membership.group_id == group.id, ~teaches)
    )
    students, waiting = session.execute(counts).one()
    return ClassView(
        name=group.name,
        title=row.title or group.name,
        created=row.created,
        frozen=row.frozen,
        must_approve=row.must_approve,
        has_nbgrader=row.has_nbgrader,
        teachers=tuple(Username(one) for one in session.scalars(teachers)),
        students=students,
        waiting=waiting,
    )


def _row(session: Session, name: str) -> SchoolClass:
    query = (
        select(SchoolClass).join(Group, Group.id == SchoolClass.group_id).where(Group.name == name)
    )
    row = session.scalar(query)
    if row is None:
        raise NotFound(say("cannot find the class {name!r}", name=name[:60]))
    return row


def _user_id(session: Session, user: str) -> int:
    found = session.scalar(select(User.id).where(User.name == user))
    if found is None:
        raise NotFound(say("cannot find the user {name!r}", name=user[:60]))
    return found
