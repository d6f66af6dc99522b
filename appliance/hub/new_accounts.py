"""Making accounts, many at once: one commit, and for each name that can't be used why.

Hashing passwords takes its time, so names are looked at before it and once more in the commit.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from appliance import audit
from appliance.audit import Action
from appliance.clock import Clock
from appliance.db.models import Group, Membership, Password, User, UserState
from appliance.db.session import Database
from appliance.errors import BadRequest
from appliance.hub.settled import taken
from appliance.names import Username, parse_full_name, parse_username
from appliance.native_auth.authenticator import NativeAuthenticator
from appliance.texts import say

log = logging.getLogger(__name__)

NAMES_AT_ONCE: Final = 5000


@dataclass(frozen=True, slots=True)
class Wish:
    """Somebody who is to get an account, and what is known of them."""

    name: str
    full_name: str = ""
    email: str = ""
    language: str = ""
    groups: tuple[str, ...] = ()
    """The groups to be in from the start; each must be there."""


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


class NewAccounts:
    """Makes accounts."""

    def __init__(self, *, db: Database, clock: Clock, authenticator: NativeAuthenticator) -> None:
        self._db = db
        self._clock = clock
        self._authenticator = authenticator

    async def make(
        self,
        wishes: Sequence[Wish],
        *,
        admin: bool,
        generate: bool,
        approved: bool,
        all_or_none: bool,
    ) -> Created:
        """Make an account for each name that is legal and free.

        With `all_or_none`, one name that isn't legal raises BadRequest; those taken are skipped.
        """
        if len(wishes) > NAMES_AT_ONCE:
            raise BadRequest(
                "cannot make so many users at once",
                why=say(
                    "the list has {count} names, and {most} is the most",
                    count=len(wishes), most=NAMES_AT_ONCE,
                ),
            )  # fmt: skip
        wanted, skipped = self._sift(wishes, all_or_none=all_or_none)
        hashes = {name: await self._authenticator.hash_generated() for name in wanted if generate}
        created = self._insert(
            wanted, skipped, hashes, admin=admin,
            state=UserState.ACTIVE if approved else UserState.WAITING,
        )  # fmt: skip
        log.info("%d users created, %d skipped", len(created), len(skipped))
        if created:
            groups = sorted({group for new in created for group in wanted[new.name].groups})
            names = [new.name for new in created]
            audit.note(Action.CREATE_USER, *names, admin=admin, groups=groups)
        return Created(created, skipped)

    def _insert(
        self,
        wanted: Mapping[Username, Wish],
        skipped: list[Skipped],
        hashes: Mapping[Username, tuple[str, str]],
        *,
        admin: bool,
        state: UserState,
    ) -> list[NewUser]:
        """All in one commit; those skipped are added to the list."""
        now = self._clock.now()
        with self._db.session() as session:
            # Again, because hashing took its time.
            known = taken(session, wanted)
            skipped += [Skipped(name, known[name]) for name in wanted if name in known]
            free = {name: wish for name, wish in wanted.items() if name not in known}
            if not free:
                return []
            groups = _group_ids(session, free.values())
            session.execute(
                insert(User),
                [
                    {"name": name, "state": state, "admin": admin, "created": now, "info": {},
                     "full_name": wish.full_name, "email": wish.email, "language": wish.language}
                    for name, wish in free.items()
                ],
            )  # fmt: skip
            rows = session.execute(select(User.name, User.id).where(User.name.in_(free))).all()
            ids = {Username(name): id_ for name, id_ in rows}
            if hashes:
                session.execute(
                    insert(Password),
                    [
                        {"user_id": id_, "hash": hashes[name][1], "changed": now,
                         "must_change": True}
                        for name, id_ in ids.items()
                    ],
                )  # fmt: skip
            members = [
                {"group_id": groups[group], "user_id": ids[name]}
                for name, wish in free.items()
                for group in dict.fromkeys(wish.groups)
            ]
            if members:
                session.execute(insert(Membership), members)
        return [NewUser(name, hashes[name][0] if hashes else None) for name in free]

    def _sift(
        self, wishes: Sequence[Wish], *, all_or_none: bool
    ) -> tuple[dict[Username, Wish], list[Skipped]]:
        wanted: dict[Username, Wish] = {}
        skipped: list[Skipped] = []
        for wish in wishes:
            try:
                name = parse_username(wish.name)
                wish = replace(wish, full_name=parse_full_name(wish.full_name))
            except BadRequest as err:
                if all_or_none:
                    raise
                skipped.append(Skipped(wish.name[:60], err.why))
                continue
            if name in wanted:
                why = say("the list has {name!r} twice", name=name)
                skipped.append(Skipped(wish.name[:60], why))
            else:
                wanted[name] = wish
        with self._db.session() as session:
            known = taken(session, wanted)
        skipped += [Skipped(name, known[name]) for name in wanted if name in known]
        return {name: wish for name, wish in wanted.items() if name not in known}, skipped


def _group_ids(session: Session, wishes: Iterable[Wish]) -> dict[str, int]:
    """The numbers of all groups that they name; BadRequest if one isn't there."""
    names = {group for wish in wishes for group in wish.groups}
    if not names:
        return {}
    rows = session.execute(select(Group.name, Group.id).where(Group.name.in_(names))).all()
    found = {row.name: row.id for row in rows}
    missing = sorted(names - found.keys())
    if missing:
        raise BadRequest(
            "cannot make the users",
            why=say("there is no group {name!r}", name=missing[0][:60]),
        )
    return found
