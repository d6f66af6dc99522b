"""Who waits to be let in, and letting in or turning away, one or many.

Several may do so at the same time, so whoever comes second learns what was done before, and by
whom. Turning away removes the account, and only one that waits; its name is free again.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, func, select

from appliance import audit
from appliance.access.principal import Principal
from appliance.access.scopes import Filters
from appliance.audit import Action
from appliance.db.class_models import SchoolClass
from appliance.db.models import Group, Membership, User, UserState
from appliance.db.session import Database
from appliance.errors import ApplianceError, Conflict, NotFound
from appliance.hub.classroom.people import People
from appliance.hub.classroom.rights import CLASSROOM, Rights
from appliance.hub.groups import Groups
from appliance.hub.users import Person, Users
from appliance.names import Username
from appliance.native_auth.signup import SignUps
from appliance.texts import say

log = logging.getLogger(__name__)

NAMES_AT_ONCE: Final = 500
# As many as are remembered for those who come second.
_REMEMBERED: Final = 2000


@dataclass(frozen=True, slots=True)
class Waiter:
    """Somebody who signed up and waits."""

    person: Person
    taken_for: str
    """A name with rights over others that theirs could be taken for, or ""."""


@dataclass(frozen=True, slots=True)
class Waits:
    """How many wait for somebody's decision."""

    classes: int
    """In the classes that they run."""
    others: int
    """In no class; for admins."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of a list of names."""

    done: tuple[Username, ...]
    failed: tuple[ApplianceError, ...]


@dataclass(frozen=True, slots=True)
class _Decision:
    approved: bool
    by: str


