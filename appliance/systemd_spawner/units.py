"""What the daemon asks of systemd, in systemd's words, and the values that come back.

`bus.py` fulfils it over D-Bus; tests fulfil it without. Every method may be called from any thread
and blocks until systemd has answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from appliance.systemd_spawner.properties import Property

PATTERN: Final = "appliance-user-*.service"
SERVICES_PATTERN: Final = "appliance-service-*.service"
FILES_PATTERN: Final = "appliance-files-*.service"


class SystemdError(Exception):
    """systemd said no; the text is its own."""


class UnitExistsError(SystemdError):
    """A unit of that name is loaded already."""


class BusLostError(SystemdError):
    """The connection to systemd broke, so it is unknown whether the call was carried out."""


@dataclass(frozen=True, slots=True)
class UnitState:
    """Where a unit is in its life, and how its last process ended."""

    active: str
    """ActiveState: activating, active, deactivating, inactive, failed."""
    result: str
    """Result: success, exit-code, signal, core-dump, timeout, oom-kill, resources, …"""
    exit_code: int
    """ExecMainCode: how the main process ended, as CLD_EXITED and its like of waitid(2)."""
    exit_status: int
    """ExecMainStatus: exit status or signal."""
    invocation: str
    """InvocationID in hexadecimal: which of the unit's lives this is."""
    pid: int = 0
    """MainPID, 0 when nothing runs."""

    @property
    def ended(self) -> bool:
        return self.active in ("inactive", "failed")


@dataclass(frozen=True, slots=True)
class UnitUsage:
    """What a running unit uses; None where systemd doesn't account for it."""

    started: float
    """When it began, in seconds since 1970."""
    memory: int | None
    memory_max: int | None
    cpu_seconds: float | None
    tasks: int | None
    cpu_max: float | None = None
    """Cores; None where there is no limit, as below."""
    tasks_max: int | None = None


class Units(Protocol):
    """The few things asked of systemd; all raise SystemdError."""

    def start(self, unit: str, properties: Sequence[Property], *, timeout: float) -> str:
        """Start a transient unit, wait for its job, and return the job's result (done, failed, …).

        Raises UnitExistsError, and TimeoutError when the job didn't end in time.
        """
        ...

    def stop(self, unit: str, *, timeout: float) -> None:
        """Return when it is gone; a unit that isn't loaded is gone."""
        ...

    def state(self, unit: str) -> UnitState | None:
        """None when systemd doesn't know the unit."""
        ...

    def status_text(self, unit: str) -> str:
        """What its process said last in STATUS=; empty when systemd doesn't know the unit."""
        ...

    def flag(self, unit: str, name: str) -> bool:
        """Whether a switch of its is on; False when systemd doesn't know the unit."""
        ...

    def counts_packets(self, unit: str) -> bool:
        """Whether its packets are counted, which is where the kernel filters them."""
        ...

    def usage(self, unit: str) -> UnitUsage | None:
        """None when systemd doesn't know the unit."""
        ...

    def groups(self, unit: str) -> list[str]:
        """The groups that its properties gave it; none when systemd doesn't know the unit."""
        ...

    def listing(self, pattern: str = PATTERN) -> dict[str, str]:
        """ActiveState of every loaded unit of the pattern, by default single-user servers."""
        ...

    def set_properties(self, unit: str, properties: Sequence[Property]) -> None:
        """Change a running unit until its end."""
        ...

    def hold(self, unit: str) -> None:
        """Keep the unit's result readable after its end, as AddRef does from the start."""
        ...

    def release(self, unit: str) -> None:
        """Let systemd forget an ended unit."""
        ...
