"""Lists of people as files, with the headings under which they are read again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from appliance.clock import stamp
from appliance.hub.classroom.roster_check import Row
from appliance.hub.users import Person
from appliance.spreadsheets import Dialect, write

_PEOPLE: Final = ("user name", "full name", "email", "class", "language", "state", "last seen")
_WRONG: Final = ("line", "full name", "user name", "email", "class", "remark", "to mend")


def people_file(people: Iterable[tuple[Person, Iterable[str]]], dialect: Dialect) -> bytes:
    """People with their classes; who is in several has a row for each."""
    rows: list[tuple[str, ...]] = [_PEOPLE]
    for person, groups in people:
        seen = stamp(person.last_activity) or ""
        rows += [
            (person.name, person.full_name, person.email, group, person.language,
             str(person.state), seen)
            for group in (sorted(groups) or [""])
        ]  # fmt: skip
    return write(rows, dialect)


def wrong_file(rows: Iterable[Row], dialect: Dialect) -> bytes:
    """Rows that can't be used, each with what is wrong with it."""
    found = [
        (str(row.line), row.full_name, row.typed, row.email, row.column, row.why, row.mend)
        for row in rows
    ]
    return write([_WRONG, *found], dialect)


def file_name(name: str) -> str:
    """A name that every system takes, for the browser's folder of downloads."""
    kept = "".join(char if char.isascii() and char.isalnum() else "-" for char in name)
    return f"{kept.strip('-')[:60] or 'class'}.csv"
