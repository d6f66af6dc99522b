"""Groups of users, and what being in them gives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    union_all,
)
from sqlalchemy.orm import Session

from appliance import audit
from appliance.audit import Action
from appliance.db.class_models import Teaching, Visit
from appliance.db.models import Group, Membership, Server, Share, User
from appliance.db.session import Database
from appliance.errors import BadRequest, Conflict, NotFound
from appliance.names import parse_group_name, parse_username

NAMES_AT_ONCE: Final = 5000
_MEMBERSHIPS_AT_ONCE: Final = 50_000
_OF_USERS: Final = (
    select(User.name, Group.name)
    .join(Membership, Membership.user_id == User.id)
    .join(Group, Group.id == Membership.group_id)
    .where(User.name.in_(bindparam("names", expanding=True)))
)

# Made once: these are asked with each request that has a token or a cookie.
_GROUPS_OF: Final = union_all(
    select(Group.name, literal(0).label("taught"))
    .join(Membership, Membership.group_id == Group.id)
    .where(Membership.user_id == bindparam("user_id")),
    select(Group.name, literal(1))
    .join(Teaching, Teaching.group_id == Group.id)
    .where(Teaching.user_id == bindparam("user_id")),
)
_SHARES_OF: Final = (
    select(User.name, Server.name, Share.scopes)
    .select_from(Share)
    .join(Server, Server.id == Share.server_id)
    .join(User, User.id == Server.user_id)
    .where(
        (Share.user_id == bindparam("user_id"))
        | Share.group_id.in_(
            select(Membership.group_id).where(Membership.user_id == bindparam("user_id"))
        )
    )
)
# Whose servers a teacher may open for a while, as they agreed. The class they share counts at this
# moment; that time is over, the sweep says.
_VISITS_OF: Final = (
    select(User.name, Visit.server_name)
    .join(User, User.id == Visit.owner_id)
    .where(
        Visit.visitor_id == bindparam("user_id"),
        Visit.state == "granted",
        select(Teaching.user_id)
        .join(Membership, Membership.group_id == Teaching.group_id)
        .where(Teaching.user_id == Visit.visitor_id, Membership.user_id == Visit.owner_id)
        .exists(),
    )
)


@dataclass(frozen=True, slots=True)
class GroupView:
    """A group, as pages and API show it."""

    name: str
    users: list[str]
    properties: dict[str, Any]


@dataclass(frozen=True, slots=True)
class GroupPage:
    """A part of the list of groups; `total` counts all of it."""

    items: list[GroupView]
    total: int


@dataclass(frozen=True, slots=True)
class Grants:
    """What a user holds besides the roles: the groups, scopes on servers that others share or let
    the user visit, and the classes that the user teaches."""

    groups: frozenset[str]
    shared: frozenset[str]
    teaches: frozenset[str] = frozenset()


class Groups:
    """All groups."""

    def __init__(self, *, db: Database) -> None:
        self._db = db

    def of(self, user: str) -> frozenset[str]:
        """The groups that a user is in; none for a user that there isn't."""
        return self.of_users([user]).get(user, frozenset())

    def of_users(self, users: Iterable[str]) -> dict[str, frozenset[str]]:
        """The groups of some users, in one query; users in no group are left out."""
        found: dict[str, set[str]] = {}
        if not self._db.remembered("members", self._has_members):
            return {}
        with self._db.reading() as connection:
            for user, group in connection.execute(_OF_USERS, {"names": list(users)}):
                found.setdefault(user, set()).add(group)
        return {user: frozenset(groups) for user, groups in found.items()}

    def _has_members(self) -> bool:
        """Whether anybody is in any group."""
        with self._db.reading() as connection:
            return connection.scalar(select(Membership.user_id).limit(1)) is not None

    def get(self, name: str) -> GroupView:
        page = self._page(Group.name == name, offset=0, limit=1)
        if not page.items:
            raise NotFound(f"cannot find the group {name[:60]!r}", why="no such group")
        return page.items[0]

    def list_page(
        self, *, offset: int = 0, limit: int = 200, only: Iterable[str] | None = None
    ) -> GroupPage:
        """A page of groups by age, kept to some names if need be."""
        where = [] if only is None else [Group.name.in_(list(only))]
        return self._page(*where, offset=offset, limit=limit)

    def create(self, names: Sequence[str], users: Sequence[str] = ()) -> list[GroupView]:
        """Make groups of these users; Conflict if one is there, and then none is made."""
        parsed = list(dict.fromkeys(parse_group_name(name) for name in names))
        if len(parsed) * len(users) > _MEMBERSHIPS_AT_ONCE:
            raise BadRequest(
                "cannot make so many groups at once",
                why=f"it would make over {_MEMBERSHIPS_AT_ONCE} memberships",
            )
        with self._db.session() as session:
            taken = session.scalars(select(Group.name).where(Group.name.in_(parsed))).all()
            if taken:
                raise Conflict(
                    f"cannot make the group {taken[0]!r}", why="there is such a group already"
                )
            members = _ids(session, users)
            for name in parsed:
                group = Group(name=name)
                session.add(group)
                session.flush()
                _add(session, group.id, members)
        audit.note(Action.CREATE_GROUP, *parsed, users=list(users))
        return self.list_page(only=parsed, limit=len(parsed)).items

    def remove(self, name: str) -> None:
        with self._db.session() as session:
            session.delete(_group(session, name))
        audit.note(Action.REMOVE_GROUP, name)

    def add_users(self, name: str, users: Sequence[str]) -> GroupView:
        """Add users, of whom some may be in it already; NotFound or BadRequest changes nothing."""
        with self._db.session() as session:
            group = _group(session, name)
            there = session.scalars(
                select(Membership.user_id).where(Membership.group_id == group.id)
            ).all()
            _add(session, group.id, _ids(session, users) - set(there))
        audit.note(Action.ADD_TO_GROUP, name, users=list(users))
        return self.get(name)

    def remove_users(self, name: str, users: Sequence[str]) -> GroupView:
        """Take users out, of whom some may not be in it."""
        with self._db.session() as session:
            group = _group(session, name)
            session.execute(
                delete(Membership).where(
                    Membership.group_id == group.id, Membership.user_id.in_(_ids(session, users))
                )
            )
        audit.note(Action.TAKE_FROM_GROUP, name, users=list(users))
        return self.get(name)

    def set_properties(self, name: str, properties: dict[str, Any]) -> GroupView:
        with self._db.session() as session:
            _group(session, name).properties = properties
        audit.note(Action.CHANGE_GROUP, name, keys=sorted(properties))
        return self.get(name)

    def _page(self, *where: ColumnElement[bool], offset: int, limit: int) -> GroupPage:
        query = select(Group).where(*where).order_by(Group.id).offset(offset).limit(limit)
        with self._db.session() as session:
            total = session.scalar(select(func.count()).select_from(Group).where(*where)) or 0
            rows = session.scalars(query).all()
            members = session.execute(
                select(Membership.group_id, User.name)
                .join(User, User.id == Membership.user_id)
                .where(Membership.group_id.in_([row.id for row in rows]))
                .order_by(User.name)
            )
            names: dict[int, list[str]] = {row.id: [] for row in rows}
            for group_id, user in members:
                names[group_id].append(user)
        views = [GroupView(row.name, names[row.id], row.properties) for row in rows]
        return GroupPage(views, total)


