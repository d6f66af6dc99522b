"""Runs the table of faults; see the package's text."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.integration.faults import (
    by_hand,
    crowds,
    disk_trouble,
    elsewhere,
    kills,
    machine_trouble,
    power_cuts,
    releases,
    visitors,
)
from tests.integration.faults.table import Fault, Row, as_table, run_rows, write_rows
from tests.integration.faults.watching import open_room
from tests.integration.images import Debian

# Restoring comes first: a machine whose accounts were changed by hand refuses it.
NATIVE = (*releases.ROWS, *kills.ROWS, *by_hand.ROWS, *visitors.ROWS, *crowds.ROWS)
WHOLE = (*power_cuts.ROWS, *machine_trouble.ROWS, *disk_trouble.ROWS)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.integration.faults")
    parser.add_argument("names", nargs="*", help="rows whose names have one of these in them")
    parser.add_argument("--few", action="store_true", help="as often as every test run does")
    parser.add_argument("--tries", type=int, help="as often as this")
    parser.add_argument("--debian", type=Debian, default=Debian.BOOKWORM)
    parser.add_argument("--json", type=Path, help="write the rows there, too")
    options = parser.parse_args()

    def wanted(rows: Sequence[Fault]) -> list[Fault]:
        return [
            row for row in rows
            if not options.names or any(name in row.name for name in options.names)
        ]  # fmt: skip

    def tries(row: Fault) -> int:
        return options.tries or (row.few if options.few else row.tries)

    def told(row: Row) -> None:
        mark = "ok  " if row.is_good else "FAIL"
        sys.stderr.write(f"{mark} {row.survived}/{row.tries} lost {row.lost}  {row.name}\n")
        sys.stderr.writelines(f"       {note}\n" for note in row.notes)

    done: list[Row] = []
    if native := [row for row in wanted(NATIVE) if tries(row)]:
        with open_room(options.debian) as room:
            done += run_rows(native, room, tries=tries, told=told)
    if whole := [row for row in wanted(WHOLE) if tries(row)]:
        with power_cuts.open_ground(options.debian) as ground:
            done += run_rows(whole, ground, tries=tries, told=told)
    print(as_table(done))  # noqa: T201 - what it is for
    if not options.names:
        print(f"\n{elsewhere.as_list()}")  # noqa: T201
    if options.json:
        write_rows(options.json, done)
    return 0 if done and all(row.is_good for row in done) else 1


if __name__ == "__main__":
    sys.exit(main())
