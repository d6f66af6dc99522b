"""The program that copies a database to its standard output, with the hub's account.

It stands on the standard library."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Final

SCRATCH: Final = "backup.sqlite"
_BUSY_SECONDS: Final = 30


def copy_to(database: Path, output: BinaryIO) -> None:
    """Write a copy to a stream; the file beside the database has no name any more by then."""
    scratch = database.with_name(SCRATCH)
    scratch.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(database, timeout=_BUSY_SECONDS)) as connection:
            connection.execute("VACUUM INTO ?", (str(scratch),))
        with scratch.open("rb") as file:
            scratch.unlink()
            shutil.copyfileobj(file, output, 2**18)
    finally:
        scratch.unlink(missing_ok=True)


def main() -> int:
    """Exit with 1 and a line on stderr if there is no whole copy."""
    try:
        copy_to(Path(sys.argv[1]), sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except (OSError, sqlite3.Error) as err:
        sys.stderr.write(f"{err}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
