"""The people the hub knows: making, approving, listing and removing accounts.

Removing is one commit that ends every right at once; what remains to be done elsewhere (servers,
the Unix account) is written down in the same commit and done until it is done.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Literal

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
)
from sqlalchemy.orm import InstrumentedAttribute

from appliance import audit
from appliance.access.scopes import Filter, Filters
from appliance.audit import Action
from appliance.clock import Clock
from appliance.db.class_models import Teaching
from appliance.db.models import Departure, Group, Membership, Password, User, UserState
from appliance.db.models import Server as ServerRow
from appliance.db.session import Database
from appliance.errors import ApplianceError, BadRequest, Conflict, NoSuchUser
from appliance.hub.renames import Renames
from appliance.hub.servers import Servers
from appliance.hub.settled import check_settled, taken
from appliance.hub.states import ServerState
from appliance.interfaces import Spawner
from appliance.names import Username, parse_username
from appliance.native_auth.authenticator import NativeAuthenticator

log = logging.getLogger(__name__)

Sort = Literal["id", "-id", "name", "-name", "last_activity", "-last_activity"]
ActiveFilter = Literal["active", "ready", "inactive"]

NAMES_AT_ONCE: Final = 5000
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


@dataclass(frozen=True, slots=True)
class NewUser:
    """An account just made; its generated password is never shown again."""

    name: Username
    password: str | None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A name for which nothing was done, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Created:
    """What became of a list of names."""

    created: list[NewUser]
    skipped: list[Skipped]


class Users:
    """All accounts."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        authenticator: NativeAuthenticator,
        servers: Servers,
        spawner: Spawner,
    ) -> None:
        self._db = db
        self._clock = clock
        self._authenticator = authenticator
        self._servers = servers
        self._spawner = spawner
        self._renames = Renames(db=db, clock=clock, spawner=spawner)

    def find(self, name: str) -> Person | None:
        """The user of that name in any spelling; None for names that nobody can have."""
        try:
            name = parse_username(name)
        except BadRequest:
            return None
        with self._db.reading() as connection:
            row = connection.execute(_PEOPLE.where(User.name == name)).one_or_none()
        return _person(row) if row else None

    def get(self, name: str) -> Person:
        found = self.find(name)
        if found is None:
            raise NoSuchUser(name)
        return found

    def list_page(
        self,
        *,
        offset: int = 0,
        limit: int = 50,
        search: str = "",
        state: UserState | None = None,
        sort: Sort = "name",
        servers: ActiveFilter | None = None,
        only: Iterable[str] | None = None,
        within: Filters = None,
    ) -> Page:
        """A page of users, kept to those with or without active servers, or to some names.

        `within` are filters of a scope by users and groups, of which one must fit.
        """
        counted, query = _queries(sort, servers, state, searching=bool(search))
        names = None if only is None else frozenset(only)
        for where in (
            None if names is None else User.name.in_(names),
            None if within is None else _within(within),
        ):
            if where is not None:
                counted, query = counted.where(where), query.where(where)
        given = {"search": search.lower()} if search else {}

        def count() -> int:
            with self._db.reading() as connection:
                return connection.scalar(counted, given) or 0

        total = self._db.remembered(("users", search, state, servers, names, within), count)
        with self._db.reading() as connection:
            part = {"offset": offset, "limit": limit, **given}
            items = [_person(row) for row in connection.execute(query, part)]
        return Page(items, total, offset)

    def counts(self) -> Counts:
        query = select(
            func.count(),
            func.count().filter(User.state == UserState.WAITING),
            func.count().filter(User.admin.is_(True)),
        )
        with self._db.session() as session:
            total, waiting, admins = session.execute(query).one()
        return Counts(total, waiting, admins)

    def active_since(self, moments: Mapping[str, datetime]) -> dict[str, int]:
        """How many users have been active since each moment."""
        counts = [func.count().filter(User.last_activity >= since) for since in moments.values()]
        with self._db.session() as session:
            return dict(zip(moments, session.execute(select(*counts)).one(), strict=True))

    async def create_many(
        self,
        names: Sequence[str],
        *,
        admin: bool = False,
        generate: bool = False,
        approved: bool = True,
        all_or_none: bool = False,
    ) -> Created:
        """Make an account for each name that is legal and free; one commit for all of them.

        With `all_or_none`, one name that isn't legal raises BadRequest; those taken are skipped.
        """
        if len(names) > NAMES_AT_ONCE:
            raise BadRequest(
                "cannot make so many users at once",
                why=f"the list has {len(names)} names, and {NAMES_AT_ONCE} is the most",
            )
        wanted, skipped = self._sift(names, all_or_none=all_or_none)
        hashes = {name: await self._authenticator.hash_generated() for name in wanted if generate}
        created = self._insert(wanted, skipped, hashes, admin=admin, approved=approved)
        log.info("%d users created, %d skipped", len(created), len(skipped))
        if created:
            audit.note(Action.CREATE_USER, *(new.name for new in created), admin=admin)
        return Created(created, skipped)

    def _insert(
        self,
        wanted: Sequence[Username],
        skipped: list[Skipped],
        hashes: Mapping[Username, tuple[str, str]],
        *,
        admin: bool,
        approved: bool,
    ) -> list[NewUser]:
        """All in one commit; those skipped are added to the list."""
        now = self._clock.now()
        state = UserState.ACTIVE if approved else UserState.WAITING
        with self._db.session() as session:
            # Again, because hashing took its time.
            known = taken(session, wanted)
            skipped += [Skipped(name, known[name]) for name in wanted if name in known]
            free = [name for name in wanted if name not in known]
            if not free:
                return []
            session.execute(
                insert(User),
                [
                    {"name": name, "state": state, "admin": admin, "created": now, "info": {}}
                    for name in free
                ],
            )
            if hashes:
                ids = session.execute(select(User.name, User.id).where(User.name.in_(free)))
                session.execute(
                    insert(Password),
                    [
                        {"user_id": id_, "hash": hashes[Username(name)][1], "changed": now,
                         "must_change": True}
                        for name, id_ in ids
                    ],
                )  # fmt: skip
        return [NewUser(name, hashes[name][0] if hashes else None) for name in free]

    def _sift(
        self, names: Sequence[str], *, all_or_none: bool
    ) -> tuple[list[Username], list[Skipped]]:
        wanted: dict[Username, None] = {}
        skipped: list[Skipped] = []
        for text in names:
            try:
                name = parse_username(text)
            except BadRequest as err:
                if all_or_none:
                    raise
                skipped.append(Skipped(text[:60], err.why))
                continue
            if name in wanted:
                skipped.append(Skipped(text[:60], f"the list has {name!r} twice"))
            wanted[name] = None
        with self._db.session() as session:
            known = taken(session, wanted)
        skipped += [Skipped(name, known[name]) for name in wanted if name in known]
        return [name for name in wanted if name not in known], skipped

    def approve(self, name: str) -> Person:
        """Let a waiting user in; approving an active one changes nothing."""
        approved = False
        with self._db.session() as session:
            row = session.scalar(select(User).where(User.name == name))
            if row is not None and row.state != UserState.ACTIVE:
                row.state, approved = UserState.ACTIVE, True
        if approved:
            log.info("user %s approved", name)
            audit.note(Action.APPROVE_USER, name)
        return self.get(name)

    def set_admin(self, name: str, *, admin: bool) -> Person:
        """Make a user an admin, or no admin; the last one stays."""
        changed = False
        with self._db.session() as session:
            row = session.scalar(select(User).where(User.name == name))
            if row is not None and row.admin != admin:
                if not admin:
                    self._check_not_last_admin(name)
                row.admin, changed = admin, True
        if changed:
            log.info("user %s is %s admin", name, "an" if admin else "no longer an")
            audit.note(Action.MAKE_ADMIN if admin else Action.UNMAKE_ADMIN, name)
        return self.get(name)

    async def rename(self, person: Person, new: str) -> Person:
        """Give a user another name; raises BadRequest if that can't be now, or never."""
        return self.get(await self._renames.rename(person.name, new))

    async def remove(self, name: str) -> None:
        """Remove a user with all rights and sessions; files stay with the retired account."""
        person = self.get(name)
        if person.admin:
            self._check_not_last_admin(name)
        with self._db.session() as session:
            check_settled(session, person.name)
            session.merge(Departure(name=person.name, since=self._clock.now()))
            session.execute(delete(User).where(User.id == person.id))
        log.info("user %s removed", person.name)
        audit.note(Action.REMOVE_USER, person.name)
        await self.finish_departures([person.name])

    async def finish_renames(self) -> None:
        """Tell the spawner of new names it hasn't heard of; try failures again."""
        await self._renames.finish()

    async def finish_departures(self, names: Iterable[Username] | None = None) -> None:
        """Stop what removed users left running and retire their accounts; try failures again."""
        if names is None:
            with self._db.session() as session:
                names = [Username(name) for name in session.scalars(select(Departure.name))]
        for name in names:
            try:
                await self._servers.forget_user(name)
                await self._spawner.forget_user(name)
            except ApplianceError as err:
                log.warning("cannot finish the removal of %s yet: %s", name, err)
                continue
            with self._db.session() as session:
                session.execute(delete(Departure).where(Departure.name == name))

    def _check_not_last_admin(self, name: str) -> None:
        query = select(func.count()).where(
            User.admin.is_(True), User.state == UserState.ACTIVE, User.name != name
        )
        with self._db.session() as session:
            others = session.scalar(query) or 0
        if not others:
            raise Conflict(
                "cannot leave the appliance without an admin",
                why=f"{name!r} is the only one",
                mend="make somebody else an admin first",
            )


