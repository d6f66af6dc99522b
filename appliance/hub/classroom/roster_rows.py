"""A list of people, row by row: who each is, and what keeps a row from being used.

Nothing here knows what accounts there are (roster_check.py does). Every row of the table comes out
as one entry, those that are no people too, so that nobody gets lost without a word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from appliance.errors import ApplianceError, BadRequest
from appliance.hub.classroom.made_names import joined, make_name, name_of_address, split_name
from appliance.hub.classroom.roster_columns import ADDRESS, Layout, Meaning
from appliance.hub.classroom.roster_tables import MOST_ROWS, Record, Table, tidy
from appliance.names import FULL_NAME_MAX, USERNAME_PATTERN, parse_full_name, parse_username
from appliance.texts import say

ADDRESS_MAX: Final = 254
_TOTAL: Final = re.compile(
    r"(total|totals|sum|count|summe|anzahl|gesamt|insgesamt|somme|effectif|nombre total|suma|"
    r"recuento|cantidad)\b[\s:=]*[\d.,]*",
    re.IGNORECASE,
)
_BULLET: Final = re.compile(r"(?:\d{1,4}[.)]|[-*•\u2013])\s+")
_MAILBOX: Final = re.compile(rf"(.*?)\s*<({ADDRESS})>")
_LANGUAGES: Final = {
    "en": "en english englisch anglais ingles inglés",
    "de": "de deutsch german allemand aleman alemán",
    "fr": "fr francais français french franzoesisch französisch frances francés",
    "es": "es espanol español spanish spanisch espagnol castellano",
}
_LANGUAGE_OF: Final = {word: code for code, words in _LANGUAGES.items() for word in words.split()}


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of a list, tidied up."""

    line: int
    full_name: str = ""
    username: str = ""
    """As it was typed; "" where it is to be made."""
    email: str = ""
    group: str = ""
    language: str = ""
    wanted: str = ""
    """The user name made from the rest, before anybody looked whether it is free."""
    skipped: str = ""
    """Why the row is nobody's, such as a total below the list."""
    why: str = ""
    mend: str = ""
    """What is wrong with it; "" if nothing is."""

    @property
    def is_person(self) -> bool:
        return not self.skipped


@dataclass(frozen=True, slots=True)
class Edit:
    """What somebody typed in the place of what a row says."""

    full_name: str
    username: str
    email: str


def read_entries(
    table: Table, layout: Layout, edits: Mapping[int, Edit] | None = None
) -> list[Entry]:
    """One entry for each record of a table; the edits are by line."""
    records = _people_of(table, layout)
    found = []
    heading = table.records[layout.heading].cells if layout.heading >= 0 else None
    for index, record in enumerate(records):
        if index < layout.heading:
            found.append(
                Entry(record.line, _shown(record), skipped=say("it stands above the headings"))
            )
        elif heading is not None and record.cells == heading:
            found.append(Entry(record.line, _shown(record), skipped=say("it has the headings")))
        elif edits and record.line in edits:
            edit = edits[record.line]
            found.append(_checked(_edited(_entry(record, layout), edit), record))
        elif not any(map(str.isalpha, "".join(record.cells))):
            found.append(
                Entry(record.line, _shown(record), skipped=say("there are no letters in it"))
            )
        elif _TOTAL.fullmatch(tidy(next(filter(tidy, record.cells)))) and not _has_name(record):
            found.append(Entry(record.line, _shown(record), skipped=say("it is a total")))
        else:
            found.append(_checked(_entry(record, layout), record))
    if sum(one.is_person for one in found) > MOST_ROWS:
        raise BadRequest(
            "cannot read the list",
            why=say("it has more than {most} rows", most=MOST_ROWS),
            mend="cut the list in parts",
        )
    return found


def check_person_name(text: str) -> str:
    """A person's name, or BadRequest saying what is wrong with it; "" is allowed."""
    if "\ufffd" in text:
        raise BadRequest(
            "cannot use the name",
            why="some of its letters got lost when the file was written",
            mend="type it anew, or save the file as CSV UTF-8",
        )
    name = parse_full_name(tidy(text))
    if name and not any(char.isalpha() for char in name):
        raise BadRequest(
            "cannot use the name", why="there are no letters in it", mend="type the person's name"
        )
    return name