def read_grants(database: Session | Connection, user_id: int) -> Grants:
    """What a user holds by groups, shares and visits at this moment."""
    groups = database.execute(_GROUPS_OF, {"user_id": user_id}).all()
    shares = database.execute(_SHARES_OF, {"user_id": user_id}).all()
    # The filter is made here and not stored: a server may have been renamed since.
    shared = frozenset(
        f"{scope.partition('!')[0]}!server={owner}/{server}"
        for owner, server, scopes in shares
        for scope in scopes
    )
    teaches = frozenset(name for name, taught in groups if taught)
    if teaches:
        visits = database.execute(_VISITS_OF, {"user_id": user_id})
        shared |= {f"access:servers!server={owner}/{server}" for owner, server in visits}
    return Grants(
        groups=frozenset(name for name, taught in groups if not taught),
        shared=shared,
        teaches=teaches,
    )


def _group(session: Session, name: str) -> Group:
    row = session.scalar(select(Group).where(Group.name == name))
    if row is None:
        raise NotFound(f"cannot find the group {name[:60]!r}", why="no such group")
    return row


def _ids(session: Session, users: Sequence[str]) -> set[int]:
    """The numbers of users, whose names may be spelled as people do."""
    if len(users) > NAMES_AT_ONCE:
        raise BadRequest(
            "cannot change the group",
            why=f"the list has {len(users)} names, and {NAMES_AT_ONCE} is the most",
        )
    names = {parse_username(user) for user in users}
    rows = session.execute(select(User.name, User.id).where(User.name.in_(names))).all()
    unknown = names - {row.name for row in rows}
    if unknown:
        raise BadRequest("cannot change the group", why=f"there is no user {min(unknown)!r}")
    return {row.id for row in rows}


def _add(session: Session, group_id: int, users: Iterable[int]) -> None:
    rows = [{"group_id": group_id, "user_id": user_id} for user_id in users]
    if rows:
        session.execute(insert(Membership), rows)
