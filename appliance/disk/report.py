"""What everybody uses of the disk: one small file that root writes and the hub reads.

Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from appliance.config.files import write_atomically
from appliance.places import Places

_FORMAT: Final = 1
_MODE: Final = 0o640
MEASURED: Final = "measured"
QUOTA: Final = "quota"


@dataclass(frozen=True, slots=True)
class Used:
    """What one home, or the folder of one class, takes and may take."""

    bytes: int
    files: int
    limit: int | None = None
    files_limit: int | None = None
    by: str = MEASURED
    """quota: the file system counts, and refuses more than the limit; measured: we looked."""
    at: float = 0.0
    """When, in seconds since 1970."""
    complete: bool = True
    """Whether everything was seen; else it is more than that."""

    @property
    def percent(self) -> int | None:
        """Of the limit that is nearer, in whole percent and never rounded down to well."""
        shares = [
            -(-100 * used // limit)
            for used, limit in ((self.bytes, self.limit), (self.files, self.files_limit))
            if limit
        ]
        return max(shares, default=None)

    @property
    def is_full(self) -> bool:
        """Whether no more goes in: a quota stops a little before its limit. What is measured alone
        is full once it has all that it may."""
        if self.by == QUOTA:
            return (self.percent or 0) >= 100
        return any(
            limit and used >= limit
            for used, limit in ((self.bytes, self.limit), (self.files, self.files_limit))
        )

    @property
    def refuses(self) -> bool:
        """Whether the file system itself holds to the limit."""
        return self.by == QUOTA and self.limit is not None

    @property
    def model(self) -> dict[str, Any]:
        """As the API and the command line's JSON have it."""
        return {
            "bytes": self.bytes,
            "limit_bytes": self.limit,
            "files": self.files,
            "files_limit": self.files_limit,
            "percent": self.percent,
            "enforced": self.refuses,
            "complete": self.complete,
        }


@dataclass(frozen=True, slots=True)
class Room:
    """A file system."""

    place: str
    """Where it is mounted."""
    kind: str
    size: int
    free: int
    percent: int
    files_percent: int
    quota: str
    """enforced, counted, or why neither."""
    holds: tuple[str, ...] = ()
    """What of ours lies on it: homes, classes, state, …"""


@dataclass(frozen=True, slots=True)
class Report:
    """The whole file."""

    at: float = 0.0
    warn_percent: int = 90
    users: Mapping[str, Used] = field(default_factory=dict)
    classes: Mapping[str, Used] = field(default_factory=dict)
    rooms: tuple[Room, ...] = ()

    def to_json(self) -> str:
        return json.dumps({"format": _FORMAT, **asdict(self)}) + "\n"

    @classmethod
    def of_json(cls, text: str | bytes) -> Report:
        """Raises ValueError, KeyError or TypeError for what no report is."""
        found: dict[str, Any] = json.loads(text)
        if found.pop("format") != _FORMAT:
            raise ValueError("another format")
        rooms = tuple(Room(**{**one, "holds": tuple(one["holds"])}) for one in found.pop("rooms"))
        users = {name: Used(**one) for name, one in found.pop("users").items()}
        classes = {name: Used(**one) for name, one in found.pop("classes").items()}
        return cls(users=users, classes=classes, rooms=rooms, **found)


def report_file(places: Places) -> Path:
    return places.disk_state / "use.json"


def read_report(path: Path) -> Report:
    """An empty one if there is none that can be read: it is made anew soon."""
    try:
        return Report.of_json(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError):
        return Report()


def write_report(path: Path, report: Report, *, group: int | None) -> None:
    """Raises ApplianceError."""
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    write_atomically(path, report.to_json(), mode=_MODE, group=group)