def parse_address(text: str) -> str:
    """A mail address, or BadRequest saying what is wrong with it; "" is allowed."""
    address = unicodedata.normalize("NFC", tidy(text)).removeprefix("mailto:")
    if address and (
        len(address) > ADDRESS_MAX
        or not re.fullmatch(ADDRESS, address)
        or not address.isprintable()
    ):
        raise BadRequest(
            "cannot use the mail address",
            why=say("{address!r} is no mail address", address=address[:60]),
            mend="write it as anna@school.example, or leave it out",
        )
    return address


def _people_of(table: Table, layout: Layout) -> tuple[Record, ...]:
    """The records; of a single line with many names each name is one."""
    [*records] = table.records
    if layout.heading < 0 and len(records) == 1 and len(records[0].cells) > 2:
        cells = [cell for cell in records[0].cells if tidy(cell)]
        if all(_MAILBOX.fullmatch(tidy(cell)) or "@" in cell for cell in cells):
            return tuple(Record(number, (cell,)) for number, cell in enumerate(cells, 1))
    return table.records


def _shown(record: Record) -> str:
    return tidy(" ".join(cell for cell in record.cells if tidy(cell)))[:FULL_NAME_MAX]


def _has_name(record: Record) -> bool:
    """Whether a row has more words than one: a total has numbers besides."""
    return sum(any(map(str.isalpha, cell)) for cell in record.cells) > 1


def _edited(entry: Entry, edit: Edit) -> Entry:
    return replace(
        entry, full_name=tidy(edit.full_name), username=tidy(edit.username),
        email=tidy(edit.email), wanted="",
    )  # fmt: skip


def _entry(record: Record, layout: Layout) -> Entry:
    """What the columns say; not looked at yet."""
    cells = dict.fromkeys(Meaning, "")
    if len(record.cells) == 1 and len(layout.meanings) <= 1:
        cells[Meaning.NAME] = record.cells[0]
    else:
        for meaning, cell in zip(layout.meanings, record.cells, strict=False):
            cells[meaning] = cell
    raw = {meaning: tidy(cell) for meaning, cell in cells.items()}
    name, email, username = raw[Meaning.NAME], raw[Meaning.EMAIL], raw[Meaning.USERNAME]
    first, last = raw[Meaning.FIRST], raw[Meaning.LAST]
    if not name and (first or last):
        return Entry(
            record.line, joined(first, last), username, email, raw[Meaning.CLASS],
            raw[Meaning.LANGUAGE], wanted=make_name(first, last),
        )  # fmt: skip
    name = _BULLET.sub("", name, count=1) if _BULLET.match(name) else name
    mailbox = _MAILBOX.fullmatch(name)
    if mailbox:
        name, email = mailbox[1].strip("\"' "), email or mailbox[2]
    if not email and re.fullmatch(ADDRESS, name):
        name, email = "", name
    if not username and re.fullmatch(USERNAME_PATTERN, name):
        # Small letters and no blank: what people type to log in.
        name, username = "", name
    return Entry(
        record.line, name, username, email, raw[Meaning.CLASS], raw[Meaning.LANGUAGE]
    )  # fmt: skip


def _checked(entry: Entry, record: Record) -> Entry:
    """The entry with canonical names, or with what is wrong with it."""
    try:
        if max(cell.strip().count("\n") for cell in record.cells) > 1:
            raise BadRequest(
                "cannot read the row",
                why="a cell of it has several lines",
                mend="look for a quotation mark that is missing or one too many",
            )
        given, family = split_name(entry.full_name)
        full_name = check_person_name(joined(given, family))
        email = parse_address(entry.email)
        username = parse_username(entry.username) if entry.username else ""
        wanted = entry.wanted or make_name(given, family) or name_of_address(email)
        if not (username or wanted):
            raise _nameless(full_name, record)
    except ApplianceError as error:
        mend = error.mend or say("change it, or leave the row out")
        return replace(entry, why=error.why, mend=mend)
    language = _LANGUAGE_OF.get(entry.language.lower().partition("-")[0].partition("_")[0], "")
    return replace(
        entry, full_name=full_name, username=entry.username, email=email, language=language,
        group=unicodedata.normalize("NFC", entry.group), wanted=username or wanted,
    )  # fmt: skip


def _nameless(full_name: str, record: Record) -> BadRequest:
    if full_name:
        return BadRequest(
            "cannot make a user name",
            why="no user name can be made of these letters",
            mend="type a user name",
        )
    shown = _shown(record)
    return BadRequest(
        "cannot read the row",
        why=say("there is no name in {row!r}", row=shown[:60]) if shown else "there is no name",
        mend="type a name, or leave the row out",
    )
