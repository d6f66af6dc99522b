"""A list of people held against the accounts that there are: what would become of each row.

Whoever asks learns of accounts in their own classes alone. Of any other they learn, as everybody
does who signs up, that a name is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from sqlalchemy import select

from appliance.access.scopes import Filters
from appliance.db.models import Departure, Group, Membership, Rename, User, UserState
from appliance.db.session import Database
from appliance.errors import BadRequest
from appliance.hub.classroom.classes import Classes
from appliance.hub.classroom.made_names import fold, free_name
from appliance.hub.classroom.roster_rows import Entry
from appliance.names import Username, parse_group_name, parse_username
from appliance.texts import say

_TAKEN: Final = say("the name is taken")
_TAKEN_MEND: Final = say(
    "choose another user name; if it is this person's own account, they join with the class's "
    "code, or an admin adds them"
)


class RowState(StrEnum):
    """What would become of a row."""

    NEW = "new"
    """An account is made."""
    JOIN = "join"
    """There is an account, which comes into the class."""
    HERE = "here"
    """Nothing: the account is there, in the class."""
    WRONG = "wrong"
    LEFT_OUT = "left_out"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a list, and what would become of it."""

    line: int
    state: RowState
    name: str = ""
    """The user name of the account, made or found."""
    typed: str = ""
    """The user name as it stands in the list."""
    full_name: str = ""
    email: str = ""
    language: str = ""
    group: str = ""
    """The class; "" for none."""
    group_is_new: bool = False
    column: str = ""
    """What the list has in its column for classes."""
    why: str = ""
    mend: str = ""
    note: str = ""
    """What is worth a look, and keeps nobody from going on."""


@dataclass(frozen=True, slots=True)
class Aim:
    """Where the people of a list are to go."""

    group: str = ""
    """One class for all; "" takes the class of each row's own column."""
    only: frozenset[str] | None = None
    """What the column for classes must say of those to take; None takes all."""
    may_create: bool = False
    """Whether classes that the column names are made if there are none."""


@dataclass(frozen=True, slots=True)
class _Known:
    """An account that who asks may see."""

    name: Username
    full_name: str
    email: str
    state: str
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Accounts:
    """All that is known of accounts at one moment: the names, and the people one may see."""

    taken: frozenset[str]
    known: Mapping[str, _Known]
    classes: Mapping[str, str]
    """The class by what lists may call it: its name or its title."""


def read_accounts(db: Database, classes: Classes, visible: Filters) -> Accounts:
    """What is there now; `visible` are the filters of the scope by which somebody looks."""
    groups = None if visible is None else {one.value for one in visible if one.kind == "group"}
    memberships = (
        select(User.name, User.full_name, User.email, User.state, Group.name)
        .outerjoin(Membership, Membership.user_id == User.id)
        .outerjoin(Group, Group.id == Membership.group_id)
    )
    if groups is not None:
        memberships = memberships.where(Group.name.in_(groups))
    known: dict[str, _Known] = {}
    with db.reading() as connection:
        taken = frozenset(
            name
            for column in (User.name, Departure.name, Rename.old)
            for name in connection.execute(select(column)).scalars()
        )
        for name, full_name, email, state, group in connection.execute(memberships):
            before = known[name].groups if name in known else frozenset[str]()
            after = before | {group} if group else before
            known[name] = _Known(Username(name), full_name, email, state, after)
    called: dict[str, str] = {}
    for one in classes.list_all(only=groups):
        called.setdefault(one.title.casefold(), one.name)
    for one in classes.list_all(only=groups):
        called[one.name.casefold()] = one.name
    return Accounts(taken, known, called)


def check_rows(entries: Sequence[Entry], accounts: Accounts, aim: Aim) -> list[Row]:
    """What would become of each entry, in their order."""
    check = _Check(accounts, aim)
    check.reserve(entries)
    return [check.row(entry) for entry in entries]


