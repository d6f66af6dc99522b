"""A runner of services that starts nothing and remembers all."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from appliance.errors import SpawnError, SpawnFailed
from appliance.interfaces import RunningService


class FakeServiceRunner:
    """Fulfils `interfaces.ServiceRunner` in memory; outlives hubs, as systemd does."""

    def __init__(self) -> None:
        self.running: dict[str, RunningService] = {}
        self.tokens: dict[str, str] = {}
        self.calls: list[str] = []
        self.refusal = ""
        self.unreachable = False

    async def start(self, service: str, token: str) -> None:
        self._check()
        self.calls.append(f"start {service}")
        if self.refusal:
            raise SpawnFailed(f"cannot start the service {service}", why=self.refusal)
        self.tokens[service] = token
        hashed = hashlib.sha256(token.encode()).hexdigest()
        self.running[service] = RunningService(
            service, "running", "", hashed, outdated=False, pid=99
        )

    async def stop(self, service: str) -> None:
        self._check()
        self.calls.append(f"stop {service}")
        self.running.pop(service, None)

    async def services(self) -> dict[str, RunningService]:
        self._check()
        return dict(self.running)

    # What tests do to it

    def took(self) -> list[str]:
        """What was asked of it since the last time."""
        calls, self.calls = self.calls, []
        return calls

    def change(self, service: str, *, state: str = "running", why: str = "") -> None:
        self.running[service] = replace(self.running[service], state=state, why=why)

    def outdate(self, service: str) -> None:
        self.running[service] = replace(self.running[service], outdated=True)

    def _check(self) -> None:
        if self.unreachable:
            raise SpawnError("cannot reach the spawner daemon", why="it is away")
