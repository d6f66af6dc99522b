"""Telling who watches that a server has ended; what nobody heard waits for the next one."""

from __future__ import annotations

import queue
import threading
from collections import deque
from contextlib import suppress
from typing import Any, Final

Event = dict[str, Any]
Watcher = queue.SimpleQueue[Event]

_UNTOLD_MAX: Final = 1000


class Ends:
    """Events to every watcher; the hub is the only one in practice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watchers: list[Watcher] = []
        self._untold: deque[Event] = deque(maxlen=_UNTOLD_MAX)

    def subscribe(self) -> Watcher:
        """A queue of ends from now on, and of those that nobody was there to hear."""
        watcher: Watcher = queue.SimpleQueue()
        with self._lock:
            while self._untold:
                watcher.put(self._untold.popleft())
            self._watchers.append(watcher)
        return watcher

    def unsubscribe(self, watcher: Watcher) -> None:
        """Put nothing there any more; what it didn't take is kept if nobody else has heard it."""
        with self._lock:
            self._watchers.remove(watcher)
            if not self._watchers:
                with suppress(queue.Empty):
                    while True:
                        self._untold.append(watcher.get_nowait())

    def publish(self, event: Event) -> None:
        """Tell everybody who watches, or keep it."""
        with self._lock:
            for watcher in self._watchers:
                watcher.put(event)
            if not self._watchers:
                self._untold.append(event)
