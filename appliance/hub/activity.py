"""How long each server has been idle, on the clock that never jumps.

Servers report the wall-clock time of their last activity again and again. A changed stamp means
that somebody did something since the report before; how long ago is believed only as far back as
that report. So a wall clock that jumps culls nobody and keeps nobody alive.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from appliance.clock import Clock
from appliance.names import ServerId


@dataclass(slots=True)
class _Known:
    active: float
    """When it was last active, in monotonic seconds."""
    reported: float
    stamp: datetime | None = None


class Activity:
    """Remembers activity of the servers that run."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._servers: dict[ServerId, _Known] = {}

    def began(self, server: ServerId, *, idle_seconds: float = 0.0) -> None:
        """A server became ready; or was found running, idle for as long as one dares to believe."""
        now = self._clock.monotonic()
        self._servers[server] = _Known(now - max(0.0, idle_seconds), now)

    def ended(self, server: ServerId) -> None:
        self._servers.pop(server, None)

    def reported(self, server: ServerId, stamp: datetime) -> None:
        """A server told when it was last active."""
        known = self._servers.get(server)
        if known is None:
            return
        now = self._clock.monotonic()
        if stamp != known.stamp:
            age = max(0.0, (self._clock.now() - stamp).total_seconds())
            known.active = max(known.active, now - min(age, now - known.reported))
            known.stamp = stamp
        known.reported = now

    def used(self, server: ServerId) -> None:
        """It is in use at this moment, whatever it reports."""
        known = self._servers.get(server)
        if known is not None:
            known.active = self._clock.monotonic()

    def idle_seconds(self, server: ServerId) -> float | None:
        """Seconds without activity; None if it isn't known to run."""
        known = self._servers.get(server)
        return None if known is None else self._clock.monotonic() - known.active
