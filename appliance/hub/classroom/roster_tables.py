"""Reads what spreadsheets write: a file's bytes, or text pasted from one, to rows of cells.

Nothing is guessed away: each line with anything in it becomes a record with its number, or the
whole is refused. A quotation mark that nobody closes is a character like others, so that it can't
swallow the rest of the list, as it does with the standard library's reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from appliance.errors import BadRequest
from appliance.spreadsheets import original
from appliance.texts import say

MOST_ROWS: Final = 5000
MOST_COLUMNS: Final = 50
_MOST_LINES: Final = 50_000
_QUOTED: Final = 2000
"""Characters in which a quotation mark must be closed again."""
_SEPARATORS: Final = "\t;,|"
_SAMPLE: Final = 100
_NOT_TEXT: Final = (
    (b"PK\x03\x04", say("it is a workbook, not a CSV file")),
    (b"\xd0\xcf\x11\xe0", say("it is a workbook, not a CSV file")),
    (b"%PDF", say("it is a PDF, not a CSV file")),
)
_SAVE_AS: Final = say(
    "save it as CSV in your spreadsheet, or copy the cells there and paste them into the box"
)
# What spreadsheets put between cells or around them and nobody sees.
_BLANKS: Final = re.compile(r"[\s\u00a0\u200b\u200e\u200f\u2060\ufeff]+")


@dataclass(frozen=True, slots=True)
class Record:
    """A row as it was written; `line` is where it begins, counted from 1."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """All rows that have anything in them, and what stood between their cells."""

    records: tuple[Record, ...]
    separator: str
    """"" where each line is one cell."""

    @property
    def width(self) -> int:
        return max((len(record.cells) for record in self.records), default=0)


def read_table(data: bytes | str) -> Table:
    """The rows of a file or of pasted text; raises BadRequest for what is no list of people."""
    text = data if isinstance(data, str) else decode(data)
    text = text.removeprefix("\ufeff")
    if "\0" in text:
        raise _refused(say("it isn't text"), _SAVE_AS)
    named = re.match(r'"?sep=(.)"?[ \t]*(?:\r\n|\r|\n|$)', text, re.IGNORECASE)
    skipped = text[: named.end()] if named else ""
    body = text[named.end() :] if named else text
    separator = named[1] if named else _find_separator(body)
    first = 1 + len(re.findall(r"\r\n|\r|\n", skipped))
    records: list[Record] = []
    for number, (line, cells) in enumerate(_records(body, separator, first)):
        kept = _trimmed(cells)
        if kept:
            records.append(Record(line, kept))
        if len(records) > MOST_ROWS + 1 or number > _MOST_LINES:
            raise _refused(
                say("it has more than {most} rows", most=MOST_ROWS), say("cut the list in parts")
            )
    if not any(char.isalnum() for record in records for cell in record.cells for char in cell):
        raise _refused(say("there is nothing in it"), say("choose a file, or paste the names"))
    return Table(tuple(records), separator)


def decode(data: bytes) -> str:
    """Text of a file whose encoding nobody tells; raises BadRequest for what isn't text."""
    for beginning, why in _NOT_TEXT:
        if data.startswith(beginning):
            raise _refused(why, _SAVE_AS)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    if data.startswith(b"\xef\xbb\xbf"):
        return data.decode("utf-8-sig", errors="replace")
    # Without a mark, every other byte of a list in UTF-16 is nearly always zero.
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        half = data[start::2]
        if half and half.count(0) * 10 > len(half) * 6:
            return data.decode(encoding, errors="replace")
    for encoding in ("utf-8", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def tidy(cell: str) -> str:
    """A cell without blanks at its ends, two together, or line breaks."""
    return _BLANKS.sub(" ", cell).strip()


def _trimmed(cells: list[str]) -> tuple[str, ...]:
    """The cells without the empty ones at the end, which sheets add by the hundred."""
    while cells and not tidy(cells[-1]):
        cells.pop()
    return tuple(original(cell) for cell in cells)


def _find_separator(text: str) -> str:
    """The separator that cuts the first lines into equally many cells, more than one."""
    best, best_score = "", 0.0
    for separator in _SEPARATORS:
        sample = islice(_records(text, separator, 1), _SAMPLE)
        counts = [len(cells) for _, cells in sample if any(map(tidy, cells))]
        cut = [count for count in counts if count > 1]
        if not cut:
            continue
        usual = max(set(cut), key=cut.count)
        # Titles above a table and totals below it may have fewer cells.
        score = cut.count(usual) / len(counts)
        if score > max(best_score, 0.5):
            best, best_score = separator, score
    return best


def _records(text: str, separator: str, line: int) -> Iterator[tuple[int, list[str]]]:
    """Each record with the number of its first line.

    Of cells past the most, one is kept where the row would be lost without it.
    """
    stop = re.escape(separator) + "\r\n" if separator else "\r\n"
    plain = re.compile(rf"[^{stop}]*")
    quoted = re.compile(rf'[ ]*"((?:[^"]|""){{0,{_QUOTED}}}+)"[ ]*(?=[{stop}]|\Z)')
    at, end = 0, len(text)
    while at < end:
        cells: list[str] = []
        began = line
        while True:
            found = quoted.match(text, at)
            if found:
                cell = found[1].replace('""', '"')
                line += len(re.findall(r"\r\n|\r|\n", found[1]))
            else:
                found = plain.match(text, at)
                cell = found[0] if found else ""
            at = found.end() if found else end
            if len(cells) < MOST_COLUMNS:
                cells.append(cell)
            elif not tidy(cells[-1]):
                cells[-1] = cell
            if not separator or at >= end or text[at] != separator:
                break
            at += 1
        if at < end:
            at += 2 if text.startswith("\r\n", at) else 1
        line += 1
        yield began, cells


def _refused(why: str, mend: str) -> BadRequest:
    return BadRequest("cannot read the list", why=why, mend=mend)
