"""What was in force before an upgrade, kept until the upgrade has proved itself, and longer.

`STATE/upgrade/under-way` is the marker: while it exists, an upgrade is under way, or was cut off by
a crash or a power cut, and whoever comes next goes back to it (rebuild.py at boot, the next run of
the installer, the regular upkeep). An upgrade is complete at the moment when the folder is renamed
to `previous`, which `appliance upgrade --rollback` goes back to.

Standard library only: at boot the system's Python runs this straight from the wheel.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from appliance.errors import Conflict, InstallError
from appliance.locks import held, is_held
from appliance.places import Places
from installer.files import point_link, remove_tree, sync_directory, write_file

LINKS: Final = ("hub", "user", "spawner", "wheels/installed.whl")
"""In /opt/appliance: what an upgrade switches."""
LOCK: Final = Path("/run/appliance-install.lock")
"""bootstrap.py holds it as long as it installs."""

_UNIT_SUFFIXES: Final = (".service", ".socket", ".slice", ".target", ".timer", ".path")
_DATABASE: Final = "hub.sqlite"
_MANIFEST: Final = "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a point knows besides its files."""

    version: str
    """The release that was in force."""
    newer: str
    """The release that came after it."""
    schema: str
    links: dict[str, str]
    files: dict[str, tuple[int, int, int]]
    """Mode, owner and group of each file, by its path."""
    taken: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @classmethod
    def of_json(cls, text: str) -> Self:
        found: dict[str, Any] = json.loads(text)
        files = {path: (int(m), int(u), int(g)) for path, (m, u, g) in found["files"].items()}
        return cls(**{**found, "files": files})


