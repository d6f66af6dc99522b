"""How the appliance is, by topic: what is wrong, why, and the command that mends it.

Regular upkeep (`appliance/upkeep`) and root's commands (backups, certificates) write one small file
for each topic; the hub, `appliance status`, `appliance doctor` and the notices read them. Whoever
finds that all is well again writes that, too, so a file is never older than its topic's round.
Standard library only.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

FOLDER_MODE: Final = 0o755
_FILE_MODE: Final = 0o644


class Severity(StrEnum):
    """How bad it is; from well to worst."""

    OK = "ok"
    WARNING = "warning"
    """It works, and won't for ever."""
    FAILED = "failed"
    """Something doesn't work now."""

    @property
    def rank(self) -> int:
        return list(type(self)).index(self)


@dataclass(frozen=True, slots=True)
class Finding:
    """One topic, as somebody who isn't a sysadmin should read it. No secrets: the hub's pages
    show it, and the file is for everybody to read."""

    topic: str
    """certificate, backup, disk, updates, ...: the file's name, and the key of notices."""
    severity: Severity
    summary: str
    """One sentence without a full stop, such as "the certificate ends in 3 days"."""
    why: str = ""
    mend: str = ""
    """The command or click that mends it; empty if all is well."""
    checked: str = ""
    """When, in ISO 8601 UTC."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Numbers and dates for programs, such as {"expires": "2030-01-01T00:00:00Z"}."""

    @classmethod
    def of_json(cls, text: str) -> Self:
        """Raises ValueError, KeyError or TypeError for what no finding is."""
        found = json.loads(text)
        return cls(**{**found, "severity": Severity(found["severity"])})

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"


def write_finding(folder: Path, finding: Finding) -> None:
    """Write or replace a topic's file, whole or not at all; raises OSError.

    It is what can be found out again at any time, so nobody waits for the disk.
    """
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    checked = finding.checked or datetime.now(UTC).isoformat(timespec="seconds")
    text = Finding(**{**asdict(finding), "checked": checked}).to_json()
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=f".{finding.topic}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), _FILE_MODE)
            file.write(text)
        Path(name).replace(folder / f"{finding.topic}.json")
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_findings(folder: Path) -> list[Finding]:
    """All topics that have a readable file, the worst first, then by name."""
    found: list[Finding] = []
    try:
        paths = sorted(folder.glob("[!.]*.json"))
    except OSError:
        # The disk fails; who asks says so by other means.
        return found
    for path in paths:
        try:
            found.append(Finding.of_json(path.read_text("utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(found, key=lambda one: (-one.severity.rank, one.topic))


def forget_finding(folder: Path, topic: str) -> None:
    """Take a topic away that has no meaning any more, such as the certificate of plain HTTP."""
    (folder / f"{topic}.json").unlink(missing_ok=True)


def first_few(names: Sequence[str], most: int = 5) -> str:
    """Names for a sentence that must not grow with their number: a, b and 7 more."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
