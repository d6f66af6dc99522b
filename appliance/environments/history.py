"""Which environments were in force, and which of them are kept to go back to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from appliance.environments.records import Record
from installer.environments import HISTORY
from installer.files import write_file

KEPT: Final = 3
"""Earlier environments besides the one in force."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One environment that was put in force."""

    directory: str
    at: str
    did: str
    """The command, for people."""
    wanted: str
    locked: str

    @classmethod
    def of(cls, directory: Path, record: Record, did: str) -> Entry:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(directory.name, at, did, record.wanted, record.locked)


class History:
    """Of all environments of a machine, in one small file beside them."""

    def __init__(self, software: Path) -> None:
        self._path = software / "environments" / HISTORY

    def entries(self, name: str) -> list[Entry]:
        """The oldest first; what can't be read is forgotten."""
        found = self._read().get(name or "user", [])
        try:
            return [Entry(**entry) for entry in found]
        except TypeError:
            return []

    def add(self, name: str, *entries: Entry) -> set[str]:
        """Put entries at the end; the directories of those that are forgotten for it."""
        kept = self.entries(name)
        for entry in entries:
            if not (kept and kept[-1].directory == entry.directory):
                kept.append(entry)
        latest = kept[-KEPT - 1 :]
        self._write(name, latest)
        return {one.directory for one in kept} - {one.directory for one in latest}

    def forget(self, name: str) -> set[str]:
        """Forget all; their directories."""
        directories = {one.directory for one in self.entries(name)}
        self._write(name, [])
        return directories

    def _write(self, name: str, entries: Sequence[Entry]) -> None:
        found = self._read()
        found.pop(name or "user", None)
        if entries:
            found[name or "user"] = [asdict(entry) for entry in entries]
        write_file(self._path, json.dumps(found, indent=1).encode())

    def _read(self) -> dict[str, list[dict[str, str]]]:
        try:
            found = json.loads(self._path.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}
