"""Lists of users: parts of them by what one looks for, at a cost that hardly grows with all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Literal

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    bindparam,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy.orm import InstrumentedAttribute

from appliance.access.scopes import Filter, Filters
from appliance.db.class_models import Teaching
from appliance.db.models import Group, Membership, Password, User, UserState
from appliance.db.models import Server as ServerRow
from appliance.db.session import Database, fold
from appliance.hub.states import ServerState
from appliance.names import CHECK_USERS, Username

Sort = Literal["id", "-id", "name", "-name", "last_activity", "-last_activity"]
PageSort = Literal[
    "name", "-name", "full_name", "-full_name", "last_activity", "-last_activity",
    "created", "-created",
]  # fmt: skip
"""By what pages sort, besides what JupyterHub's API has."""
ActiveFilter = Literal["active", "ready", "inactive"]
RoleFilter = Literal["admin", "teacher", "student"]

_STATES: Final = {str(state): state for state in UserState}
_ACTIVE: Final = (ServerState.STARTING, ServerState.READY, ServerState.STOPPING)


@dataclass(frozen=True, slots=True)
class Person:
    """A user, as pages and API show it."""

    id: int
    name: Username
    admin: bool
    state: UserState
    created: datetime
    last_activity: datetime | None
    has_password: bool
    full_name: str = ""
    email: str = ""
    language: str = ""
    teaches: bool = False
    """Whether any class is the user's to teach."""

    @property
    def title(self) -> str:
        """What people call the user."""
        return self.full_name or self.name


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list; `total` counts all of it."""

    items: list[Person]
    total: int
    offset: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How many users there are."""

    total: int
    waiting: int
    admins: int
    locked: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which users a list is to have; what isn't said leaves none out.

    `within` are filters of a scope by users and groups, of which one must fit.
    """

    search: str = ""
    """A part of the name."""
    find: str = ""
    """A part of the name or of the full name."""
    state: UserState | None = None
    servers: ActiveFilter | None = None
    only: frozenset[str] | None = None
    within: Filters = None
    group: str = ""
    role: RoleFilter | None = None


class UserLists:
    """Reads lists of users."""

    def __init__(self, *, db: Database) -> None:
        self._db = db

    def find(self, name: str) -> Person | None:
        """The user of that canonical name."""
        with self._db.reading() as connection:
            row = connection.execute(PEOPLE.where(User.name == name)).one_or_none()
        return _person(row) if row else None

    def page(
        self, wanted: Wanted, *, offset: int, limit: int, sort: Sort | PageSort = "name"
    ) -> Page:
        """A part of the list."""
        counted, query = _queries(
            sort, wanted.servers, wanted.state, wanted.role,
            searching=bool(wanted.search), finding=bool(wanted.find), in_group=bool(wanted.group),
        )  # fmt: skip
        for where in (
            None if wanted.only is None else User.name.in_(wanted.only),
            None if wanted.within is None else _within(wanted.within),
        ):
            if where is not None:
                counted, query = counted.where(where), query.where(where)
        given = {
            "search": wanted.search.lower(), "find": fold(wanted.find), "group": wanted.group,
        }  # fmt: skip

        def count() -> int:
            with self._db.reading() as connection:
                return connection.scalar(counted, given) or 0

        total = self._db.remembered(("users", wanted), count)
        with self._db.reading() as connection:
            part = {"offset": offset, "limit": limit, **given}
            items = [_person(row) for row in connection.execute(query, part)]
        return Page(items, total, offset)

    def counts(self) -> Counts:
        def count() -> Counts:
            with self._db.reading() as connection:
                return Counts(*connection.execute(_COUNTS).one())

        return self._db.remembered("user-counts", count)


PEOPLE: Final[Select[*tuple[Any, ...]]] = select(
    User.id,
    User.name,
    User.admin,
    User.state,
    User.created,
    User.last_activity,
    # Not by a join: that would be made for all the rows that come before a part of a list, too.
    exists().where(Password.user_id == User.id).correlate(User),
    User.full_name,
    User.email,
    User.language,
    exists().where(Teaching.user_id == User.id).correlate(User),
)

_COUNTS: Final = select(
    func.count(),
    func.count().filter(User.state == UserState.WAITING),
    func.count().filter(User.admin.is_(True)),
    func.count().filter(User.state == UserState.LOCKED),
).where(User.name.not_in(CHECK_USERS))


@lru_cache(maxsize=256)
def _queries(
    sort: Sort | PageSort,
    servers: ActiveFilter | None,
    state: UserState | None,
    role: RoleFilter | None,
    *,
    searching: bool,
    finding: bool,
    in_group: bool,
) -> tuple[Select[int], Select[*tuple[Any, ...]]]:
    """How many users there are, and a part of them; made once, for lists are asked for often."""
    # The accounts of `appliance doctor` and the like are nobody.
    where: list[ColumnElement[bool]] = [User.name.not_in(CHECK_USERS)]
    if searching:
        # Names are lower-case.
        where.append(func.instr(User.name, bindparam("search")) > 0)
    if finding:
        where.append(_found(bindparam("find")))
    if state:
        where.append(User.state == state)
    if servers:
        where.append(_by_servers(servers))
    if in_group:
        where.append(_in_group(Group.name == bindparam("group")))
    if role:
        where += _by_role(role)
    counted = select(func.count()).select_from(User).where(*where)
    query = PEOPLE.where(*where).order_by(*_order(sort))
    return counted, query.offset(bindparam("offset")).limit(bindparam("limit"))


def _found(text: ColumnElement[str]) -> ColumnElement[bool]:
    return or_(func.instr(User.name, text) > 0, func.instr(func.fold(User.full_name), text) > 0)


def _by_role(role: RoleFilter) -> list[ColumnElement[bool]]:
    teaches = exists().where(Teaching.user_id == User.id).correlate(User)
    if role == "admin":
        return [User.admin.is_(True)]
    if role == "teacher":
        return [teaches]
    return [User.admin.is_(False), ~teaches]


def _person(row: Row[*tuple[Any, ...]]) -> Person:
    id_, name, admin, state, created, last_activity, has_password, *more, teaches = row
    full_name, email, language = more
    return Person(
        id_, name, admin, _STATES[state], created, last_activity, bool(has_password),
        full_name, email, language, bool(teaches),
    )  # fmt: skip


def _within(filters: frozenset[Filter]) -> ColumnElement[bool]:
    users = [one.value for one in filters if one.kind == "user"]
    groups = [one.value for one in filters if one.kind == "group"]
    return or_(User.name.in_(users), _in_group(Group.name.in_(groups)))


def _in_group(group: ColumnElement[bool]) -> ColumnElement[bool]:
    return (
        select(Membership.user_id)
        .join(Group, Group.id == Membership.group_id)
        .where(Membership.user_id == User.id, group)
        .exists()
    )


def _by_servers(wanted: ActiveFilter) -> ColumnElement[bool]:
    states = (ServerState.READY,) if wanted == "ready" else _ACTIVE
    has_one = (
        select(ServerRow.id)
        .where(ServerRow.user_id == User.id, ServerRow.state.in_(states))
        .exists()
    )
    return ~has_one if wanted == "inactive" else has_one


def _order(sort: Sort | PageSort) -> list[ColumnElement[Any]]:
    columns: dict[str, ColumnElement[Any] | InstrumentedAttribute[Any]] = {
        "id": User.id,
        "name": User.name,
        "full_name": User.full_name.collate("NOCASE"),
        "last_activity": User.last_activity,
        "created": User.created,
    }
    column = columns[sort.removeprefix("-")]
    if sort.startswith("-"):
        # Ties are in the order of ids both ways, as in JupyterHub.
        return [column.desc().nulls_last(), User.id.asc()]
    return [column.asc().nulls_first(), User.id.asc()]
