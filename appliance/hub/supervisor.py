"""The one place that makes background tasks: they have names, are kept, and their end is logged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Final

from appliance.errors import ApplianceError

log = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0


class Supervisor:
    """Runs tasks, starts loops again that fail, and ends all at shutdown."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, name: str, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run something once; a failure is logged, nobody needs to wait for it."""
        task = asyncio.get_running_loop().create_task(self._logged(name, work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A task that is cancelled before it began has not touched its work.
        task.add_done_callback(lambda _: work.close())
        return task

    def keep_running(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run something for ever: when it ends or fails, again after a pause that grows."""
        self.run(name, self._loop(name, work))

    async def close(self) -> None:
        """Cancel everything and wait for it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _loop(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE
        while True:
            began = loop.time()
            await self._logged(name, work())
            if loop.time() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    @staticmethod
    async def _logged(name: str, work: Awaitable[None]) -> None:
        try:
            await work
        except ApplianceError as err:
            log.warning("%s: %s", name, err)
        except Exception:  # an edge: what arrives here is a bug, and the hub goes on
            log.exception("%s: failed by a bug", name)
