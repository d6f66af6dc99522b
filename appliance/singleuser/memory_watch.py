"""Telling the hub, and by it the user, what Linux stopped here because memory ran out.

Linux kills the largest process of the server, mostly a kernel, and says so nowhere that the user
sees. The count in the control group tells that it happened, and the kernel whose process is gone
tells to whom.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from .control_group import ControlGroup
from .hub import Hub, HubRefusedError, HubUnavailableError

log = logging.getLogger("appliance.singleuser")

LOOK_SECONDS: Final = 3.0
# A killed process is still there for a moment.
_SETTLE_SECONDS: Final = 0.5
# The hub takes no more often than that.
_PAUSE_SECONDS: Final = 2.5
_PATH_MAX: Final = 300


class MemoryWatch:
    """Looks at the count of kills, and at which processes the kernels have."""

    def __init__(self, hub: Hub, group: ControlGroup, *, kernels: Any, sessions: Any) -> None:
        self._hub = hub
        self._group = group
        self._kernels = kernels
        self._sessions = sessions
        self._events = group.memory_events()
        self._pids: dict[str, int] = {}

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """See whether something was killed since the last look, and tell of it."""
        before, now = self._events, self._group.memory_events()
        if now.get("oom_kill", 0) > before.get("oom_kill", 0):
            await asyncio.sleep(_SETTLE_SECONDS)
            now = self._group.memory_events()
            await self._tell(await self._gone(), by_machine=_is_machines(before, now))
        self._events = now
        self._pids = self._running()

    def _running(self) -> dict[str, int]:
        """The process of each kernel."""
        pids = {}
        for kernel_id in self._kernels.list_kernel_ids():
            provisioner = getattr(self._kernels.get_kernel(kernel_id), "provisioner", None)
            pid = getattr(provisioner, "pid", None)
            if pid:
                pids[str(kernel_id)] = int(pid)
        return pids

    async def _gone(self) -> list[str]:
        """The notebooks whose kernels had a process that is there no more."""
        now = self._running()
        gone = [kernel_id for kernel_id, pid in self._pids.items() if now.get(kernel_id) != pid]
        gone += [
            kernel_id
            for kernel_id in set(now) - set(gone)
            if not await self._kernels.get_kernel(kernel_id).is_alive()
        ]
        paths = {
            str(session["kernel"]["id"]): str(session.get("path") or session.get("name") or "")
            for session in await self._sessions.list_sessions()
            if session.get("kernel")
        }
        return [paths.get(kernel_id, "")[-_PATH_MAX:] for kernel_id in gone]

    async def _tell(self, notebooks: list[str], *, by_machine: bool) -> None:
        for number, notebook in enumerate(notebooks or [""]):
            if number:
                await asyncio.sleep(_PAUSE_SECONDS)
            try:
                await self._hub.post_out_of_memory(notebook, by_machine=by_machine)
            except (HubRefusedError, HubUnavailableError) as err:
                log.warning("cannot tell the hub that memory ran out: %s", err)


def _is_machines(before: Mapping[str, int], now: Mapping[str, int]) -> bool:
    """Whether it wasn't this server's own limit that was reached."""
    return now.get("oom", 0) == before.get("oom", 0)
