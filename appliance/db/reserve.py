"""Room on the disk that is kept back for the database.

Homes are on the same disk, so one student's runaway program can fill it. Then the hub could log in
nobody and stop no server, and after a restart it couldn't even open the database: SQLite makes two
files beside it. A file of no use holds room until then, and gives it up for the hub to go on.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

# SQLite needs a few MiB of it. The rest is for journald, which takes 8 MiB for each account's first
# words and finds them in what we give up.
SIZE: Final = 64 * 2**20
_PLENTY: Final = 8
"""It is taken when this many times as much is free."""
_LITTLE: Final = 2 * 2**20
"""With less than this a transaction may not find room."""


class Reserve:
    """One file of a fixed size, or none while the disk is full."""

    def __init__(self, path: Path, *, size: int = SIZE) -> None:
        self._path = path
        self._size = size

    def take(self) -> None:
        """Keep the room if that isn't done and there is plenty; never raises."""
        if self._path.exists() or self._free() < self._size * _PLENTY:
            return
        building = self._path.with_name(f"{self._path.name}.new")
        try:
            descriptor = os.open(building, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._size)
            finally:
                os.close(descriptor)
            building.rename(self._path)
        except OSError as err:
            log.warning("cannot keep room on the disk for the database: %s", err)
            building.unlink(missing_ok=True)

    def before_writing(self) -> None:
        """Free the room while a transaction that is to come can still have it.

        Where the file system lets the hub have what it keeps for root, there is some even then.
        """
        if self._free() < _LITTLE and self._path.exists() and not self._can_write():
            self.give_up()

    def give_up(self) -> bool:
        """Free the room if the disk is full; whether there is more of it now."""
        if self._free() >= self._size:
            return False
        try:
            self._path.unlink()
        except OSError:
            return False
        log.error(
            "the disk is full; %d MiB kept back for the database will do for a while: make room",
            self._size // 2**20,
        )
        return True

    def _can_write(self) -> bool:
        probe = self._path.with_name(f"{self._path.name}.probe")
        try:
            descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, _LITTLE)
            finally:
                os.close(descriptor)
                probe.unlink()
        except OSError:
            return False
        return True

    def _free(self) -> int:
        with suppress(OSError):
            found = os.statvfs(self._path.parent)
            return found.f_bavail * found.f_frsize
        return 0
