"""What commands print: data to stdout, talk to stderr, colours on terminals alone."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.sizes import short_size


@dataclass(frozen=True, slots=True)
class Output:
    """How one command was asked to print."""

    as_json: bool = False
    quiet: bool = False

    def data(self, value: object, text: str) -> None:
        """The result: as JSON when asked for, else as text unless there is none."""
        if self.as_json:
            print(_escaped(json.dumps(value, ensure_ascii=False, indent=2)))
        elif text:
            print(text)

    def done(self, value: object, text: str) -> None:
        """What was done, which --quiet keeps back."""
        if self.as_json or not self.quiet:
            self.data(value, text)

    def say(self, text: str) -> None:
        """Talk beside the data."""
        if text and not self.quiet:
            print(text, file=sys.stderr)

    def table(self, value: object, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A list: as JSON when asked for, else as a table."""
        if self.as_json:
            self.data(value, "")
            return
        if rows:
            _print_table(columns, rows)


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    # Piped into a program, a row is a line whatever its length.
    width = None if sys.stdout.isatty() else 1000
    Console(highlight=False, width=width).print(table)


def _escaped(text: str) -> str:
    """JSON whose characters can all be shown; it says the same."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def printable(text: str) -> str:
    """Text without what commands a terminal: users choose names, and servers what they log."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)


def has_colours() -> bool:
    """Whether text on stdout may have colours."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def dim(text: str) -> str:
    return f"\x1b[2m{text}\x1b[0m" if has_colours() else text


def size(number: float | None) -> str:
    """A size for a column of a table, where there may be none."""
    return "-" if number is None else short_size(number)


def age(text: str | None) -> str:
    """How long ago a time in ISO 8601 was, in words."""
    if not text:
        return "never"
    then = datetime.fromisoformat(text)
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    seconds = max(0, int((datetime.now(UTC) - then).total_seconds()))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit} ago"
    return f"{seconds}s ago"


def stamp(text: str) -> str:
    """A time in ISO 8601 as people read it."""
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def count(number: int, one: str, many: str = "") -> str:
    """`1 user`, `2 users`."""
    return f"{number} {one if number == 1 else many or one + 's'}"
