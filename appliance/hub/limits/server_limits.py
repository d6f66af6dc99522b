"""What a user's servers may use: what was set on pages, and telling the spawner of it.

The spawner's daemon knows the configuration itself. It is told names of groups and what was set on
pages, and holds to what `page_limits` of its own configuration allows.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from appliance import audit
from appliance.audit import Action
from appliance.clock import Clock
from appliance.config.schema import Config
from appliance.db.limit_models import GroupLimits, UserLimits
from appliance.db.models import Group, Server, User
from appliance.db.session import Database
from appliance.errors import ApplianceError, BadRequest, Conflict, NotFound
from appliance.hub.groups import Groups
from appliance.hub.states import ServerState
from appliance.interfaces import Spawner
from appliance.limits import (
    MEMORY_MIN,
    ON_PAGES,
    TASKS_MIN,
    Effective,
    LimitBook,
    MachineSize,
    Number,
    Numbers,
    Told,
    limit_text,
    size_text,
)
from appliance.names import ServerId, Username
from appliance.texts import say

log = logging.getLogger(__name__)

_SECTIONS: Final = ("limits", "group_limits", "user_limits", "page_limits")
_AT_ONCE: Final = 500
_SYNC_SECONDS: Final = 15.0
_RUNNING: Final = (ServerState.STARTING, ServerState.READY)

Wish = Mapping[str, Number | None]
"""Limits by name as somebody wants them; None takes one away, what isn't in it stays."""


class Kind(StrEnum):
    """Who can be given limits."""

    USER = "user"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class Subject:
    """A user or a group that is given limits."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Above:
    """A server that uses more memory than it may from now on."""

    server: ServerId
    uses: int
    may: int


class ServerLimits:
    """All limits, as the hub sees them."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        groups: Groups,
        spawner: Spawner,
        config: Config,
        rendered: Path,
    ) -> None:
        """`rendered` is hub.json: limits change without a new start of the hub."""
        self._db = db
        self._clock = clock
        self._groups = groups
        self._spawner = spawner
        self._rendered = rendered
        self._machine = MachineSize.read()
        self._book = LimitBook(_sections(config), self._machine)
        self._read = _version(rendered)
        self._sent: dict[str, Told] = {}

    # What is

    @property
    def are_held(self) -> bool:
        """Whether anything holds servers to them."""
        return self._spawner.holds_limits

    @property
    def book(self) -> LimitBook:
        """The configuration's limits, as they are now."""
        version = _version(self._rendered)
        if version != self._read:
            self._read = version
            try:
                self._book = LimitBook(json.loads(self._rendered.read_bytes()), self._machine)
            except (OSError, ValueError, KeyError, TypeError) as err:
                log.warning("cannot read the limits in %s: %s", self._rendered, err)
        return self._book

    def of(self, user: str) -> Effective:
        """What a user's servers may use, by the rules."""
        return self.book.of(user, self._told_of([user])[user])

    def of_subject(self, subject: Subject) -> Effective:
        """What a user may use, or who is in a group and in no other."""
        if subject.kind is Kind.USER:
            return self.of(subject.name)
        return self.book.of("", Told({subject.name: self.given_to(subject)}))

    def told(self, user: Username) -> Told:
        """What the spawner is told with the start of a server."""
        told = self._sent[user] = self._told_of([user])[user]
        return told

    def given_to(self, subject: Subject) -> dict[str, Number]:
        """What a user or a group was given on a page."""
        with self._db.reading() as connection:
            found = connection.scalar(_GIVEN[subject.kind], {"name": subject.name})
        return dict(found or {})

    def _told_of(self, users: Iterable[str]) -> dict[str, Told]:
        """In three queries, however many they are."""
        names = list(users)
        groups_of = self._groups.of_users(names)
        if not self._db.remembered("limits", self._are_any):
            return {
                name: Told({group: {} for group in sorted(groups_of.get(name, ()))})
                for name in names
            }
        with self._db.reading() as connection:
            own = {row.name: row.limits for row in connection.execute(_OF_USERS, {"names": names})}
            given = {row.name: row.limits for row in connection.execute(_OF_GROUPS)}
        return {
            name: Told(
                {group: given.get(group, {}) for group in sorted(groups_of.get(name, ()))},
                own.get(name, {}),
            )
            for name in names
        }

    def _are_any(self) -> bool:
        with self._db.reading() as connection:
            return any(
                connection.scalar(select(one).limit(1)) is not None
                for one in (UserLimits.user_id, GroupLimits.group_id)
            )

    # Changing

    async def give(self, subject: Subject, wish: Wish, *, by: str, force: bool = False) -> None:
        """Give a user or a group limits, running servers at once.

        Raises BadRequest for what can't be a limit or is more than pages may give, and Conflict
        where servers use more memory already: `force` lets Linux stop what is too much.
        """
        given = self._changed(subject, wish)
        if not force:
            await self._check_above(subject, given)
        now = self._clock.now()
        with self._db.session() as session:
            row = _row(session, subject)
            row.limits, row.changed, row.changed_by = given, now, by
            session.add(row)
        audit.note(Action.SET_LIMITS, subject.name, kind=str(subject.kind), limits=dict(wish))
        await self.sync()

    def _changed(self, subject: Subject, wish: Wish) -> dict[str, Number]:
        given = self.given_to(subject)
        caps = self.book.caps
        for name, value in wish.items():
            if name not in ON_PAGES:
                raise BadRequest("cannot set the limit", why="it can't be set here")
            if value is None:
                given.pop(name, None)
                continue
            least = _LEAST[name]
            if not least <= value <= caps[name]:
                raise BadRequest(
                    _WHAT[name],
                    why=say(
                        "it can be from {least} to {most}",
                        least=limit_text(name, least),
                        most=limit_text(name, caps[name]),
                    ),
                    mend="choose one in between; an admin can raise the most with the setting "
                    "page_limits",
                )
            given[name] = value
        return given

    async def _check_above(self, subject: Subject, given: Numbers) -> None:
        above = await self.above(subject, given)
        if above:
            names = ", ".join(str(one.server) for one in above[:5])
            raise Conflict(
                say("cannot lower the limit of memory to {size}", size=size_text(above[0].may)),
                why=say("the servers of {names} use more at this moment", names=names),
                mend="wait, stop them first, or say that Linux may stop what is too much in them",
            )

    async def above(self, subject: Subject, given: Numbers) -> list[Above]:
        """The running servers that would use more memory than they may."""
        running = await self._spawner.running()
        users = {server.user for server in running}
        found = []
        for user, told in self._told_of(users).items():
            if subject.kind is Kind.USER and user == subject.name:
                told = Told(told.groups, given)
            elif subject.kind is Kind.GROUP and subject.name in told.groups:
                told = Told({**told.groups, subject.name: given}, told.limits)
            else:
                continue
            may = self.book.of(user, told).memory
            found += [
                Above(one.server, one.memory_bytes or 0, may)
                for one in running.values()
                if one.server.user == user and (one.memory_bytes or 0) > may
            ]
        return found

    # Telling the spawner

    async def run(self) -> None:
        """Tell the spawner who is in other groups now, for ever."""
        while True:
            await self.sync()
            await asyncio.sleep(_SYNC_SECONDS)

    async def sync(self) -> None:
        """Tell the spawner what is new of those whose servers run."""
        with self._db.reading() as connection:
            users = connection.scalars(_WHO_RUNS).all()
        told = self._told_of(users)
        news = {user: one for user, one in told.items() if self._sent.get(user) != one}
        names = sorted(news)
        for start in range(0, len(names), _AT_ONCE):
            part = {Username(name): news[name] for name in names[start : start + _AT_ONCE]}
            try:
                await self._spawner.set_limits(part)
            except ApplianceError as err:
                log.warning("cannot change the limits of running servers: %s", err)
                return
        self._sent = told


