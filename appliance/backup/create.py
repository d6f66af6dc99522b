"""Making a backup: part after part, verified at once, and only then in the list."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from appliance import __version__
from appliance.backup import database, sources
from appliance.backup.errors import BackupError, NoRoom
from appliance.backup.ids import system_ids
from appliance.backup.manifest import (
    DATABASE,
    KEY_FILE,
    MANIFEST_FILE,
    NOTES_MAX,
    SUMS_FILE,
    Manifest,
    Part,
)
from appliance.backup.members import Readable
from appliance.backup.place import Backup, Place, Room, only_one
from appliance.backup.sealing import Sealing, make_sealing, stored_passphrase
from appliance.backup.sources import Source
from appliance.backup.streams import Sum, store, sum_file
from appliance.backup.tar import packing
from appliance.backup.verify import Verified, verify
from appliance.config.backup_schema import Backup as Settings
from appliance.config.files import sync_folder
from appliance.places import Places

Progress = Callable[[str, int], None]
"""Told of what is being done, and of bytes since the last time."""


def no_progress(_doing: str, _size: int) -> None:
    """For nobody who watches."""


@dataclass(frozen=True)
class Wanted:
    """How somebody wants it."""

    place: Place
    homes: bool = True
    must_be_mount: bool = False
    exclude: Sequence[str] = ()
    recipients: Sequence[str] = ()
    encrypted: bool | None = None
    """True: refuse if there is no key; False: not encrypted; None: if there is a key."""
    scheduled: bool = False

    @classmethod
    def by_settings(cls, settings: Settings, place: Place) -> Wanted:
        return cls(
            place,
            homes=settings.homes,
            must_be_mount=settings.must_be_mount,
            exclude=settings.exclude,
            recipients=settings.recipients,
        )


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What of one part is no file of anybody's work (`members.py`)."""

    part: str
    count: int
    notes: tuple[str, ...]
    """The first of them, and why."""


@dataclass(frozen=True)
class Made:
    """What came of it."""

    backup: Backup
    verified: Verified
    left_out: list[LeftOut] = field(default_factory=list)
    cleaned: list[str] = field(default_factory=list)

    @property
    def changed(self) -> int:
        """How many files could not be read, or changed meanwhile."""
        return self.backup.manifest.notes_count - sum(one.count for one in self.left_out)


def create(places: Places, wanted: Wanted, progress: Progress = no_progress) -> Made:
    """Make one; raises ApplianceError, and then nothing is left of it."""
    with only_one(places):
        wanted.place.check(must_be_mount=wanted.must_be_mount)
        cleaned = wanted.place.clean()
        before = next(iter(wanted.place.all()), None)
        sealing = _sealing(places, wanted, before)
        room = Room.at(wanted.place.folder, places)
        room.check(places.database.stat().st_size if places.database.exists() else 0)
        name, building = wanted.place.begin(datetime.now(UTC))
        try:
            builder = _Builder(places, wanted, sealing, room, building, progress, before)
            manifest = builder.build(name)
            verified = verify(
                Backup(building, manifest), identities=sealing.identities, progress=progress
            )
            folder = wanted.place.folder / name
            building.rename(folder)
            sync_folder(wanted.place.folder)
        except OSError as err:
            raise _failed(err, wanted.place) from err
        finally:
            shutil.rmtree(building, ignore_errors=True)
        return Made(Backup(folder, manifest), verified, builder.left_out, cleaned)


def _failed(err: OSError, place: Place) -> BackupError:
    return BackupError(
        "cannot make a backup",
        why=f"{err.filename or place.folder}: {err.strerror or err}",
        mend=f"look at the disk of {place.folder}: df -h {place.folder}",
    )


def _sealing(places: Places, wanted: Wanted, before: Backup | None) -> Sealing:
    if wanted.encrypted is False:
        return make_sealing((), "")
    key = b""
    if before is not None and (before.folder / KEY_FILE).is_file():
        key = (before.folder / KEY_FILE).read_bytes()
    sealing = make_sealing(wanted.recipients, stored_passphrase(places), earlier_key=key)
    if wanted.encrypted and not sealing.is_on:
        raise BackupError(
            "cannot encrypt the backup",
            why="neither a passphrase nor a public key is set",
            mend="sudo appliance backup passphrase --generate",
        )
    return sealing


