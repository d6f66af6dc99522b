"""What lies on the disk after root unpacked an archive, looked at again before anything uses it.

The list of an archive and what tar makes of it are two readings of the same bytes, and a store of
backups could hand out other bytes the second time. So what counts is what has come out. Users may
own what is in it, and be about: every step goes by a descriptor.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from appliance.backup.errors import Hostile
from appliance.backup.members import SET_ID
from appliance.backup.trees import OPEN, Entry, everything_in

_OTHERS_WRITE: Final = 0o022


def _is_plain(entry: Entry) -> bool:
    kind = entry.status.st_mode
    return stat.S_ISDIR(kind) or (stat.S_ISREG(kind) and entry.status.st_nlink == 1)


def _hostile(entry: Entry, what: str, why: str) -> Hostile:
    return Hostile(
        f"cannot unpack {what}",
        why=f"{entry.shown[:200]!r} {why}",
        mend="somebody else made or changed this backup; choose another one",
    )


def check_plain(folder: Path, what: str) -> None:
    """Raise Hostile unless all of it are folders and ordinary files, each of one name."""
    for entry in everything_in(folder):
        if not _is_plain(entry):
            raise _hostile(entry, what, "is no ordinary file")


def make_roots(folder: Path, what: str, *, groups: Collection[int] = ()) -> list[str]:
    """Give all of it to root, so that nobody else can change it; what was left out.

    Links that lead out of the folder are removed: root writes to what lies in it. `groups` may go
    on having their files. Raises Hostile for what is neither file, folder nor link.
    """
    left_out = []
    _make_roots(os.open(folder, OPEN | os.O_DIRECTORY), groups)
    for entry in everything_in(folder):
        if stat.S_ISLNK(entry.status.st_mode):
            target = (folder / entry.shown).resolve()
            if not target.is_relative_to(folder.resolve()):
                left_out.append(entry.shown)
                os.unlink(entry.name, dir_fd=entry.folder)
        elif _is_plain(entry):
            _make_roots(entry.open(), groups)
        else:
            raise _hostile(entry, what, "is no ordinary file")
    return left_out


def _make_roots(descriptor: int, groups: Collection[int]) -> None:
    try:
        status = os.fstat(descriptor)
        if os.geteuid() == 0:
            os.fchown(descriptor, 0, status.st_gid if status.st_gid in groups else 0)
        os.fchmod(descriptor, stat.S_IMODE(status.st_mode) & ~(SET_ID | _OTHERS_WRITE))
    finally:
        os.close(descriptor)


def take_powers(folder: Path, what: str) -> None:
    """Of files that keep their owners: no program runs as its owner. Raises Hostile for devices."""
    for entry in everything_in(folder):
        kind = entry.status.st_mode
        # The one that Linux lets everybody make is none: see `members.py`.
        if stat.S_ISBLK(kind) or (stat.S_ISCHR(kind) and entry.status.st_rdev):
            raise _hostile(entry, what, "is a device")
        if stat.S_ISREG(kind) and kind & SET_ID:
            with suppress(FileNotFoundError):
                _take_power(entry.open())


def _take_power(descriptor: int) -> None:
    try:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode) & ~SET_ID)
    finally:
        os.close(descriptor)
