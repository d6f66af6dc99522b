"""A few servers start at a time, the others wait in line and see their place.

Twenty imports of JupyterLab at once on two cores make everybody wait for the last one; one after
the other, the first is there early and nobody is later. Two for each core keep the cores busy
whatever a start costs: one computes while the other waits for systemd, the disk or a lock.

Who asks for many servers, as an admin does for a class, stands in line with each as often: the
first is where anybody's would be, the second behind all first ones, those who come later included.
So a batch keeps no student waiting, and a place never moves back for who asked for one server.
"""

from __future__ import annotations

import asyncio
import os
from bisect import insort
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from appliance import audit
from appliance.hub.strain import MemoryStrain
from appliance.names import ServerId


@dataclass(slots=True, eq=False)
class _Place:
    server: ServerId
    asker: str
    before: int
    """How many starts of the same asker were under way when it lined up."""
    number: int
    told: Callable[[int], None]
    heard: int = 0
    """The place that was told last."""
    turn: asyncio.Event = field(default_factory=asyncio.Event)

    def __lt__(self, other: _Place) -> bool:
        return (self.before, self.number) < (other.before, other.number)


def fitted() -> int:
    """How many starts at once fit this machine."""
    return 2 * (os.cpu_count() or 1)


class StartQueue:
    """At most `at_once` at a time, and one while memory is short; None: as many as fit."""

    def __init__(
        self, *, at_once: int | None = None, is_strained: Callable[[], bool] | None = None
    ) -> None:
        self._at_once = at_once or fitted()
        self._is_strained = is_strained or MemoryStrain()
        self._line: list[_Place] = []
        self._starting: Counter[str] = Counter()
        self._numbers = 0

    def __len__(self) -> int:
        """How many wait in line."""
        return len(self._line)

    @property
    def starting(self) -> int:
        """How many have their turn now."""
        return self._starting.total()

    def position(self, server: ServerId) -> int | None:
        """The server's place in line, from 1; None if it isn't waiting."""
        for index, place in enumerate(self._line, start=1):
            if place.server == server:
                return index
        return None

    @asynccontextmanager
    async def turn(
        self, server: ServerId, told: Callable[[int], None], *, asker: str = ""
    ) -> AsyncIterator[None]:
        """Wait for a turn, hearing of one's place in line whenever it changes.

        `asker` is who wants the server, by default its user.
        """
        asker = asker or server.user
        place = self._line_up(server, asker, told)
        try:
            await place.turn.wait()
        except asyncio.CancelledError:
            self._leave(place)
            raise
        try:
            yield
        finally:
            self._end(place)

    def move_up(self, server: ServerId, asker: str) -> None:
        """Somebody else wants it too, and may have a better place for it."""
        found = next((place for place in self._line if place.server == server), None)
        before = self._starts_of(asker)
        if found and found.asker != asker and before < found.before:
            self._line.remove(found)
            found.asker, found.before, found.number = asker, before, self._next_number()
            insort(self._line, found)
            self._serve()

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _starts_of(self, asker: str) -> int:
        return self._starting[asker] + sum(place.asker == asker for place in self._line)

    def _line_up(self, server: ServerId, asker: str, told: Callable[[int], None]) -> _Place:
        place = _Place(server, asker, self._starts_of(asker), self._next_number(), told)
        insort(self._line, place)
        self._serve()
        return place

    def _leave(self, place: _Place) -> None:
        if place.turn.is_set():  # it came while its owner was leaving
            self._end(place)
        else:
            self._line.remove(place)
            self._serve()

    def _end(self, place: _Place) -> None:
        self._starting[place.asker] -= 1
        self._starting += Counter()  # without those who have none any more
        self._serve()

    def _serve(self) -> None:
        """Let in whoever may start now, and tell the others their places."""
        while self._line and self.starting < self._room():
            place = self._line.pop(0)
            self._starting[place.asker] += 1
            place.turn.set()
        for index, place in enumerate(self._line, start=1):
            if place.heard != index:
                place.heard = index
                place.told(index)

    def _room(self) -> int:
        # One always may, or nobody would look again when memory is there.
        return 1 if self.starting and self._is_strained() else self._at_once


def who_asks(server: ServerId) -> str:
    """Whose start it is in the line: of who sent the request, else of the server's user."""
    actor = audit.who_asks()
    if actor is None:
        return server.user
    return actor.name if actor.kind == "user" else f"{actor.kind} {actor.name}"
