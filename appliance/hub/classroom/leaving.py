"""Who leaves with a class, and the one commit in which they do."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from appliance.clock import Clock, stamp
from appliance.db.class_models import Archive, SchoolClass, Teaching
from appliance.db.models import Departure, Group, Membership, Rename, User
from appliance.db.session import Database
from appliance.hub.classroom.archives import READY, ArchiveView, Member
from appliance.hub.classroom.rights import Rights
from appliance.hub.groups import Groups
from appliance.names import Username


class Leaving:
    """Takes classes away, with the accounts of those who are in no other."""

    def __init__(self, *, db: Database, clock: Clock, groups: Groups, rights: Rights) -> None:
        self._db = db
        self._clock = clock
        self._groups = groups
        self._rights = rights

    def members(self, name: str) -> list[Member]:
        """Everybody in a class and its teachers, and whether their accounts go with it."""
        with self._db.session() as session:
            return self._members(session, name)

    def end(self, archive: ArchiveView) -> list[Username]:
        """Take the class away, in one commit; returns those whose accounts went with it."""
        archived = {(member.name, member.since) for member in archive.members if member.leaves}
        now = self._clock.now()
        with self._db.session() as session:
            row = session.get(Archive, archive.id)
            if row is not None:
                row.state = READY
            group = session.scalar(select(Group).where(Group.name == archive.name))
            if group is None:
                return []
            # Whoever came after the packing isn't in the archive, and stays.
            leaving = [
                member.name
                for member in self._members(session, archive.name)
                if member.leaves and (member.name, member.since) in archived
            ]
            for name in leaving:
                session.merge(Departure(name=name, since=now))
            before = session.get(SchoolClass, group.id)
            teachers = session.scalars(
                select(Teaching.user_id).where(Teaching.group_id == group.id)
            ).all()
            session.execute(delete(User).where(User.name.in_(leaving)))
            session.execute(delete(Group).where(Group.id == group.id))
            if archive.anew and before is not None:
                new = Group(name=archive.name, properties=group.properties)
                session.add(new)
                session.flush()
                session.add(
                    SchoolClass(
                        group_id=new.id, title=before.title, created=now,
                        must_approve=before.must_approve, has_nbgrader=before.has_nbgrader,
                    )
                )  # fmt: skip
                session.flush()
                session.add_all(Teaching(group_id=new.id, user_id=user) for user in teachers)
        return leaving

    def _members(self, session: Session, name: str) -> list[Member]:
        group_id = session.scalar(select(Group.id).where(Group.name == name))
        in_it = select(Membership.user_id).where(Membership.group_id == group_id)
        teachers = select(Teaching.user_id).where(Teaching.group_id == group_id)
        people = session.scalars(
            select(User).where(User.id.in_(in_it.union(teachers))).order_by(User.name)
        ).all()
        taught = set(session.scalars(teachers))
        staying = self._staying(session, group_id, [user.name for user in people])
        return [
            Member(
                Username(user.name), user.full_name, user.email, user.language,
                teacher=user.id in taught,
                leaves=not user.admin and user.name not in staying,
                since=stamp(user.created) or "",
            )
            for user in people
        ]  # fmt: skip

    def _staying(self, session: Session, group_id: int | None, names: list[str]) -> set[str]:
        """Those in another class, those who teach, hold rights or have a new name under way."""
        others = (
            select(User.name)
            .join(Membership, Membership.user_id == User.id)
            .join(SchoolClass, SchoolClass.group_id == Membership.group_id)
            .where(Membership.group_id != group_id, User.name.in_(names))
        )
        teaching = (
            select(User.name)
            .join(Teaching, Teaching.user_id == User.id)
            .where(User.name.in_(names))
        )
        renamed = select(Rename.new).where(Rename.new.in_(names))
        staying = {name for query in (others, teaching, renamed) for name in session.scalars(query)}
        groups = self._groups.of_users(names)
        return staying | {
            name for name in names if self._rights.holds_rights(name, groups.get(name, frozenset()))
        }
