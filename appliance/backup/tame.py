"""What lies on the disk after root unpacked an archive, looked at again before anything uses it.

The list of an archive and what tar makes of it are two readings of the same bytes, and a store of
backups could hand out other bytes the second time. So what counts is what has come out. Users may
own what is in it, and be about: every step goes by a descriptor.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.backup.errors import Hostile

_SET_ID: Final = 0o6000
_OTHERS_WRITE: Final = 0o022
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class _Entry:
    """Something in a folder, which is open."""

    folder: int
    name: str
    shown: str
    status: os.stat_result

    @property
    def is_plain(self) -> bool:
        kind = self.status.st_mode
        return stat.S_ISDIR(kind) or (stat.S_ISREG(kind) and self.status.st_nlink == 1)

    def open(self) -> int:
        return os.open(self.name, _OPEN, dir_fd=self.folder)

    def hostile(self, what: str, why: str) -> Hostile:
        return Hostile(
            f"cannot unpack {what}",
            why=f"{self.shown[:200]!r} {why}",
            mend="somebody else made or changed this backup; choose another one",
        )


def check_plain(folder: Path, what: str) -> None:
    """Raise Hostile unless all of it are folders and ordinary files, each of one name."""
    for entry in _all(folder):
        if not entry.is_plain:
            raise entry.hostile(what, "is no ordinary file")


def make_roots(folder: Path, what: str, *, groups: Collection[int] = ()) -> list[str]:
    """Give all of it to root, so that nobody else can change it; what was left out.

    Links that lead out of the folder are removed: root writes to what lies in it. `groups` may go
    on having their files. Raises Hostile for what is neither file, folder nor link.
    """
    left_out = []
    _make_roots(os.open(folder, _OPEN | os.O_DIRECTORY), groups)
    for entry in _all(folder):
        if stat.S_ISLNK(entry.status.st_mode):
            target = (folder / entry.shown).resolve()
            if not target.is_relative_to(folder.resolve()):
                left_out.append(entry.shown)
                os.unlink(entry.name, dir_fd=entry.folder)
        elif entry.is_plain:
            _make_roots(entry.open(), groups)
        else:
            raise entry.hostile(what, "is no ordinary file")
    return left_out


def _make_roots(descriptor: int, groups: Collection[int]) -> None:
    try:
        status = os.fstat(descriptor)
        if os.geteuid() == 0:
            os.fchown(descriptor, 0, status.st_gid if status.st_gid in groups else 0)
        os.fchmod(descriptor, stat.S_IMODE(status.st_mode) & ~(_SET_ID | _OTHERS_WRITE))
    finally:
        os.close(descriptor)


def take_powers(folder: Path, what: str) -> None:
    """Of files that keep their owners: no program runs as its owner. Raises Hostile for devices."""
    for entry in _all(folder):
        kind = entry.status.st_mode
        if stat.S_ISBLK(kind) or stat.S_ISCHR(kind):
            raise entry.hostile(what, "is a device")
        if stat.S_ISREG(kind) and kind & _SET_ID:
            with suppress(FileNotFoundError):
                _take_power(entry.open())


def _take_power(descriptor: int) -> None:
    try:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode) & ~_SET_ID)
    finally:
        os.close(descriptor)


def _all(folder: Path) -> Iterator[_Entry]:
    """Everything in it; no link is followed."""
    for parent, folders, files, descriptor in os.fwalk(folder):
        shown = Path(parent).relative_to(folder)
        for name in (*folders, *files):
            with suppress(FileNotFoundError):
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                yield _Entry(descriptor, name, str(shown / name), status)
