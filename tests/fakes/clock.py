"""A clock that stands still until a test turns it; the wall clock can be made to jump alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from appliance.clock import Clock


class FakeClock(Clock):
    def __init__(self) -> None:
        self.wall = datetime(2026, 9, 1, 9, 0, tzinfo=UTC)
        self.mono = 1000.0

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.mono

    def pass_time(self, seconds: float) -> None:
        """Time passes on both clocks."""
        self.wall += timedelta(seconds=seconds)
        self.mono += seconds

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self.wall += timedelta(seconds=seconds)
