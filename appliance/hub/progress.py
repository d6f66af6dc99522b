"""What people see while a server starts: events, kept for any number of readers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from html import escape
from typing import Any

from appliance.hub.server_rows import FailureNote, ServerView
from appliance.texts import say

Event = dict[str, Any]


class Progress:
    """The events of one start; late readers get them from the beginning, leaving harms nobody."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._changed = asyncio.Event()
        self._closed = False

    def tell(self, percent: int, message: str, **more: Any) -> None:
        """Add an event; the last of several about the place in the queue is enough."""
        event = {"progress": percent, "message": message, **more}
        if self._closed or (self._events and self._events[-1] == event):
            return
        self._events.append(event)
        self._wake()

    def tell_place(self, place: int) -> None:
        # In the words of spawn_pending.html, whose first line this replaces.
        next_one = say("Waiting in line: next to start")
        told = next_one if place == 1 else say("Waiting in line: number {place}", place=place)
        self.tell(5, told, queue_position=place)

    def close(self, message: str, **more: Any) -> None:
        """Add the last event and let readers go."""
        self.tell(100, message, **more)
        self._closed = True
        self._wake()

    @property
    def is_closed(self) -> bool:
        return self._closed

    async def events(self) -> AsyncIterator[Event]:
        index = 0
        while True:
            while index < len(self._events):
                yield self._events[index]
                index += 1
            if self._closed:
                return
            await self._changed.wait()

    def _wake(self) -> None:
        # Whoever waits has the old object; the next wait gets a new one.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def ready_event(view: ServerView) -> Event:
    link = f'<a href="{escape(view.url)}">{escape(view.url)}</a>'
    return {
        "message": say("Server ready at {address}", address=view.url),
        "html_message": f"Server ready at {link}",
        "ready": True,
        "url": view.url,
    }


def failed_event(note: FailureNote) -> Event:
    message = f"{note.what}: {note.why}" if note.why else note.what
    return {"message": message, "failed": True, "mend": note.mend}


async def only_event(event: Event) -> AsyncIterator[Event]:
    """For who comes when the start is over."""
    yield {"progress": 100, **event}
