"""What a row of the table of faults is, and how rows are run and printed."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from tests.integration.ssh import CommandError

Place = TypeVar("Place")


@dataclass
class Tally:
    """What became of the tries so far."""

    tries: int = 0
    survived: int = 0
    lost: int = 0
    notes: list[str] = field(default_factory=list)

    def count(self, problems: Sequence[str], *, lost: int = 0) -> None:
        """One try: what didn't hold, in sentences, and how much was lost."""
        self.tries += 1
        self.lost += lost
        self.survived += not problems and not lost
        self.notes += [f"try {self.tries}: {problem}" for problem in problems]


@dataclass(frozen=True)
class Fault(Generic[Place]):
    """One row: `run` lets the fault happen `tries` times and counts what came of each."""

    name: str
    promise: str
    """What must hold after it."""
    tries: int
    few: int
    """For every test run."""
    run: Callable[[Place, int, Tally], None]


@dataclass(frozen=True)
class Row:
    """A row with its numbers."""

    name: str
    promise: str
    tries: int
    survived: int
    lost: int
    seconds: float
    notes: list[str]

    @property
    def is_good(self) -> bool:
        return self.tries > 0 and self.survived == self.tries and self.lost == 0


def run_rows(
    faults: Iterable[Fault[Place]],
    place: Place,
    *,
    tries: Callable[[Fault[Place]], int],
    told: Callable[[Row], None],
) -> list[Row]:
    """One after the other; a row whose commands fail has that for a note, and the next go on."""
    rows = []
    for fault in faults:
        tally, began = Tally(), time.monotonic()
        try:
            fault.run(place, tries(fault), tally)
        except (CommandError, AssertionError, OSError) as error:
            at = [frame for frame in traceback.extract_tb(error.__traceback__)
                  if Path(frame.filename).parent == Path(__file__).parent]  # fmt: skip
            where = f"{Path(at[-1].filename).name}:{at[-1].lineno}"
            tally.count([f"{where}: {type(error).__name__}: {error}"])
        row = Row(fault.name, fault.promise, tally.tries, tally.survived, tally.lost,
                  time.monotonic() - began, tally.notes)  # fmt: skip
        told(row)
        rows.append(row)
    return rows


def as_table(rows: Sequence[Row]) -> str:
    """Markdown, with what went wrong below it."""
    lines = ["| fault | what must hold | tries | survived | lost | seconds |",
             "|---|---|---:|---:|---:|---:|"]  # fmt: skip
    lines += [
        f"| {row.name} | {row.promise} | {row.tries} | {row.survived} | {row.lost}"
        f" | {row.seconds:.0f} |"
        for row in rows
    ]
    lines += ["", *(f"{row.name}: {note}" for row in rows for note in row.notes)]
    return "\n".join(lines).rstrip()


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", "utf-8")
