"""The folder where backups are: their names, what was left half done, and the room left."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from appliance.backup.errors import BackupError, NoRoom
from appliance.backup.manifest import MANIFEST_FILE, NAME, Manifest
from appliance.errors import ApplianceError, Conflict, NotFound
from appliance.locks import held
from appliance.places import Places
from appliance.sizes import short_size

_HALF: Final = re.compile(r"\.\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}Z(-\d{1,3})?\.(new|gone)")

# What stays free: of another disk a twentieth, of the one with the homes a tenth.
_FREE: Final = 20
_FREE_BESIDE_HOMES: Final = 10


@dataclass(frozen=True, slots=True)
class Backup:
    """One that is complete."""

    folder: Path
    manifest: Manifest

    @classmethod
    def at(cls, folder: Path) -> Backup:
        """Read one; raises NotFound or BackupError."""
        try:
            text = (folder / MANIFEST_FILE).read_text("utf-8")
        except (FileNotFoundError, NotADirectoryError) as err:
            raise NotFound(
                f"cannot find the backup {folder}",
                why=f"there is no {MANIFEST_FILE} in it",
                mend="appliance backup list",
            ) from err
        except (OSError, ValueError) as err:
            raise BackupError(f"cannot read the backup {folder}", why=str(err)) from err
        return cls(folder, Manifest.of_json(text, place=str(folder)))


class Place:
    """Where the settings, or the command line, say that backups go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def check(self, *, must_be_mount: bool) -> None:
        """Raise BackupError unless backups can be put here."""
        if must_be_mount and not self._is_on_a_mount():
            raise BackupError(
                "cannot make a backup",
                why=f"no disk is mounted at {self.folder}, and backup.must_be_mount is set",
                mend=f"mount it, then: sudo appliance backup create (findmnt {self.folder})",
            )
        try:
            self.folder.mkdir(mode=0o700, parents=not must_be_mount, exist_ok=True)
        except OSError as err:
            raise self._unusable(err) from err
        if self.folder.stat().st_mode & stat.S_IWOTH:
            raise BackupError(
                "cannot make a backup",
                why=f"everybody on this machine can write to {self.folder}, and so could put a "
                "backup there that isn't yours",
                mend=f"sudo chmod 700 {self.folder}; on a disk without Unix modes, mount it with "
                "umask=077",
            )
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise BackupError(
                "cannot make a backup",
                why=f"{self.folder} can't be written to",
                mend="is the disk mounted read-only? on NFS, is it writable for this machine?",
            )

    def _is_on_a_mount(self) -> bool:
        """Whether the folder, or one above it, is where another disk is mounted."""
        folder = self.folder
        while not folder.exists():
            folder = folder.parent
        while folder != folder.parent:
            if os.path.ismount(folder):
                return True
            folder = folder.parent
        return False

    def _unusable(self, err: OSError) -> BackupError:
        return BackupError(
            "cannot make a backup",
            why=f"{self.folder}: {err.strerror or err}",
            mend="appliance config set backup.folder with a folder that can be written to",
        )

    def all(self) -> list[Backup]:
        """Those that are complete and readable, newest first.

        What another account put there isn't one: it would be `latest` by its name.
        """
        found = []
        for folder in self._folders(NAME):
            if not self._is_ours(folder):
                continue
            try:
                found.append(Backup.at(folder))
            except ApplianceError:
                continue
        return sorted(found, key=lambda one: (one.manifest.created, one.folder.name), reverse=True)

    def _is_ours(self, folder: Path) -> bool:
        """On disks of other machines, root may be nobody, as whoever owns the place itself."""
        return folder.lstat().st_uid in {0, os.geteuid(), self.folder.stat().st_uid}

    def unreadable(self) -> list[str]:
        """Names of folders that look like backups and aren't."""
        known = {one.folder for one in self.all()}
        return sorted(folder.name for folder in self._folders(NAME) if folder not in known)

    def find(self, name: str) -> Backup:
        """By name, or `latest`; or by path, as of one that was brought from elsewhere."""
        if "/" in name:
            return Backup.at(Path(name).resolve())
        if name == "latest":
            backups = self.all()
            if not backups:
                raise NotFound(
                    "cannot find a backup",
                    why=f"there is none in {self.folder}",
                    mend="give the path of one, or make one: sudo appliance backup create",
                )
            return backups[0]
        if not NAME.fullmatch(name):
            raise NotFound(
                f"cannot find the backup {name[:60]!r}",
                why="backups have names such as 2030-01-31T03-00-05Z",
                mend="appliance backup list; or give a path with a slash, such as ./NAME",
            )
        if (self.folder / name).is_dir() and not self._is_ours(self.folder / name):
            raise BackupError(
                f"cannot use the backup {name}",
                why="it belongs to another account, which may have made it up",
                mend=f"if you trust it: ls -l {self.folder}, then give its path, with a slash",
            )
        return Backup.at(self.folder / name)

    def begin(self, now: datetime) -> tuple[str, Path]:
        """A name that is free, and the folder to build in until all is well."""
        first = now.astimezone(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
        for number in range(1, 1000):
            name = first if number == 1 else f"{first}-{number}"
            if not (self.folder / name).exists():
                break
        building = self.folder / f".{name}.new"
        try:
            building.mkdir(mode=0o700)
        except OSError as err:
            raise self._unusable(err) from err
        return name, building

    def clean(self) -> list[str]:
        """Remove what a killed run left; with the lock held. Their names."""
        gone = []
        for folder in self._folders(_HALF):
            shutil.rmtree(folder, ignore_errors=True)
            gone.append(folder.name)
        return gone

    def remove(self, backup: Backup) -> None:
        """At once out of the list, then file by file."""
        folder = backup.folder
        gone = folder.with_name(f".{folder.name}.gone")
        try:
            shutil.rmtree(gone, ignore_errors=True)
            folder.rename(gone)
            shutil.rmtree(gone)
        except OSError as err:
            raise BackupError(
                f"cannot remove the backup {folder.name}", why=err.strerror or str(err)
            ) from err

    def _folders(self, name: re.Pattern[str]) -> list[Path]:
        try:
            found = list(self.folder.iterdir())
        except OSError:
            return []
        return [
            one
            for one in found
            if name.fullmatch(one.name) and one.is_dir() and not one.is_symlink()
        ]


class Room:
    """Keeps the disk from being filled."""

    def __init__(self, folder: Path, *, beside_homes: bool) -> None:
        self._folder = folder
        self._share = _FREE_BESIDE_HOMES if beside_homes else _FREE

    @classmethod
    def at(cls, folder: Path, places: Places) -> Room:
        try:
            same = folder.stat().st_dev == places.homes.stat().st_dev
        except OSError:
            same = False
        return cls(folder, beside_homes=same)

    def check(self, needed: int = 0) -> None:
        """Raise NoRoom if `needed` more bytes would leave too little."""
        found = os.statvfs(self._folder)
        free = found.f_bavail * found.f_frsize
        kept = found.f_blocks * found.f_frsize // self._share
        if free - needed < kept:
            raise NoRoom(
                "cannot make a backup",
                why=f"the disk of {self._folder} has {short_size(free)} free; "
                f"{short_size(kept)} must stay so, and about {short_size(needed)} are needed"
                if needed
                else f"the disk of {self._folder} has {short_size(free)} free, and a "
                f"{'tenth' if self._share == _FREE_BESIDE_HOMES else 'twentieth'} of it must stay "
                "so",
                mend="sudo appliance backup remove NAME; keep fewer (backup.keep_daily); or choose "
                "another disk (backup.folder)",
            )


def place_of(folder: str, places: Places) -> Place:
    """What the setting `backup.folder` means."""
    return Place(Path(folder) if folder else places.backups)


@contextmanager
def only_one(places: Places) -> Iterator[None]:
    """Keep other backups and restores out; raises Conflict at once if one is under way.

    The lock is this machine's: backups may be on a file system that has none.
    """

    def refusal(holder: str) -> Conflict:
        return Conflict(
            "cannot begin",
            why=f"another backup or restore is under way ({holder})",
            mend="wait until it is done: sudo journalctl -fu appliance-backup",
        )

    with held(places.state / "backup.lock", refusal):
        yield
