"""What the hub asks of a spawner, and the values that go to and fro.

A spawner starts and stops single-user servers and knows which run; it knows no users' rights and no
pages. Both shipped ones (`systemd_spawner`, `local_spawner`) fulfil this Protocol, and so may a
class of your own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from appliance.names import ServerId, Username


@dataclass(frozen=True, slots=True)
class StartRequest:
    """What a server must be told and can't find out itself.

    The token is the server's API token and OAuth client secret; spawners keep it out of argv,
    environments that others can read, and logs.
    """

    token: str


@dataclass(frozen=True, slots=True)
class Started:
    """How a server came to run: forked from what is preloaded, or cold, as any program.

    `cold_reason` is why it wasn't preloaded though it was to be, in a short sentence of printable
    ASCII; empty if that isn't so or nobody said.
    """

    preloaded: bool = False
    cold_reason: str = ""

    @property
    def how(self) -> str:
        """For statistics."""
        return "preloaded" if self.preloaded else "cold"

    def __str__(self) -> str:
        return f"{self.how}: {self.cold_reason}" if self.cold_reason else self.how


@dataclass(frozen=True, slots=True)
class Running:
    """A server that its spawner has running; `ready` once it said that it listens."""

    server: ServerId
    ready: bool
    started: datetime
    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    cpu_seconds: float | None = None
    tasks: int | None = None


@dataclass(frozen=True, slots=True)
class Exited:
    """A server ended, whoever ended it; `reason` is a sentence for its user.

    `cause` is for statistics: stopped, finished, oom, exit (with a status that says failure),
    signal, timeout, unseen (nobody could watch), or other.
    """

    server: ServerId
    reason: str
    failed: bool
    cause: str = "other"


class Spawner(Protocol):
    """Starts, stops and watches single-user servers."""

    async def start(self, server: ServerId, request: StartRequest) -> Started:
        """Return when the server said it is ready; raise SpawnError, with nothing left running."""
        ...

    async def stop(self, server: ServerId) -> None:
        """Return when it is gone; stopping what doesn't run is no error."""
        ...

    async def running(self) -> dict[ServerId, Running]:
        """Every server that runs now, started by this hub's process or an earlier one."""
        ...

    def exits(self) -> AsyncIterator[Exited]:
        """Ends of servers as they happen; survives a restart of whatever tells of them."""
        ...

    async def log(self, server: ServerId, *, lines: int) -> list[str]:
        """The last lines that the server wrote, oldest first."""
        ...

    async def forget_user(self, user: Username) -> None:
        """Retire the account: what it owned stays, and no later user of that name gets it."""
        ...

    async def rename_user(self, user: Username, new: Username) -> None:
        """Let the account and its home be the new name's; doing it again changes nothing.

        Raises SpawnRefused while one of the user's servers runs, or if the new name has an account.
        """
        ...

    async def apply_limits(self) -> None:
        """Read the limits anew and put them on the servers that run."""
        ...


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service as its runner has it, running or given up."""

    name: str
    state: str
    """running, starting (also: it ended and is about to be started again) or failed."""
    why: str
    """Why it isn't running, in a sentence."""
    token_hash: str
    """SHA-256 of the token it was started with, in hexadecimal."""
    outdated: bool
    """It was started with other settings than those of now."""
    pid: int = 0


class ServiceRunner(Protocol):
    """Runs the services of the configuration that have a command.

    Command and environment it reads from the configuration itself; it is told a name and a token.
    """

    async def start(self, service: str, token: str) -> None:
        """Return when the service was started; from then on it is started again when it ends.

        Raises SpawnError if it can't be.
        """
        ...

    async def stop(self, service: str) -> None:
        """Return when it is gone; stopping what doesn't run is no error."""
        ...

    async def services(self) -> dict[str, RunningService]:
        """Every service that was started and not stopped, by an earlier hub too."""
        ...
