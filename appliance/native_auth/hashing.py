"""bcrypt in a few threads of low priority, behind a bounded queue.

One hash takes up to 100 ms of CPU. On the event loop it would stop every page; without a bound, a
flood of log-ins would keep everybody waiting for minutes. bcrypt releases the interpreter's lock.

When a class comes at once, its log-ins and the servers that they start want the same processors,
and the hub's share is five times the servers'. So one processor is left to servers, and who has
logged in first needn't wait for the last. A lecture hall waits in the queue and isn't refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import bcrypt

from appliance.errors import TooMany

MIN_COST: Final = 10
# bcrypt's own.
_LEAST_COST: Final = 4
MAX_COST: Final = 14
TARGET_SECONDS: Final = 0.1
# As long as people wait for an answer before they press the button again.
PATIENCE_SECONDS: Final = 30.0

T = TypeVar("T")


def calibrate() -> int:
    """The highest cost at which a hash takes this machine's CPU at most 100 ms; never under 10."""
    seconds = min(_time_of_one(MIN_COST) for _ in range(2))
    cost = MIN_COST
    while cost < MAX_COST and seconds * 2 <= TARGET_SECONDS:
        cost, seconds = cost + 1, seconds * 2
    return cost


def _time_of_one(cost: int) -> float:
    # The thread's own CPU time, so that a busy machine doesn't make hashes cheap.
    before = time.thread_time()
    bcrypt.hashpw(b"calibration", bcrypt.gensalt(cost))
    return time.thread_time() - before


class Hasher:
    """Hashes and checks passwords; raises TooMany when too many wait already."""

    def __init__(
        self, *, cost: int, workers: int | None = None, queue_length: int | None = None
    ) -> None:
        """By default one processor is left to others, and the queue is as long as people wait."""
        self.cost = cost
        self._workers = workers or max(1, (os.cpu_count() or 1) - 1)
        self._queue_length = queue_length or round(
            PATIENCE_SECONDS / TARGET_SECONDS * self._workers
        )
        self._waiting = 0
        self._pool = ThreadPoolExecutor(
            self._workers, thread_name_prefix="bcrypt", initializer=_lower_priority
        )

    async def hash(self, password: bytes, *, cost: int | None = None) -> str:
        salt = bcrypt.gensalt(cost or self.cost)
        return await self._run(lambda: bcrypt.hashpw(password, salt).decode())

    async def check(self, password: bytes, hashed: str | None) -> bool:
        """Whether it is the password; if not, the same work is done whatever the hash, or none."""
        known = hashed is not None
        target = (hashed or self._nobody()).encode()
        return await self._run(lambda: self._check(password, target)) and known

    def _check(self, password: bytes, target: bytes) -> bool:
        if bcrypt.checkpw(password, target):
            return True
        # Generated passwords have cheap hashes, and time would tell whose they are. Each cost is
        # twice the one before, so all from the hash's up to today's make the difference.
        for cost in range(max(_cost_of(target.decode()), _LEAST_COST), self.cost):
            bcrypt.hashpw(password, f"$2b${cost:02}$".encode() + b"." * 22)
        return False

    def is_outdated(self, hashed: str) -> bool:
        """Whether the hash was made at a lower cost than today's."""
        return _cost_of(hashed) < self.cost

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _nobody(self) -> str:
        """A well-formed hash that no password has."""
        return f"$2b${self.cost:02}$" + "." * 22 + "/" * 31

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= self._queue_length:
            seconds = round(self._waiting * TARGET_SECONDS / self._workers) + 1
            raise TooMany(
                "cannot check a password now",
                why="too many people are logging in at this moment",
                mend=f"try again in {seconds} seconds",
                retry_after_seconds=seconds,
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1


def _cost_of(hashed: str) -> int:
    """The cost of a hash; 0 if it is none of bcrypt's."""
    cost = hashed.split("$")[2] if hashed.count("$") >= 3 else "0"
    return int(cost) if cost.isdecimal() else 0


def _lower_priority() -> None:
    # On Linux a thread has its own nice value (nice(2), NOTES): pages go before hashes.
    with contextlib.suppress(OSError):  # a sandbox may forbid it
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
