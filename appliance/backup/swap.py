"""Putting what was unpacked in the place of what is there, and back: each by one rename.

The journal names every pair with its inode, so that after a power cut it is plain which have been
exchanged. Whoever comes next puts all of them back: what was there before is whole.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from appliance.backup.errors import BackupError
from appliance.backup.trees import remove
from appliance.config.files import sync_folder, write_atomically
from appliance.places import Places

_AT_CWD: Final = -100
_EXCHANGE: Final = 2
JOURNAL: Final = "journal.json"
SWAPPING: Final = "swapping"
"""Is there while the exchange is under way; appliance-restore.service looks for it at boot."""


@dataclass(frozen=True, slots=True)
class Item:
    """What is there, or isn't, and what comes in its place. Beside each other on one disk."""

    live: str
    staged: str
    inode: int
    """Of what comes in."""

    @classmethod
    def of(cls, live: Path, staged: Path) -> Item:
        return cls(str(live), str(staged), staged.lstat().st_ino)

    @property
    def is_swapped(self) -> bool:
        try:
            return Path(self.live).lstat().st_ino == self.inode
        except FileNotFoundError:
            return False

    def swap(self) -> None:
        """There, or back again."""
        live, staged = Path(self.live), Path(self.staged)
        try:
            if not os.path.lexists(live):
                staged.rename(live)
            elif not os.path.lexists(staged):
                live.rename(staged)
            else:
                _exchange(live, staged)
        except OSError as err:
            why = f"{self.live} can't be moved: {err.strerror}"
            if err.errno == errno.EXDEV:
                why = f"{self.live} is a disk or a layer of its own, and can't be moved"
            raise BackupError("cannot put the restored files in place", why=why) from err
        sync_folder(live.parent)


def _exchange(one: Path, other: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    words = (_AT_CWD, os.fsencode(one), _AT_CWD, os.fsencode(other), _EXCHANGE)
    if libc.renameat2(*words) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(one))


class Swap:
    """One restore's exchange, in the folder /var/lib/appliance/restoring."""

    def __init__(self, places: Places) -> None:
        self.folder = places.state / "restoring"

    @property
    def is_cut_off(self) -> bool:
        """Whether an exchange began and nobody saw its end."""
        return (self.folder / SWAPPING).exists()

    @property
    def can_undo(self) -> bool:
        return any(item.is_swapped for item in self.items)

    @property
    def items(self) -> list[Item]:
        return [Item(**row) for row in self._read().get("items", [])]

    @property
    def what(self) -> str:
        """Which backup it was."""
        return str(self._read().get("backup", ""))

    def _read(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.folder / JOURNAL).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def clear(self) -> None:
        """Forget the last restore, and remove what was kept of before it."""
        for item in self.items:
            remove(Path(item.staged))
        remove(self.folder)
        # The hub must not meddle with what root unpacks for it.
        self.folder.mkdir(mode=0o700, parents=True)

    def note(self, items: Iterable[Item], backup: str) -> None:
        """Write the journal; nothing has been moved yet."""
        rows = [asdict(item) for item in items]
        text = json.dumps({"backup": backup, "items": rows}, indent=1)
        write_atomically(self.folder / JOURNAL, f"{text}\n", mode=0o600)

    def forward(self) -> None:
        """Exchange what hasn't been; raises BackupError, and then `back` is due."""
        write_atomically(self.folder / SWAPPING, "", mode=0o600)
        for item in self.items:
            if not item.is_swapped:
                item.swap()

    def back(self) -> None:
        """Put back what was exchanged; may be called at any time, and again."""
        for item in reversed(self.items):
            if item.is_swapped:
                item.swap()
        self.settle()

    def settle(self) -> None:
        """The exchange is over, either way."""
        (self.folder / SWAPPING).unlink(missing_ok=True)
        sync_folder(self.folder)
