"""A spawner that runs nothing: servers are entries in a dict, and tests say what happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from appliance.errors import SpawnError
from appliance.interfaces import Exited, OfflineReport, Running, Started, StartRequest
from appliance.limits import Told
from appliance.names import ServerId, Username
from tests.fakes.class_files import FakeClassFiles


class FakeSpawner(FakeClassFiles):
    """Fulfils `appliance.interfaces.Spawner`, and `ClassFiles` by its base."""

    holds_limits = True

    def __init__(self) -> None:
        super().__init__()
        self.servers: dict[ServerId, Running] = {}
        self.tokens: dict[ServerId, str] = {}
        self.forgotten: list[Username] = []
        self.renamed: list[tuple[Username, Username]] = []
        self.rename_failure: SpawnError | None = None
        """What the next renames raise."""
        self.limits_applied = 0
        self.offline: set[Username] = set()
        self.offline_report = OfflineReport()
        """What the next `set_offline` says."""
        self.told: dict[str, Told] = {}
        """What was told last of a user's groups and limits."""
        self.limits_set: list[str] = []
        """Whose running servers got other limits."""
        self.starting_now = 0
        self.most_at_once = 0
        self.starts = 0
        self.delay = 0.0
        """Seconds that a start takes."""
        self.go_on = asyncio.Event()
        """Cleared, starts and stops take until a test sets it."""
        self.go_on.set()
        self.started = Started()
        """How the next servers are started."""
        self.stop_delay = 0.0
        self.failure: SpawnError | None = None
        """What the next starts raise."""
        self.unreachable: SpawnError | None = None
        """What every question raises, as when the daemon is gone."""
        self.lines = ["a line of the log"]
        self._exits: asyncio.Queue[Exited] = asyncio.Queue()

    async def start(self, server: ServerId, request: StartRequest) -> Started:
        self._check()
        self.starts += 1
        self.starting_now += 1
        self.most_at_once = max(self.most_at_once, self.starting_now)
        self.servers[server] = Running(server, ready=False, started=datetime.now(UTC))
        self.tokens[server] = request.token
        self.told[server.user] = request.told
        try:
            await asyncio.sleep(self.delay)
            await self.go_on.wait()
            if self.failure:
                raise self.failure
        except SpawnError:
            self.servers.pop(server, None)
            raise
        finally:
            self.starting_now -= 1
        self.servers[server] = replace(self.servers[server], ready=True)
        return self.started

    async def stop(self, server: ServerId) -> None:
        self._check()
        await asyncio.sleep(self.stop_delay)
        await self.go_on.wait()
        self.servers.pop(server, None)

    async def running(self) -> dict[ServerId, Running]:
        self._check()
        return dict(self.servers)

    async def set_offline(self, users: Sequence[Username]) -> OfflineReport:
        self._check()
        self.offline = set(users)
        return self.offline_report

    async def exits(self) -> AsyncIterator[Exited]:
        while True:
            yield await self._exits.get()

    async def log(self, server: ServerId, *, lines: int) -> list[str]:
        self._check()
        return self.lines[-lines:]

    async def forget_user(self, user: Username) -> None:
        self._check()
        self.forgotten.append(user)

    async def rename_user(self, user: Username, new: Username) -> None:
        self._check()
        if self.rename_failure:
            raise self.rename_failure
        self.renamed.append((user, new))

    async def apply_limits(self) -> None:
        self._check()
        self.limits_applied += 1

    async def set_limits(self, people: Mapping[Username, Told]) -> None:
        self._check()
        self.told |= {str(user): told for user, told in people.items()}
        self.limits_set += people

    # What tests do to it

    def run_outside(self, server: ServerId, *, ready: bool = True) -> None:
        """A server that runs without this hub's doing."""
        self.servers[server] = Running(server, ready=ready, started=datetime.now(UTC))

    def end(self, server: ServerId, *, reason: str = "exited with 1", failed: bool = True) -> None:
        """A server ends by itself."""
        self.servers.pop(server, None)
        self.tell(Exited(server, reason, failed))

    def tell(self, exited: Exited) -> None:
        """News of an end, true or not."""
        self._exits.put_nowait(exited)

    def _check(self) -> None:
        if self.unreachable:
            raise self.unreachable