def _row(session: Session, subject: Subject) -> UserLimits | GroupLimits:
    """What is kept for a user or a group, new if there is nothing yet; raises NotFound."""
    kind = User if subject.kind is Kind.USER else Group
    found = session.scalar(select(kind.id).where(kind.name == subject.name))
    if found is None:
        raise NotFound(say("cannot find {name!r}", name=subject.name[:60]))
    if subject.kind is Kind.USER:
        return session.get(UserLimits, found) or UserLimits(user_id=found)
    return session.get(GroupLimits, found) or GroupLimits(group_id=found)


def _sections(config: Config) -> dict[str, Any]:
    content = config.model_dump(mode="json", include=set(_SECTIONS))
    return {name: content[name] for name in _SECTIONS}


def _version(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


_LEAST: Final[dict[str, Number]] = {"memory": MEMORY_MIN, "cpu": 0.1, "tasks": TASKS_MIN}
_WHAT: Final = {
    "memory": say("cannot set this limit of memory"),
    "cpu": say("cannot set this limit of the processor"),
    "tasks": say("cannot set this limit of processes and threads"),
}
_GIVEN: Final = {
    Kind.USER: select(UserLimits.limits)
    .join(User, User.id == UserLimits.user_id)
    .where(User.name == bindparam("name")),
    Kind.GROUP: select(GroupLimits.limits)
    .join(Group, Group.id == GroupLimits.group_id)
    .where(Group.name == bindparam("name")),
}
_OF_USERS: Final = (
    select(User.name, UserLimits.limits)
    .join(UserLimits, UserLimits.user_id == User.id)
    .where(User.name.in_(bindparam("names", expanding=True)))
)
_OF_GROUPS: Final = select(Group.name, GroupLimits.limits).join(
    GroupLimits, GroupLimits.group_id == Group.id
)
_WHO_RUNS: Final = (
    select(User.name)
    .join(Server, Server.user_id == User.id)
    .where(Server.state.in_(_RUNNING))
    .distinct()
)