_PEOPLE: Final[Select[*tuple[Any, ...]]] = select(
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


@lru_cache(maxsize=128)
def _queries(
    sort: Sort, servers: ActiveFilter | None, state: UserState | None, *, searching: bool
) -> tuple[Select[int], Select[*tuple[Any, ...]]]:
    """How many users there are, and a part of them; made once, for lists are asked for often."""
    where: list[ColumnElement[bool]] = []
    if searching:
        # Names are lower-case.
        where.append(func.instr(User.name, bindparam("search")) > 0)
    if state:
        where.append(User.state == state)
    if servers:
        where.append(_by_servers(servers))
    counted = select(func.count()).select_from(User).where(*where)
    query = _PEOPLE.where(*where).order_by(*_order(sort))
    return counted, query.offset(bindparam("offset")).limit(bindparam("limit"))


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
    member = (
        select(Membership.user_id)
        .join(Group, Group.id == Membership.group_id)
        .where(Membership.user_id == User.id, Group.name.in_(groups))
        .exists()
    )
    return or_(User.name.in_(users), member)


def _by_servers(wanted: ActiveFilter) -> ColumnElement[bool]:
    states = (ServerState.READY,) if wanted == "ready" else _ACTIVE
    has_one = (
        select(ServerRow.id)
        .where(ServerRow.user_id == User.id, ServerRow.state.in_(states))
        .exists()
    )
    return ~has_one if wanted == "inactive" else has_one


def _order(sort: Sort) -> list[ColumnElement[Any]]:
    columns: dict[str, InstrumentedAttribute[Any]] = {
        "id": User.id,
        "name": User.name,
        "last_activity": User.last_activity,
    }
    column = columns[sort.removeprefix("-")]
    if sort.startswith("-"):
        # Ties are in the order of ids both ways, as in JupyterHub.
        return [column.desc().nulls_last(), User.id.asc()]
    return [column.asc().nulls_first(), User.id.asc()]
