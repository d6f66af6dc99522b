"""Requests that pages repeat by themselves, which are no use of the server.

As long as their page can be seen, JupyterLab and Notebook ask every ten seconds for kernels,
sessions, terminals and the open folder, and save the same layout again; extensions ask for more.
jupyter_server takes each for use.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

REPEATED_SECONDS: Final = 600.0
"""Longer than the longest pause between two such requests: five minutes, after errors."""
_KEPT: Final = 500


class Polls:
    """Knows which requests were made before."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._made: dict[int, float] = {}
        """When each was made last, in seconds; the longest ago first."""

    def look_at(self, handler: Any) -> None:
        """Tell jupyter_server that this request is no use, if it does nothing that another did not.

        `_track_activity` is what its own handlers set that are none.
        """
        request = handler.request
        if request.method in {"GET", "HEAD"}:
            # The query has the time, so that nothing is answered from a cache.
            key = hash(request.path)
        elif request.method == "PUT":
            key = hash((request.path, request.body))
        else:
            return
        if self._is_repeated(key):
            handler._track_activity = False  # noqa: SLF001

    def _is_repeated(self, key: int) -> bool:
        now = self._monotonic()
        before = self._made.pop(key, None)
        self._made[key] = now
        if len(self._made) > _KEPT:
            del self._made[next(iter(self._made))]
        return before is not None and now - before < REPEATED_SECONDS
