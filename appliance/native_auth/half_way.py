"""What is begun and not finished: a log-in that waits for its second step, a passkey's challenge.

It waits in memory, for minutes, under a key that nobody can guess, and is taken out by using it. It
is no session: who holds such a key can do nothing but go on with what was begun.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from appliance.clock import Clock

LIFETIME_SECONDS: Final = 300.0
_MOST: Final = 5000
# A school behind one address comes at once; a stranger must not push everybody else's out.
_MOST_OF_ONE: Final = 500
_LONGEST_KEY: Final = 100

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T]):
    thing: T
    owner: str
    until: float


class HalfWay(Generic[T]):
    """Keeps things for a while, each for one use; the oldest go when there are too many."""

    def __init__(self, *, clock: Clock, lifetime_seconds: float = LIFETIME_SECONDS) -> None:
        self._clock = clock
        self._lifetime = lifetime_seconds
        self._waiting: dict[str, _Waiting[T]] = {}

    def put(self, thing: T, *, owner: str) -> str:
        """Keep it; returns its key. `owner` is whose room it takes: a user or a network."""
        self._forget_old()
        own = [key for key, one in self._waiting.items() if one.owner == owner]
        for key in own[: max(0, len(own) - _MOST_OF_ONE + 1)]:
            del self._waiting[key]
        while len(self._waiting) >= _MOST:
            del self._waiting[next(iter(self._waiting))]
        key = secrets.token_urlsafe(32)
        self._waiting[key] = _Waiting(thing, owner, self._clock.monotonic() + self._lifetime)
        return key

    def find(self, key: str) -> T | None:
        """What is kept under the key, if it is still; it stays."""
        one = self._waiting.get(key) if 0 < len(key) <= _LONGEST_KEY else None
        if one is None or one.until <= self._clock.monotonic():
            return None
        return one.thing

    def take(self, key: str) -> T | None:
        """The same, and nobody gets it a second time."""
        found = self.find(key)
        self._waiting.pop(key, None)
        return found

    def forget(self, is_meant: Callable[[T], bool]) -> None:
        """Drop all that is meant."""
        self._waiting = {k: one for k, one in self._waiting.items() if not is_meant(one.thing)}

    def _forget_old(self) -> None:
        now = self._clock.monotonic()
        # In the order in which they came, so the old ones are in front.
        for key in [key for key, one in self._waiting.items() if one.until <= now]:
            del self._waiting[key]
