"""What a backup says of itself: `backup.json`, readable without a key.

So it has no words of users': names of files that could not be read are in it only if the backup
isn't encrypted.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final, Self

from appliance.backup.errors import BackupError

FORMAT: Final = 1
MANIFEST_FILE: Final = "backup.json"
SUMS_FILE: Final = "SHA256SUMS"
KEY_FILE: Final = "key.age"
DATABASE: Final = "database"
NOTES_MAX: Final = 200
NAME: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}Z(-\d{1,3})?")


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a backup."""

    name: str
    """database, hub, settings, …, class-SLUG, service-NAME, home-ACCOUNT."""
    file: str
    size: int
    sha256: str
    """Of the file as it is stored."""
    content_size: int
    content_sha256: str
    """Of what was packed and encrypted: a tar archive, or the database."""
    account: str = ""
    """Whose it is on the machine: a Unix account; empty for root's."""
    uid: int = 0
    notes_count: int = 0
    notes: tuple[str, ...] = ()
    """Files that could not be read, changed meanwhile or were left out; the first of them."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """All of it."""

    name: str
    created: str
    """ISO 8601, UTC."""
    host: str
    appliance: str
    """The version that made it."""
    schema: str
    """The revision of the database."""
    scheduled: bool
    sealed_for: tuple[str, ...] = ()
    """The public keys of age that it is encrypted for; none if it isn't encrypted."""
    parts: tuple[Part, ...] = ()
    format: int = FORMAT
    details: dict[str, Any] = field(default_factory=dict)
    """What else is worth knowing, such as what was left out."""

    @property
    def is_encrypted(self) -> bool:
        return bool(self.sealed_for)

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    @property
    def notes_count(self) -> int:
        return sum(part.notes_count for part in self.parts)

    @property
    def when(self) -> datetime:
        return datetime.fromisoformat(self.created)

    @property
    def has_homes(self) -> bool:
        return any(part.name.startswith("home-") for part in self.parts)

    def find(self, name: str) -> Part | None:
        return next((part for part in self.parts if part.name == name), None)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def of_json(cls, text: str, *, place: str) -> Self:
        """Raises BackupError for what isn't one, or a later version's."""
        try:
            found = json.loads(text)
            number = int(found["format"])
            if number > FORMAT:
                raise BackupError(
                    f"cannot read the backup {place}",
                    why=f"a later version of the appliance made it ({found['appliance']})",
                    mend="install that version, or a later one, and try again",
                )
            parts = tuple(
                Part(**{**part, "notes": tuple(part["notes"])}) for part in found["parts"]
            )
            manifest = cls(**{**found, "parts": parts, "sealed_for": tuple(found["sealed_for"])})
            _check(manifest)
        except (ValueError, KeyError, TypeError, AttributeError) as err:
            raise BackupError(
                f"cannot read the backup {place}",
                why=f"its {MANIFEST_FILE} is damaged: {err}",
                mend="choose another one: appliance backup list",
            ) from err
        return manifest


def _check(manifest: Manifest) -> None:
    """Root opens files by these names, so none leads out of the backup's folder."""
    for part in manifest.parts:
        words = (part.name, part.file, part.account)
        if any("/" in word or word.startswith(".") or not word.isprintable() for word in words):
            raise ValueError(f"the part {part.name[:60]!r} has a name that leads elsewhere")
        if not part.name or not part.file:
            raise ValueError("a part has no name")
        numbers = (part.size, part.content_size, part.uid, part.notes_count)
        if any(not isinstance(one, int) or one < 0 for one in numbers):
            raise ValueError(f"the part {part.name[:60]!r} has a number that is none")
    if not NAME.fullmatch(manifest.name):
        raise ValueError(f"{manifest.name[:60]!r} is no backup's name")
    said = (manifest.host, manifest.appliance, manifest.schema, *manifest.sealed_for)
    if not all(isinstance(one, str) and one.isprintable() for one in said):
        raise ValueError("what it says of itself is no text")
    datetime.fromisoformat(manifest.created)
