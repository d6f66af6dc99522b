"""Verifying: every byte read again and compared, the database opened, archives gone through."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.backup import database
from appliance.backup.errors import BackupError
from appliance.backup.manifest import DATABASE, Part
from appliance.backup.place import Backup, Room
from appliance.backup.streams import CHUNK, Sum, Summing, damaged, load, piped, sum_file
from appliance.backup.trees import remove
from appliance.backup.unpack import check_member, unpack
from appliance.places import Places


@dataclass(frozen=True, slots=True)
class Verified:
    """How far it was possible to look."""

    size: int
    files: int
    """Members of archives that were gone through."""
    opened: bool
    """False: it is encrypted and there was no key, so only the stored bytes were compared."""
    restored: bool = False


def verify(
    backup: Backup,
    *,
    identities: Sequence[Any] = (),
    progress: Callable[[str, int], None] = lambda _doing, _size: None,
    scratch: Path | None = None,
    places: Places | None = None,
) -> Verified:
    """Read all of a backup; BackupError says what is damaged.

    With a `scratch` folder each part is unpacked there, and removed again.
    """
    manifest = backup.manifest
    opened = not manifest.is_encrypted or bool(identities)
    files = 0
    for part in manifest.parts:
        progress(f"verifying {part.name}", 0)
        if not opened or _is_anothers(part, backup, identities):
            _compare(backup, part, sum_file(backup.folder / part.file))
        elif part.name == DATABASE:
            _open_database(backup, part, identities)
        else:
            files += _go_through(backup, part, identities)
            if scratch is not None:
                _try_restoring(backup, part, identities, scratch, places)
        progress(f"verifying {part.name}", part.content_size)
    return Verified(manifest.size, files, opened, restored=scratch is not None and opened)


def _is_anothers(part: Part, backup: Backup, identities: Sequence[Any]) -> bool:
    """With public keys alone, a file shared with the backup before opens by their owner's key."""
    if not backup.manifest.is_encrypted:
        return False
    public = {str(one.to_public()) for one in identities}
    if public & set(backup.manifest.sealed_for):
        return False
    return (backup.folder / part.file).stat().st_nlink > 1


def _compare(backup: Backup, part: Part, stored: Sum) -> None:
    if stored != Sum(part.size, part.sha256):
        raise damaged(
            backup.folder, part.file, "it isn't what was written: its SHA-256 is another one"
        )


def _open_database(backup: Backup, part: Part, identities: Sequence[Any]) -> None:
    # In memory: what is in it, passwords' hashes too, must not touch another disk.
    with tempfile.TemporaryDirectory(dir=_in_memory()) as folder:
        path = Path(folder) / "hub.sqlite"
        content = Summing()
        with path.open("xb") as file:
            stored = load(
                backup.folder, part, _Both(file, content),
                sealed=backup.manifest.is_encrypted, identities=identities,
            )  # fmt: skip
        _compare(backup, part, stored)
        if content.sum != Sum(part.content_size, part.content_sha256):
            raise damaged(backup.folder, part.file, "what is in it isn't what was put there")
        revision = database.check(path)
    if revision != backup.manifest.schema:
        raise damaged(backup.folder, part.file, f"its schema is {revision}")


def _in_memory() -> Path | None:
    place = Path("/dev/shm")  # noqa: S108 - a folder of a random name is made in it
    return place if place.is_dir() else None


class _Both:
    """Writes to two."""

    def __init__(self, one: Any, other: Any) -> None:
        self._one = one
        self._other = other

    def write(self, data: bytes) -> int:
        self._one.write(data)
        self._other.write(data)
        return len(data)


def _go_through(backup: Backup, part: Part, identities: Sequence[Any]) -> int:
    """Every member of an archive, its content included; how many there are."""
    content = Summing()
    sums: list[Sum] = []

    def feed(pipe: Any) -> None:
        sums.append(
            load(
                backup.folder,
                part,
                _Both(pipe, content),
                sealed=backup.manifest.is_encrypted,
                identities=identities,
            )
        )

    count = 0
    with piped(feed) as reading, open(reading, "rb", buffering=CHUNK, closefd=False) as file:
        try:
            with tarfile.open(fileobj=file, mode="r|", errorlevel=2) as tar:
                for member in tar:
                    check_member(member, part.name)
                    count += 1
                    # The library would keep all of them in memory, and a home may have millions.
                    tar.members.clear()  # type: ignore[attr-defined]
        except tarfile.TarError as err:
            raise damaged(backup.folder, part.file, str(err)) from err
        finally:
            # What follows the archive's end must not stop whoever writes it.
            while file.read(CHUNK):
                pass
    _compare(backup, part, sums[0])
    if content.sum != Sum(part.content_size, part.content_sha256):
        raise damaged(backup.folder, part.file, "what is in it isn't what was put there")
    return count


def _try_restoring(
    backup: Backup, part: Part, identities: Sequence[Any], scratch: Path, places: Places | None
) -> None:
    if places is not None:
        Room.at(scratch, places).check(part.content_size)
    target = Path(tempfile.mkdtemp(prefix="verifying-", dir=scratch))
    try:
        unpack(backup, part, target, identities=identities, keep_owners=False)
    except OSError as err:
        raise BackupError(
            f"cannot restore {part.name} for a test", why=err.strerror or str(err)
        ) from err
    finally:
        remove(target)
