"""CSV that spreadsheets open without taking a name for a formula, and the way back.

A cell that begins with `=` is a formula to them, and one that says `=HYPERLINK(…)` sends the list
elsewhere. Such a cell gets an apostrophe in front, their own mark for text. So does what comes
after a comma, semicolon or tab inside a cell, for a spreadsheet of another country may cut there.
`original` takes off what `safe` put on, and nothing else: a name such as 't Hooft keeps its own.

Standard library only: hub and command line write such files alike.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

# Full-width signs count as well: spreadsheets in Japanese take them for the plain ones.
_FORMULA: Final = r"[^\S\t\r\n]*[=+\-@|%\uff1d\uff0b\uff0d\uff20\uff5c\uff05]|[\t\r\n]"
_CUT: Final = r"(?:^|(?<=[,;\t\r\n|]))"
_UNSAFE: Final = re.compile(rf"{_CUT}('*)(?={_FORMULA})")
_MARKED: Final = re.compile(rf"{_CUT}'('*)(?={_FORMULA})")


class Dialect(StrEnum):
    """How a file is written, for the program that will open it."""

    PLAIN = "plain"
    """Commas, UTF-8: what programs expect."""
    EXCEL = "excel"
    """The same with a byte order mark, from which Excel knows UTF-8."""
    EXCEL_SEMICOLON = "excel-semicolon"
    """Semicolons: Excel where numbers are written 1,5."""


def safe(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return _UNSAFE.sub(r"'\1", cell)


def original(cell: str) -> str:
    """What a cell was before `safe`."""
    return _MARKED.sub(r"\1", cell)


def write(rows: Iterable[Sequence[str]], dialect: Dialect = Dialect.PLAIN) -> bytes:
    """A file of these rows."""
    text = io.StringIO()
    separator = ";" if dialect is Dialect.EXCEL_SEMICOLON else ","
    writer = csv.writer(text, delimiter=separator, quoting=csv.QUOTE_MINIMAL)
    writer.writerows([safe(cell) for cell in row] for row in rows)
    encoding = "utf-8" if dialect is Dialect.PLAIN else "utf-8-sig"
    return text.getvalue().encode(encoding)
