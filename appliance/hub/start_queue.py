"""A few servers start at a time, the others wait in line and see their place.

Twenty imports of JupyterLab at once on two cores make everybody wait for the last one; one after
the other, the first is there early and nobody is later.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from appliance.names import ServerId


@dataclass(slots=True, eq=False)
class _Place:
    server: ServerId
    told: Callable[[int], None]
    turn: asyncio.Event = field(default_factory=asyncio.Event)


class StartQueue:
    """First come, first served, at most `at_once` at a time."""

    def __init__(self, *, at_once: int | None = None) -> None:
        self._free = at_once or 2 * (os.cpu_count() or 1)
        self._line: deque[_Place] = deque()

    def __len__(self) -> int:
        """How many wait in line."""
        return len(self._line)

    def position(self, server: ServerId) -> int | None:
        """The server's place in line, from 1; None if it isn't waiting."""
        for index, place in enumerate(self._line, start=1):
            if place.server == server:
                return index
        return None

    @asynccontextmanager
    async def turn(self, server: ServerId, told: Callable[[int], None]) -> AsyncIterator[None]:
        """Wait for a turn, hearing of one's place in line whenever it changes."""
        await self._take(server, told)
        try:
            yield
        finally:
            self._free += 1
            self._serve()

    async def _take(self, server: ServerId, told: Callable[[int], None]) -> None:
        if self._free > 0 and not self._line:
            self._free -= 1
            return
        place = _Place(server, told)
        self._line.append(place)
        told(len(self._line))
        try:
            await place.turn.wait()
        except asyncio.CancelledError:
            if place in self._line:
                self._line.remove(place)
                self._tell_all()
            else:  # its turn came while it was leaving
                self._free += 1
                self._serve()
            raise

    def _serve(self) -> None:
        served = False
        while self._free > 0 and self._line:
            self._free -= 1
            self._line.popleft().turn.set()
            served = True
        if served:
            self._tell_all()

    def _tell_all(self) -> None:
        for index, place in enumerate(self._line, start=1):
            place.told(index)
