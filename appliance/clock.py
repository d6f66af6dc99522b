"""Time, as an object that tests can turn: stamps are aware UTC, durations are monotonic.

Standard library only.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """The machine's clocks; wall-clock time may jump, the monotonic one never does."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def stamp(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC with microseconds and Z, as JupyterHub's API writes it."""
    if moment is None:
        return None
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"
