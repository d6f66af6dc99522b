"""Whether the machine is short of memory, as the kernel tells by pressure stall information.

Processors that are busy are no reason to hold starts back: servers share them fairly, and a class
would only wait longer. Memory is: each start that is added makes all of them slower.

The figures are read at the root of the control groups; /proc is hidden from the hub.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

PRESSURE: Final = Path("/sys/fs/cgroup/memory.pressure")
# Of the time since the last look, in which everything that could run waited for memory.
SHARE: Final = 0.1
_LOOK_SECONDS: Final = 0.5
_FULL: Final = re.compile(r"^full .*\btotal=(\d+)", re.MULTILINE)


class MemoryStrain:
    """Looks at most twice a second; a machine that tells nothing counts as unstrained."""

    def __init__(
        self, path: Path = PRESSURE, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._monotonic = monotonic
        self._looked = monotonic()
        self._stalled = self._read()
        self._is_strained = False

    def __call__(self) -> bool:
        now = self._monotonic()
        passed = now - self._looked
        if passed >= _LOOK_SECONDS:
            stalled = self._read()
            self._is_strained = stalled - self._stalled >= SHARE * passed
            self._looked, self._stalled = now, stalled
        return self._is_strained

    def _read(self) -> float:
        """Seconds for which everything has waited for memory since the machine was started."""
        try:
            found = _FULL.search(self._path.read_text())
        except OSError:
            return 0.0
        return int(found[1]) / 1e6 if found else 0.0