@dataclass
class _Builder:
    """Fills the folder of one backup."""

    places: Places
    wanted: Wanted
    sealing: Sealing
    room: Room
    folder: Path
    progress: Progress
    before: Backup | None
    parts: list[Part] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def build(self, name: str) -> Manifest:
        # Who has which account comes before the database: an account that nobody knows does no
        # harm, a user whose account is unknown would get another one.
        state = sources.state_sources(self.places)
        for source in state[:1]:
            self._pack(source)
        schema = self._copy_database()
        for source in state[1:]:
            self._pack(source)
        for source in sources.service_sources(self.places):
            self._pack(source)
        for source in sources.class_sources(self.places):
            self._pack(source)
        if self.wanted.homes:
            for source in sources.home_sources(self.places, list(self.wanted.exclude)):
                self._pack_home(source)
        manifest = Manifest(
            name=name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            host=socket.gethostname(),
            appliance=__version__,
            schema=schema,
            scheduled=self.wanted.scheduled,
            sealed_for=self.sealing.recipients,
            parts=tuple(self.parts),
            details={
                "homes": self.wanted.homes,
                "left_out": list(self.wanted.exclude),
                "system_ids": system_ids(),
            },
        )
        self._write(MANIFEST_FILE, manifest.to_json().encode())
        if self.sealing.key_file:
            self._write(KEY_FILE, self.sealing.key_file)
        self._write_sums()
        sync_folder(self.folder)
        return manifest

    def _copy_database(self) -> str:
        if not self.places.database.exists():
            raise BackupError(
                "cannot make a backup",
                why=f"there is no database {self.places.database}",
                mend="sudo appliance status; is the appliance installed here?",
            )
        self.progress("database", 0)
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            plain = Path(scratch) / "hub.sqlite"
            with database.copied(self.places) as copy, plain.open("xb") as file:
                shutil.copyfileobj(copy, file, 2**18)
            revision = database.check(plain)
            with plain.open("rb") as file:
                self._store(DATABASE, "database.sqlite.gz", file)
        return revision

    def _pack_home(self, source: Source) -> None:
        """A user may be removed meanwhile; then there is no such home any more."""
        if source.folder.is_dir():
            self._pack(source)

    def _pack(self, source: Source) -> None:
        self.progress(source.name, 0)
        with packing(source) as tar:
            self._store(
                source.name, f"{source.name}.tar.gz", tar.output,
                account=source.account, uid=source.uid,
            )  # fmt: skip
            count, notes = tar.notes()
        sieve = tar.output
        if sieve.count:
            self.left_out.append(LeftOut(source.name, sieve.count, tuple(sieve.notes)))
        # Names of files are words of users'.
        kept = () if self.sealing.is_on else (*sieve.notes, *notes)[:NOTES_MAX]
        self.parts[-1] = replace(self.parts[-1], notes_count=count + sieve.count, notes=kept)

    def _store(
        self, name: str, file: str, stream: Readable, *, account: str = "", uid: int = 0
    ) -> None:
        file = f"{file}.age" if self.sealing.is_on else file
        stored, content = store(
            stream, self.folder / file, sealing=self.sealing, room=self.room,
            tick=lambda size: self.progress(name, size),
        )  # fmt: skip
        stored = self._share(name, file, stored, content)
        self.parts.append(
            Part(name, file, stored.size, stored.sha256, content.size, content.sha256, account, uid)
        )

    def _share(self, name: str, file: str, stored: Sum, content: Sum) -> Sum:
        """Let the file be the one of the backup before, if that holds the same."""
        if self.before is None or self.before.manifest.sealed_for != self.sealing.recipients:
            return stored
        known = self.before.manifest.find(name)
        if known is None or (known.content_size, known.content_sha256) != (
            content.size, content.sha256,
        ):  # fmt: skip
            return stored
        earlier, mine = self.before.folder / known.file, self.folder / file
        link = mine.with_name(f".{file}.link")
        try:
            if sum_file(earlier) != Sum(known.size, known.sha256):
                return stored
            os.link(earlier, link, follow_symlinks=False)
            link.rename(mine)
        except OSError:
            # Not every file system has hard links.
            link.unlink(missing_ok=True)
            return stored
        return Sum(known.size, known.sha256)

    def _write_sums(self) -> None:
        lines = [f"{part.sha256}  {part.file}" for part in self.parts]
        lines += [
            f"{sum_file(self.folder / name).sha256}  {name}"
            for name in (MANIFEST_FILE, KEY_FILE)
            if (self.folder / name).exists()
        ]
        self._write(SUMS_FILE, ("\n".join(lines) + "\n").encode())

    def _write(self, name: str, content: bytes) -> None:
        descriptor = os.open(
            self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600
        )
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


__all__ = ["Made", "NoRoom", "Progress", "Wanted", "create", "no_progress"]