class _Check:
    """Goes through a list once, remembering what the rows before have used."""

    def __init__(self, accounts: Accounts, aim: Aim) -> None:
        self._accounts = accounts
        self._aim = aim
        self._typed: dict[str, int] = {}
        self._used: dict[str, int] = {}
        """User names, and the line that has each."""
        self._addresses: dict[str, int] = {}
        self._people: dict[tuple[str, ...], int] = {}
        self._by_address = {
            one.email.casefold(): one for one in accounts.known.values() if one.email
        }
        self._by_name: dict[tuple[str, str], list[_Known]] = {}
        for one in accounts.known.values():
            for group in ("", *one.groups):
                self._by_name.setdefault((group, fold(one.full_name)), []).append(one)

    def reserve(self, entries: Iterable[Entry]) -> None:
        """Names that are typed go before names that are made, wherever they stand."""
        for entry in entries:
            if entry.username and self._is_wanted(entry):
                self._typed.setdefault(entry.wanted, entry.line)

    def _is_wanted(self, entry: Entry) -> bool:
        chosen = self._aim.only is None or entry.group in self._aim.only
        return entry.is_person and not entry.why and chosen

    def row(self, entry: Entry) -> Row:
        row = Row(
            entry.line, RowState.LEFT_OUT, typed=entry.username, full_name=entry.full_name,
            email=entry.email, language=entry.language, column=entry.group,
        )  # fmt: skip
        if not entry.is_person:
            return replace(row, why=entry.skipped)
        if self._aim.only is not None and entry.group not in self._aim.only:
            return replace(row, why=say("its class isn't chosen"))
        if entry.why:
            return replace(row, state=RowState.WRONG, why=entry.why, mend=entry.mend)
        try:
            group, is_new = self._group(entry)
            row = replace(row, group=group, group_is_new=is_new)
            self._check_twice(entry, group)
            return self._named(row, entry) if entry.username else self._unnamed(row, entry)
        except BadRequest as error:
            return replace(row, state=RowState.WRONG, why=error.why, mend=error.mend)

    def _group(self, entry: Entry) -> tuple[str, bool]:
        """The class that the row goes to, and whether there is none yet."""
        if self._aim.group or not entry.group:
            return self._aim.group, False
        found = self._accounts.classes.get(entry.group.casefold())
        if found is None and not self._aim.may_create:
            raise BadRequest(
                "cannot use the row",
                why=say("you have no class {name!r}", name=entry.group[:60]),
                mend="leave the class out, or ask an admin to make it",
            )
        return (found, False) if found else (parse_group_name(entry.group), True)

    def _check_twice(self, entry: Entry, group: str) -> None:
        """Raise BadRequest for who stands in the list already."""
        address = entry.email.casefold()
        who = (fold(entry.username), entry.full_name.casefold(), address, group)
        before = self._people.setdefault(who, entry.line)
        if before != entry.line:
            raise BadRequest(
                "cannot use the row",
                why=say("it says the same as line {line}", line=before),
                mend="leave it out, or give one of them a user name if these are two people",
            )
        before = self._addresses.setdefault(address, entry.line) if address else entry.line
        if before != entry.line:
            raise BadRequest(
                "cannot use the row",
                why=say("line {line} has the same mail address", line=before),
                mend="leave the address out of one of them",
            )

    def _named(self, row: Row, entry: Entry) -> Row:
        """A row whose user name is typed."""
        name = parse_username(entry.username)
        if self._typed[name] != entry.line or name in self._used:
            line = self._used.get(name, self._typed[name])
            raise BadRequest(
                "cannot use the row",
                why=say("line {line} has the user name {name!r} too", line=line, name=name),
                mend="leave it out, or choose another user name",
            )
        self._used[name] = entry.line
        known = self._accounts.known.get(name)
        if known:
            return self._found(row, known)
        if name in self._accounts.taken:
            raise BadRequest("cannot use the row", why=_TAKEN, mend=_TAKEN_MEND)
        return replace(row, state=RowState.NEW, name=name)

    def _unnamed(self, row: Row, entry: Entry) -> Row:
        """A row that gets the account of the same person, or a name of its own."""
        known = self._same_person(row, entry)
        if known:
            self._used[known.name] = entry.line
            return self._found(row, known)
        name = free_name(entry.wanted, self._is_taken)
        self._used[name] = entry.line
        note = "" if name == entry.wanted else say("{name!r} is taken", name=entry.wanted)
        return replace(row, state=RowState.NEW, name=name, note=note)

    def _is_taken(self, name: str) -> bool:
        return name in self._accounts.taken or name in self._used or name in self._typed

    def _same_person(self, row: Row, entry: Entry) -> _Known | None:
        """The account with the same mail address, or in the class one of the same name."""
        known = self._by_address.get(entry.email.casefold()) if entry.email else None
        if known and known.name not in self._used:
            return known
        called = self._by_name.get((row.group, fold(entry.full_name)), [])
        return next((one for one in called if self._fits(one, entry)), None)

    def _fits(self, known: _Known, entry: Entry) -> bool:
        is_used = known.name in self._used or known.name in self._typed
        differs = entry.email and known.email and entry.email.casefold() != known.email.casefold()
        alike = known.full_name.casefold() == entry.full_name.casefold() and entry.full_name
        return bool(alike) and not is_used and not differs

    def _found(self, row: Row, known: _Known) -> Row:
        is_here = not row.group or row.group in known.groups
        note: str = ""
        if known.state == UserState.WAITING:
            note = say("waits to be let in")
        elif known.state == UserState.LOCKED:
            note = say("is locked")
        return replace(
            row, state=RowState.HERE if is_here else RowState.JOIN, name=known.name,
            full_name=known.full_name or row.full_name, note=note,
        )  # fmt: skip


def counted(rows: Iterable[Row]) -> dict[RowState, int]:
    """How many rows there are of each state."""
    counts = dict.fromkeys(RowState, 0)
    for row in rows:
        counts[row.state] += 1
    return counts
