"""The parts of limits that tell users something, joined."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from appliance.clock import Clock
from appliance.db.session import Database
from appliance.hub.classroom.messages import Messages
from appliance.hub.limits.memory_kills import MemoryKills
from appliance.hub.limits.run_times import RunTimes
from appliance.hub.limits.server_limits import ServerLimits
from appliance.hub.servers import Servers


@dataclass(frozen=True, slots=True)
class LimitParts:
    """The parts by name, and what runs for ever beside the answers to requests."""

    memory_kills: MemoryKills
    run_times: RunTimes
    limits: ServerLimits

    @property
    def parts(self) -> dict[str, Any]:
        return {
            "limits": self.limits,
            "memory_kills": self.memory_kills,
            "run_times": self.run_times,
        }

    @property
    def loops(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {"limits": self.limits.run, "run times": self.run_times.run}


def make_limits(
    *,
    limits: ServerLimits,
    db: Database,
    clock: Clock,
    servers: Servers,
    messages: Messages,
    on_end: Callable[[str], None],
    on_memory_kill: Callable[[], None],
) -> LimitParts:
    """Join them; nothing runs yet."""
    return LimitParts(
        memory_kills=MemoryKills(
            db=db, clock=clock, limits=limits, messages=messages, counted=on_memory_kill
        ),
        run_times=RunTimes(
            servers=servers, limits=limits, messages=messages, clock=clock, on_end=on_end
        ),
        limits=limits,
    )
