"""What people use of the disk, as root measured it: for pages, the API, and a word to who is full.

The hub itself may look into no home; it reads the one file that is written for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from appliance.clock import Clock, stamp
from appliance.disk.report import Report, Used, read_report
from appliance.hub.classroom.messages import Messages
from appliance.texts import say

_LOOK_SECONDS: Final = 2.0
_TOPIC: Final = "disk"
_LASTS: Final = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Share:
    """What one home or class's folder takes, for a page or the API."""

    used: Used
    warn_percent: int

    @property
    def percent(self) -> int | None:
        """At most 100, for a bar."""
        found = self.used.percent
        return None if found is None else min(100, found)

    @property
    def is_near(self) -> bool:
        return (self.used.percent or 0) >= self.warn_percent

    @property
    def is_full(self) -> bool:
        return self.used.is_full

    @property
    def measured(self) -> datetime:
        return datetime.fromtimestamp(self.used.at, UTC)

    @property
    def model(self) -> dict[str, Any]:
        """For the API."""
        return {**self.used.model, "measured": stamp(self.measured)}


class DiskUse:
    """Looks at the file again when it changed."""

    def __init__(self, path: Path, *, clock: Clock, messages: Messages) -> None:
        self._path = path
        self._clock = clock
        self._messages = messages
        self._report = Report()
        self._version = (0, 0)
        self._looked: float | None = None
        self._told_of = 0.0
        self._told: set[str] = set()

    def report(self) -> Report:
        """The latest; an empty one before the first."""
        now = self._clock.monotonic()
        if self._looked is None or now - self._looked > _LOOK_SECONDS:
            self._looked = now
            version = self._version_now()
            if version != self._version:
                self._report, self._version = read_report(self._path), version
        return self._report

    def of_user(self, name: str) -> Share | None:
        """None before a home was measured, and where nothing is."""
        report = self.report()
        used = report.users.get(name)
        return None if used is None else Share(used, report.warn_percent)

    def of_class(self, name: str) -> Share | None:
        report = self.report()
        used = report.classes.get(name)
        return None if used is None else Share(used, report.warn_percent)

    def tell(self) -> None:
        """Tell those whose homes fill up, once, and again when it gets worse; asked each minute."""
        report = self.report()
        if report.at == self._told_of:
            return
        self._told_of = report.at
        full = {
            name: used
            for name, used in report.users.items()
            if (used.percent or 0) >= report.warn_percent
        }
        for name, used in full.items():
            self._messages.tell(
                name, _words(used), topic=_TOPIC, title=say("Your files"), lasts=_LASTS
            )
        for name in self._told - full.keys():
            self._messages.withdraw(name, _TOPIC)
        self._told = set(full)

    def _version_now(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except OSError:
            return (0, 0)
        return (status.st_mtime_ns, status.st_ino)


def _words(used: Used) -> str:
    if not used.is_full:
        return say(
            "Your home is nearly full. Delete files that you don't need any more; that makes room "
            "at once."
        )
    if used.refuses:
        return say(
            "Your home is full: nothing more can be saved. Delete files that you don't need any "
            "more; that makes room at once."
        )
    return say(
        "Your home holds more than it may. Delete files that you don't need any more, before "
        "somebody has to."
    )
