"""What servers use of memory and processor, asked of the spawner as seldom as pages allow."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from appliance.clock import Clock
from appliance.errors import ApplianceError
from appliance.interfaces import Running, Spawner
from appliance.names import ServerId

log = logging.getLogger(__name__)

_FRESH_SECONDS: Final = 2.0
# Further apart, the average of two looks says nothing about now.
_STALE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What one server uses now; None for what the spawner can't tell."""

    memory_bytes: int | None
    memory_limit_bytes: int | None
    cpu_seconds: float | None
    cores: float | None
    """Processor cores in use on the average since the last look; None at the first look."""
    cores_limit: float
    """What the server may use, or all cores of the machine."""
    tasks: int | None
    is_cpu_limited: bool = False
    """Whether it has a limit of its own."""
    tasks_limit: int | None = None

    @property
    def memory_percent(self) -> int | None:
        if self.memory_bytes is None or not self.memory_limit_bytes:
            return None
        return min(100, round(100 * self.memory_bytes / self.memory_limit_bytes))

    @property
    def cpu_percent(self) -> int | None:
        return None if self.cores is None else min(100, round(100 * self.cores / self.cores_limit))


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    running: Mapping[ServerId, Running]


class UsageMeter:
    """Samples the spawner's numbers; processor use is the difference of two samples."""

    def __init__(self, *, spawner: Spawner, clock: Clock) -> None:
        self._spawner = spawner
        self._clock = clock
        self._cores = float(os.cpu_count() or 1)
        self._before: _Sample | None = None
        self._now: _Sample | None = None
        self._lock = asyncio.Lock()

    async def of(self, server: ServerId) -> Usage | None:
        """One server's use, or None if it doesn't run or the spawner doesn't answer."""
        return (await self.all()).get(server)

    async def all(self) -> dict[ServerId, Usage]:
        """Every running server's use; empty if the spawner doesn't answer: pages do without."""
        async with self._lock:
            if self._now is None or self._clock.monotonic() - self._now.at > _FRESH_SECONDS:
                try:
                    running = await self._spawner.running()
                except ApplianceError as err:
                    log.warning("cannot tell what servers use: %s", err)
                    return {}
                self._before = self._now
                self._now = _Sample(self._clock.monotonic(), running)
            sample = self._now
        return {
            server: self._usage(server, one, sample.at) for server, one in sample.running.items()
        }

    def _usage(self, server: ServerId, running: Running, at: float) -> Usage:
        return Usage(
            memory_bytes=running.memory_bytes,
            memory_limit_bytes=running.memory_limit_bytes,
            cpu_seconds=running.cpu_seconds,
            cores=self._cores_used(server, running, at),
            cores_limit=running.cpu_limit or self._cores,
            tasks=running.tasks,
            is_cpu_limited=running.cpu_limit is not None,
            tasks_limit=running.tasks_limit,
        )

    def _cores_used(self, server: ServerId, running: Running, at: float) -> float | None:
        earlier = self._before.running.get(server) if self._before else None
        if self._before is None or earlier is None or earlier.started != running.started:
            return None
        elapsed = at - self._before.at
        if earlier.cpu_seconds is None or running.cpu_seconds is None:
            return None
        if not 0 < elapsed <= _STALE_SECONDS:
            return None
        return max(0.0, (running.cpu_seconds - earlier.cpu_seconds) / elapsed)
