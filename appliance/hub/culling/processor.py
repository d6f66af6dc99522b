"""Processor time as a sign of use: what computes is in use, whoever looks at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from appliance.clock import Clock
from appliance.hub.activity import Activity
from appliance.interfaces import Running
from appliance.names import ServerId

# Over a shorter time, opening a page looks like a computation.
_APART_SECONDS: Final = 30.0


class ProcessorUse:
    """Compares what servers have used at one look and at the next."""

    def __init__(self, *, clock: Clock, activity: Activity, percent: int) -> None:
        """Use begins above so many percent of one core."""
        self._clock = clock
        self._activity = activity
        self._percent = percent
        self._before: dict[ServerId, tuple[float, Running]] = {}

    def look(self, running: Mapping[ServerId, Running]) -> None:
        """Take those that compute for used at this moment."""
        now = self._clock.monotonic()
        samples = {}
        for server, one in running.items():
            at, before = self._before.get(server, (now, one))
            if before.started != one.started:
                at, before = now, one
            if now - at < _APART_SECONDS:
                samples[server] = (at, before)
                continue
            samples[server] = (now, one)
            if one.cpu_seconds is None or before.cpu_seconds is None:
                continue
            if 100 * (one.cpu_seconds - before.cpu_seconds) / (now - at) > self._percent:
                self._activity.used(server)
        self._before = samples