class Approvals:
    """Lets people in who wait."""

    def __init__(
        self,
        *,
        db: Database,
        users: Users,
        groups: Groups,
        people: People,
        rights: Rights,
        sign_ups: SignUps,
    ) -> None:
        self._db = db
        self._users = users
        self._groups = groups
        self._people = people
        self._rights = rights
        self._sign_ups = sign_ups
        self._decisions: OrderedDict[str, _Decision] = OrderedDict()

    def waiting(self, group: str | None) -> list[Waiter]:
        """Who waits in a class, or in no class at all; who came first is first."""
        query = _WAITING.order_by(User.created, User.id)
        if group is None:
            query = query.where(~_IN_A_CLASS)
        else:
            member = (
                select(Membership.user_id)
                .join(Group, Group.id == Membership.group_id)
                .where(Membership.user_id == User.id, Group.name == group)
            )
            query = query.where(member.exists())
        with self._db.reading() as connection:
            names = [Username(name) for name in connection.scalars(query)]
        people = {one.name: one for one in self._people_of(names)}
        taken_for = self._sign_ups.taken_for(names)
        return [Waiter(people[name], taken_for[name]) for name in names if name in people]

    def count(self, who: Principal) -> Waits:
        """How many wait for a decision of whoever asks."""
        classes = 0
        if who.scopes.has(CLASSROOM):
            filters = who.scopes.filters(CLASSROOM)
            classes = self._remembered(("waiting", filters), _in_classes(filters))
        others = self._remembered(("waiting", "others"), _OTHERS) if who.admin else 0
        return Waits(classes, others)

    async def approve(
        self, who: Principal, names: Sequence[str], *, group: str | None = None
    ) -> Decided:
        """Let people in, of one class if it is named; one that fails doesn't keep the others out.

        An admin may name people of any class.
        """
        joined: dict[str, list[Username]] = {}

        async def approve(person: Person) -> None:
            for one in self._approve(person):
                joined.setdefault(one, []).append(person.name)

        decided = await self._decide(who, names, group, approve)
        for one, newcomers in joined.items():
            await self._people.changed(one, joined=newcomers)
        return decided

    async def let_in(self, person: Person) -> None:
        """Let in somebody on whom the caller may decide; raises Conflict if it is decided."""
        self._check_waits(person)
        for one in self._approve(person):
            await self._people.changed(one, joined=[person.name])

    async def reject(
        self, who: Principal, names: Sequence[str], *, group: str | None = None
    ) -> Decided:
        """Take away accounts that wait; their names are free again."""

        async def reject(person: Person) -> None:
            self._remember(person.name, approved=False)
            try:
                await self._users.remove(person.name)
            except ApplianceError:
                del self._decisions[person.name]
                raise
            audit.note(Action.REJECT_USER, person.name)

        return await self._decide(who, names, group, reject)

    def _approve(self, person: Person) -> frozenset[str]:
        """Let somebody in; the groups that the person is in."""
        self._users.approve(person.name)
        self._remember(person.name, approved=True)
        return self._groups.of(person.name)

    async def _decide(
        self,
        who: Principal,
        names: Sequence[str],
        group: str | None,
        act: Callable[[Person], Coroutine[Any, Any, None]],
    ) -> Decided:
        done, failed = [], []
        for name in dict.fromkeys(names[:NAMES_AT_ONCE]):
            try:
                person = self._waiter(who, name, group)
                # It begins without a pause, so nobody decides in between.
                await act(person)
            except ApplianceError as error:
                failed.append(error)
            else:
                done.append(person.name)
        return Decided(tuple(done), tuple(failed))

    def _waiter(self, who: Principal, name: str, group: str | None) -> Person:
        """Somebody who waits, and whom the asker may decide on; raises NotFound, Conflict…"""
        person = self._users.find(name)
        groups = self._groups.of(person.name) if person else frozenset[str]()
        if person is None or (group is not None and group not in groups):
            before = self._decisions.get(name)
            if person is None and before is not None and not before.approved:
                raise Conflict(
                    say("{name} was rejected already by {by}", name=name[:60], by=before.by)
                )
            raise NotFound(
                say("cannot find the user {name!r}", name=name[:60]),
                why="nobody of that name waits",
            )
        self._rights.check_may_manage(who, person, groups)
        self._check_waits(person)
        return person

    def _check_waits(self, person: Person) -> None:
        """Raise Conflict for somebody on whom it was decided before."""
        before = self._decisions.get(person.name)
        if person.state is UserState.LOCKED:
            raise Conflict(
                say("cannot let in {name}", name=person.name), why="the account is locked"
            )
        if person.state is UserState.WAITING:
            return
        if before is None or not before.approved:
            raise Conflict(say("{name} was approved already", name=person.name))
        raise Conflict(say("{name} was approved already by {by}", name=person.name, by=before.by))

    def _remember(self, name: str, *, approved: bool) -> None:
        actor = audit.who_asks()
        self._decisions[name] = _Decision(approved, (actor and actor.name) or "root")
        self._decisions.move_to_end(name)
        while len(self._decisions) > _REMEMBERED:
            self._decisions.popitem(last=False)

    def _people_of(self, names: Sequence[str]) -> list[Person]:
        return self._users.list_page(only=names, limit=max(1, len(names))).items

    def _remembered(self, key: tuple[object, ...], query: Select[int]) -> int:
        def count() -> int:
            with self._db.reading() as connection:
                return connection.scalar(query) or 0

        return self._db.remembered(key, count)


_WAITING: Final = select(User.name).where(User.state == UserState.WAITING)
_COUNTED: Final = select(func.count()).select_from(User).where(User.state == UserState.WAITING)
_IN_A_CLASS: Final = (
    select(Membership.user_id)
    .join(SchoolClass, SchoolClass.group_id == Membership.group_id)
    .where(Membership.user_id == User.id)
    .correlate(User)
    .exists()
)
_OTHERS: Final = _COUNTED.where(~_IN_A_CLASS)


def _in_classes(filters: Filters) -> Select[int]:
    if filters is None:
        return _COUNTED.where(_IN_A_CLASS)
    names = [one.value for one in filters if one.kind == "group"]
    member = (
        select(Membership.user_id)
        .join(Group, Group.id == Membership.group_id)
        .where(Membership.user_id == User.id, Group.name.in_(names))
        .correlate(User)
    )
    return _COUNTED.where(member.exists())
