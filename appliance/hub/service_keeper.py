"""Keeping the configured services running that have a command.

Whoever runs them (systemd, in a trial the hub itself) starts them again when they end. Here is what
that can't know: which there are to be, whether they run with the settings and the token of now, and
that one which was given up gets another chance after a while. A restart of the hub leaves a service
alone that is as it should be.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from appliance.clock import Clock
from appliance.errors import ApplianceError
from appliance.hub.services import Services
from appliance.interfaces import RunningService, ServiceRunner

log = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 30.0
# How long a service that could not be started, or ended again and again, is left alone.
GIVEN_UP_SECONDS: Final = 300.0
_LOOK_SECONDS: Final = 3.0
FAILED: Final = "failed"


@dataclass(frozen=True, slots=True)
class _Trouble:
    """A start that failed, and when it is tried again."""

    why: str
    until: float


@dataclass(frozen=True, slots=True)
class ServiceState:
    """How a service is doing, for people."""

    name: str
    state: str
    """running, starting, failed, unknown, or external: somebody else runs it."""
    why: str = ""


class ServiceKeeper:
    """Compares what runs with what is configured, and mends the difference."""

    def __init__(self, *, services: Services, runner: ServiceRunner | None, clock: Clock) -> None:
        """Without a runner nothing is started: services are all external."""
        self._services = services
        self._runner = runner
        self._clock = clock
        self._troubles: dict[str, _Trouble] = {}
        self._seen: dict[str, RunningService] = {}
        self._alone = asyncio.Lock()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            if not self._services.settled:
                self._services.settle()
            await self.once()
            await asyncio.sleep(PAUSE_SECONDS)

    async def once(self) -> None:
        """Look once; raises ApplianceError if the runner can't be asked."""
        if self._runner is None:
            return
        async with self._alone:
            await self._mend(self._runner)

    async def _mend(self, runner: ServiceRunner) -> None:
        running = self._seen = await runner.services()
        wanted = self._services.managed()
        for name in sorted(running.keys() - wanted.keys()):
            log.info("service %s: not configured any more, stopping it", name)
            try:
                await runner.stop(name)
            except ApplianceError as err:
                log.warning("service %s: %s", name, err)
        for name in wanted:
            await self._keep(runner, name, running.get(name))
        self._seen = await runner.services()

    async def states(self) -> list[ServiceState]:
        """How every service is doing now."""
        running = await self._look()
        return [
            self._state(name, running) if service.managed and self._runner
            else ServiceState(name, "external")
            for name, service in self._services.all().items()
        ]  # fmt: skip

    def pid_of(self, name: str) -> int:
        """The process of a service as of the last look; 0 if it has none."""
        found = self._seen.get(name)
        return found.pid if found else 0

    async def _keep(self, runner: ServiceRunner, name: str, found: RunningService | None) -> None:
        trouble = self._troubles.get(name)
        if found and not self._is_wrong(found):
            if found.state != FAILED:
                self._troubles.pop(name, None)
                return
            if trouble is None:
                log.warning("service %s: given up for a while: %s", name, found.why)
                self._note(name, found.why)
                return
        elif found is None and trouble is None:
            log.info("service %s: starting it", name)
        elif found is not None:
            trouble = None
            log.info("service %s: starting it anew, with the settings of now", name)
        if trouble and self._clock.monotonic() < trouble.until:
            return
        try:
            if found:
                await runner.stop(name)
            await runner.start(name, self._services.new_token(name))
        except ApplianceError as err:
            log.warning("service %s: %s", name, err)
            self._note(name, err.why or err.what)
        else:
            self._troubles.pop(name, None)

    def _is_wrong(self, found: RunningService) -> bool:
        return found.outdated or not self._services.knows_token(found.name, found.token_hash)

    def _note(self, name: str, why: str) -> None:
        self._troubles[name] = _Trouble(why, self._clock.monotonic() + GIVEN_UP_SECONDS)

    async def _look(self) -> dict[str, RunningService] | None:
        if self._runner is None:
            return {}
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                return await self._runner.services()
        except (ApplianceError, TimeoutError):
            return None

    def _state(self, name: str, running: dict[str, RunningService] | None) -> ServiceState:
        if running is None:
            return ServiceState(name, "unknown", "whoever runs it does not answer")
        found, trouble = running.get(name), self._troubles.get(name)
        if found is None:
            return ServiceState(
                name, FAILED if trouble else "starting", trouble.why if trouble else ""
            )
        return ServiceState(name, found.state, found.why)
