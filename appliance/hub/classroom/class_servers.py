"""Starting and stopping the servers of a class, or of some of its students."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from appliance.db.models import UserState
from appliance.errors import ApplianceError
from appliance.hub.classroom.live import LiveClasses, Student
from appliance.hub.servers import Servers
from appliance.hub.states import ServerState
from appliance.names import Username

Verb = Literal["start", "stop"]

# Others are served between parts of a large class.
_AT_ONCE: Final = 20


@dataclass(frozen=True, slots=True)
class Done:
    """With whose servers it was done, and why not with the others."""

    names: tuple[Username, ...]
    failed: tuple[tuple[Username, ApplianceError], ...]


class ClassServers:
    """Does it one by one; one that fails doesn't keep the others from being done."""

    def __init__(self, *, servers: Servers, live: LiveClasses) -> None:
        self._servers = servers
        self._live = live

    async def do(self, verb: Verb, group: str, users: Sequence[str] | None = None) -> Done:
        """Start or stop the students' default servers; None means those of the whole class.

        What runs is not started and what is stopped not stopped. Who waits to be let in, or is
        locked, has no server.
        """
        students = await self._live.students(group, fresh=True)
        wanted = [
            one for one in students if (users is None or one.name in users) and _is_due(verb, one)
        ]
        names: list[Username] = []
        failed: list[tuple[Username, ApplianceError]] = []
        for number, one in enumerate(wanted, start=1):
            try:
                if verb == "start":
                    await self._servers.start(one.server)
                else:
                    await self._servers.stop(one.server, wait=0.0)
                names.append(one.name)
            except ApplianceError as err:
                failed.append((one.name, err))
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        await self._live.students(group, fresh=True)
        return Done(tuple(names), tuple(failed))


def _is_due(verb: Verb, one: Student) -> bool:
    if verb == "stop":
        return one.is_active
    return one.account is UserState.ACTIVE and one.state in {
        ServerState.STOPPED,
        ServerState.FAILED,
    }
