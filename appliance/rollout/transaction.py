"""What was in force before a change, kept on the disk until the change has proved itself.

The folder `applying` in the state directory is the marker: while it exists, a change is under way
or was cut off by a crash or a power cut. It holds the files to go back to, so that whoever comes
next can: apply.py heals, `appliance status` says.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.config.files import sync_folder, write_atomically
from appliance.config.rendered import HUB_FILE
from appliance.locks import is_held
from appliance.outgoing import AUTHORITIES_FILE
from appliance.places import Places
from appliance.rollout.render import PRELOAD_FILE, PROXY_FILE, SOURCE_FILE, SPAWNER_FILE

# hub.json last, as when they are written: it says what is in force.
_FILES: Final = (
    SOURCE_FILE, AUTHORITIES_FILE, PRELOAD_FILE, PROXY_FILE, SPAWNER_FILE, HUB_FILE,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Marker:
    """Copies of the files in force before the change."""

    places: Places

    @property
    def folder(self) -> Path:
        return self.places.state / "applying"

    @property
    def exists(self) -> bool:
        return self.folder.is_dir()

    @property
    def is_left_over(self) -> bool:
        """Whether a change was cut off: the marker is there and nobody holds the lock."""
        return self.exists and not is_held(lock_file(self.places))

    def place(self) -> None:
        """Copy the files in force; the folder appears whole or not at all."""
        new = self.folder.with_name("applying.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700, parents=True)
        for name in _FILES:
            source = self.places.rendered / name
            if source.exists():
                shutil.copy2(source, new / name)
                details = source.stat()
                if os.geteuid() == 0:
                    os.chown(new / name, details.st_uid, details.st_gid)
        _sync(new.iterdir())
        sync_folder(new)
        new.rename(self.folder)
        sync_folder(self.folder.parent)

    def restore(self) -> str | None:
        """Put the files back; returns the YAML text that they were made from, if it was kept."""
        source: str | None = None
        for name in _FILES:
            kept = self.folder / name
            if not kept.exists():
                continue
            text, details = kept.read_text("utf-8"), kept.stat()
            as_root = os.geteuid() == 0
            write_atomically(
                self.places.rendered / name,
                text,
                mode=details.st_mode & 0o777,
                user=details.st_uid if as_root else None,
                group=details.st_gid if as_root else None,
            )
            if name == SOURCE_FILE:
                source = text
        return source

    def remove(self) -> None:
        """The change is over, either way."""
        if not self.exists:
            return
        gone = self.folder.with_name("applying.old")
        shutil.rmtree(gone, ignore_errors=True)
        self.folder.rename(gone)
        sync_folder(self.folder.parent)
        shutil.rmtree(gone, ignore_errors=True)


def lock_file(places: Places) -> Path:
    """Whoever changes the configuration holds this file's lock from reading to the last check."""
    return places.state / "configuration.lock"


def _sync(paths: Iterable[Path]) -> None:
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
