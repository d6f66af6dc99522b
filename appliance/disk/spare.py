"""A few entries for files, kept back for the moment in which the file system has no more of them.

Root has no share of its own of these, as it has of the blocks. Without any, systemd can't start a
program that has a /dev of its own, nor SQLite open its database: so the hub, the proxy and the
spawner daemon give these up before they start, when no folder can be made any more: each runs this
file as a script, as root.

Standard library only, and little of it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

STATE: Final = Path("/var/lib/appliance/disk")
FOLDER: Final = "spare"
COUNT: Final = 32
_PLENTY: Final = 64 * COUNT


def keep_entries(folder: Path) -> bool:
    """Make empty files below a folder where they are missing and there is plenty; never raises."""
    spare = folder / FOLDER
    try:
        facts = os.statvfs(folder)
        # Some file systems don't count: those never run out of entries before they run out of room.
        if facts.f_favail < _PLENTY:
            return False
        spare.mkdir(mode=0o700, exist_ok=True)
        for number in range(COUNT):
            (spare / str(number)).touch(mode=0o600)
    except OSError as error:
        sys.stderr.write(f"cannot keep entries for files: {error}\n")
        return False
    return True


def give_up_if_needed(folder: Path, *, also: Path = Path("/tmp")) -> None:  # noqa: S108 - systemd's
    """Remove those files if no folder can be made there, or where systemd makes its own."""
    try:
        for place in (also, folder):
            probe = place / f"appliance-{os.urandom(8).hex()}"
            probe.mkdir(mode=0o700)
            probe.rmdir()
    except OSError:
        for path in (folder / FOLDER).glob("*"):
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    try:
        give_up_if_needed(STATE)
    except OSError as error:
        sys.exit(f"cannot give up entries for files: {error}")