@dataclass(frozen=True, slots=True)
class Point:
    """A place to go back to: a folder with a manifest, files, and a copy of the database."""

    places: Places
    name: str
    etc: Path = Path("/etc")

    @classmethod
    def under_way(cls, places: Places, etc: Path = Path("/etc")) -> Self:
        return cls(places, "under-way", etc)

    @classmethod
    def previous(cls, places: Places, etc: Path = Path("/etc")) -> Self:
        return cls(places, "previous", etc)

    @property
    def folder(self) -> Path:
        return self.places.upgrades / self.name

    @property
    def exists(self) -> bool:
        return (self.folder / _MANIFEST).is_file()

    def manifest(self) -> Manifest:
        try:
            return Manifest.of_json((self.folder / _MANIFEST).read_text("utf-8"))
        except (OSError, ValueError, KeyError, TypeError) as err:
            raise InstallError(
                f"cannot read {self.folder / _MANIFEST}",
                why=str(err),
                mend="run the installer of the release that you want",
            ) from err

    # Taking it

    def take(self, *, version: str, newer: str, schema: str) -> None:
        """Keep everything that an upgrade replaces; it appears whole or not at all."""
        new = self.folder.with_name(f"{self.name}.new")
        remove_tree(new)
        new.mkdir(mode=0o700, parents=True)
        files = {}
        for path in self._files():
            details = path.stat()
            files[str(path)] = (details.st_mode & 0o7777, details.st_uid, details.st_gid)
            kept = new / "files" / path.relative_to("/")
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, kept)
        if self.places.database.exists():
            copy_database(self.places.database, new / _DATABASE)
        software = self.places.software
        links = {name: software / name for name in LINKS}
        targets = {name: str(link.readlink()) for name, link in links.items() if link.is_symlink()}
        manifest = Manifest(version, newer, schema, targets, files)
        (new / _MANIFEST).write_text(json.dumps(asdict(manifest), indent=1), "utf-8")
        os.sync()
        remove_tree(self.folder)
        new.rename(self.folder)
        sync_directory(self.folder.parent)

    def _files(self) -> list[Path]:
        """Units, accounts and folders for systemd, what was rendered, and the records of starts."""
        found = [*self.unit_files(), *sorted(self.places.rendered.glob("[!.]*"))]
        found += [self.etc / f"{kind}.d/appliance.conf" for kind in ("sysusers", "tmpfiles")]
        found += [self.places.software / name for name in ("started.json", "preloaded.json")]
        return [path for path in found if path.is_file() and not path.is_symlink()]

    def unit_files(self) -> list[Path]:
        folder = self.etc / "systemd/system"
        return sorted(
            path
            for path in folder.glob("appliance*")
            if path.suffix in _UNIT_SUFFIXES and path.is_file() and not path.is_symlink()
        )

    def commit(self) -> None:
        """The upgrade is complete: from now on the point is what --rollback goes back to."""
        previous = Point.previous(self.places, self.etc)
        older = previous.folder.with_name("older")
        remove_tree(older)
        if previous.folder.exists():
            previous.folder.rename(older)
        self.folder.rename(previous.folder)
        sync_directory(self.folder.parent)
        remove_tree(older)

    def forget(self) -> None:
        """It was gone back to."""
        gone = self.folder.with_name(f"{self.name}.old")
        remove_tree(gone)
        if self.folder.exists():
            self.folder.rename(gone)
            sync_directory(gone.parent)
        remove_tree(gone)

    # Going back to it; each can be interrupted anywhere and done again

    def added_units(self) -> list[Path]:
        """Units that the newer release brought."""
        known = self.manifest().files
        return [path for path in self.unit_files() if str(path) not in known]

    def restore_files(self) -> None:
        """Links, units and rendered files; config.yaml is people's own and stays as it is."""
        manifest = self.manifest()
        for unit in self.added_units():
            unit.unlink()
        for name, (mode, user, group) in manifest.files.items():
            path = Path(name)
            write_file(
                path, (self.folder / "files" / path.relative_to("/")).read_bytes(), mode=mode
            )
            if os.geteuid() == 0:
                os.chown(path, user, group)
        for name, target in manifest.links.items():
            point_link(self.places.software / name, target)

    def changes_schema(self) -> bool:
        """Whether the database is in a form that the older release can't read."""
        database = self.places.database
        schema = self.manifest().schema
        return schema not in ("", schema_of(database)) and bool(self.database_copy())

    def database_copy(self) -> Path | None:
        """The hub's own copy from the moment before it migrated; else the one taken here."""
        schema = self.manifest().schema
        place = self.places.database
        exact = place.with_name(f"{place.name}.before-upgrade-from-{schema}")
        for copy in (exact, self.folder / _DATABASE):
            if copy.exists() and schema_of(copy) == schema:
                return copy
        return None

    def restore_database(self) -> Path | None:
        """Put the copy in the database's place, if need be; where the newer one is now.

        The hub must not run.
        """
        copy = self.database_copy()
        if copy is None or not self.changes_schema():
            return None
        place = self.places.database
        aside = place.with_name(f"{place.name}.of-{self.manifest().newer}")
        beside = place.with_name(f"{place.name}.restored")
        remove_files(beside)
        copy_database(copy, beside)
        owner = place.parent.stat()
        if os.geteuid() == 0:
            os.chown(beside, owner.st_uid, owner.st_gid)
        if place.exists():
            # All that is in the log goes into the file: beside another file it would damage that.
            with closing(sqlite3.connect(place)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            remove_files(*(place.with_name(place.name + end) for end in ("-wal", "-shm")))
            place.replace(aside)
        beside.replace(place)
        sync_directory(place.parent)
        return aside


def remove_files(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def copy_database(source: Path, target: Path) -> None:
    """A copy as of one moment, whoever writes to the source; it is on the disk afterwards."""
    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)
    target.chmod(0o600)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def schema_of(database: Path) -> str:
    """The schema's number, or "" for a database that has none or isn't there."""
    if not database.exists():
        return ""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        return ""
    return str(row[0]) if row else ""


@contextmanager
def exclusively() -> Iterator[None]:
    """Keep everybody else from installing; Conflict says that somebody does."""
    with held(LOCK, _refusal):
        yield


def is_busy() -> bool:
    return is_held(LOCK)


def _refusal(holder: str) -> Conflict:
    return Conflict(
        "another installation is running", why=f"{holder} holds the lock", mend="wait for it"
    )
