"""What follows when somebody joins a class, leaves it, or begins or ends to teach it.

Groups and classes are rows, and whoever changes them calls `changed`. The rest is told to the
parts that keep files; what fails is tried again until it is done, after a restart too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final

from appliance.errors import ApplianceError
from appliance.hub.classroom.classes import Classes
from appliance.hub.servers import Servers
from appliance.hub.supervisor import Supervisor
from appliance.names import Username

log = logging.getLogger(__name__)

_WAIT_SECONDS: Final = 3.0
_AGAIN_SECONDS: Final = 60.0

Settle = Callable[[str], Awaitable[None]]
Welcome = Callable[[Username, str], Awaitable[None]]


class People:
    """Keeps what belongs to a class in line with who is in it."""

    def __init__(self, *, classes: Classes, servers: Servers, supervisor: Supervisor) -> None:
        self._classes = classes
        self._servers = servers
        self._supervisor = supervisor
        self._settlers: list[Settle] = []
        self._welcomers: list[Welcome] = []
        self._due: dict[str, set[Username]] = {}
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._wake = asyncio.Event()

    def follow(self, *, settle: Settle | None = None, welcome: Welcome | None = None) -> None:
        """Have a part told from now on: of each class that changed, and of each newcomer."""
        if settle:
            self._settlers.append(settle)
        if welcome:
            self._welcomers.append(welcome)

    async def changed(
        self, group: str, *, joined: Iterable[Username] = (), left: Iterable[Username] = ()
    ) -> None:
        """The people or teachers of a group aren't what they were; call it after the commit.

        `joined` are those who are in it and let in from now on, `left` those who aren't any more:
        their servers stop, for they hold the class's files open. Returns when all is in line, or
        after a moment, and then the rest is done later. Groups that are no classes have no files.
        """
        if self._classes.find(group) is None:
            return
        await self._stop_servers(list(left))
        self._due.setdefault(group, set()).update(joined)
        settled = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(group, []).append(settled)
        self._wake.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(_WAIT_SECONDS):
                await settled

    def due(self, groups: Iterable[str]) -> None:
        """Bring these in line soon: somebody isn't in them any more who has no servers left."""
        for group in groups:
            self._due.setdefault(group, set())
        self._wake.set()

    async def run(self) -> None:
        """Bring all classes in line once, then those that changed or failed, for ever."""
        for one in self._classes.list_all():
            self._due.setdefault(one.name, set())
        while True:
            self._wake.clear()
            for group in list(self._due):
                await self._settle(group)
            with suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_SECONDS):
                    await self._wake.wait()

    async def _settle(self, group: str) -> None:
        joined = self._due.pop(group, set())
        waiting = self._waiting.pop(group, [])
        try:
            if self._classes.find(group) is not None:
                for settle in self._settlers:
                    await settle(group)
        except ApplianceError as err:
            log.warning("cannot bring the class %r in line yet: %s", group, err)
            self._due.setdefault(group, set()).update(joined)
        else:
            if joined:
                self._supervisor.run(f"welcoming to {group!r}", self._welcome(group, joined))
        finally:
            for one in waiting:
                if not one.done():
                    one.set_result(None)

    async def _welcome(self, group: str, joined: Iterable[Username]) -> None:
        for user in sorted(joined):
            for welcome in self._welcomers:
                try:
                    await welcome(user, group)
                except ApplianceError as err:
                    log.warning("cannot welcome %s to the class %r: %s", user, group, err)

    async def _stop_servers(self, users: list[Username]) -> None:
        for views in self._servers.used_of_users(users).values():
            for view in views:
                if view.active:
                    await self._servers.stop(view.server, wait=0.0)
