"""What this server uses of memory and processor: read from its own control group, for its pages.

Reading costs four small files. Where there is no control group of its own (a trial, an old layout
of cgroups), there is nothing to say, and pages show nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

NEAR: Final = 0.8
FULL: Final = 0.95
_ROOT: Final = Path("/sys/fs/cgroup")
_UNIT: Final = "appliance-user-"


@dataclass(frozen=True, slots=True)
class Item:
    """Something that there is a limited amount of."""

    key: str
    """memory, cpu or disk."""
    used: float
    limit: float | None
    unit: str
    """bytes or cores."""

    @property
    def state(self) -> str:
        """ok, near its limit, or full."""
        part = self.used / self.limit if self.limit else 0.0
        return "full" if part >= FULL else "near" if part >= NEAR else "ok"

    def model(self) -> dict[str, Any]:
        return {**asdict(self), "state": self.state}


class ControlGroup:
    """The server's own control group; cgroups(7)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._before: tuple[float, float] | None = None

    @classmethod
    def own(cls, own: Path = Path("/proc/self/cgroup"), root: Path = _ROOT) -> ControlGroup | None:
        """That of this process, if it is the unit of a server and memory is counted in it."""
        try:
            lines = own.read_text().splitlines()
        except OSError:
            return None
        path = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "")
        folder = root / path.lstrip("/")
        is_ours = any(part.startswith(_UNIT) for part in folder.parts)
        return cls(folder) if is_ours and (folder / "memory.current").is_file() else None

    def memory(self) -> Item | None:
        """What can't be given back. The cache of files can, so it isn't counted."""
        used = _number(self.folder / "memory.current")
        if used is None:
            return None
        cache = _fields(self.folder / "memory.stat").get("inactive_file", 0)
        return Item("memory", max(0, used - cache), _number(self.folder / "memory.max"), "bytes")

    def processor(self) -> Item | None:
        """Cores in use on the average since the last look; nothing at the first."""
        spent, now = _fields(self.folder / "cpu.stat").get("usage_usec"), time.monotonic()
        if spent is None:
            return None
        before, self._before = self._before, (now, spent / 1e6)
        if before is None or now <= before[0]:
            return None
        cores = max(0.0, (spent / 1e6 - before[1]) / (now - before[0]))
        return Item("cpu", round(cores, 2), self._cores(), "cores")

    def _cores(self) -> float:
        """The limit, or all that the machine has."""
        quota, _, period = _text(self.folder / "cpu.max").partition(" ")
        if quota.isdecimal() and period.isdecimal():
            return int(quota) / int(period)
        return float(os.cpu_count() or 1)

    def memory_events(self) -> dict[str, int]:
        """How often memory ran out, since the server was started."""
        return _fields(self.folder / "memory.events")


class Usage:
    """All that there is to show. `sources` may be added to: each says one thing, or nothing."""

    def __init__(self, group: ControlGroup | None) -> None:
        self.sources: list[Callable[[], Item | None]] = []
        if group is not None:
            self.sources += [group.memory, group.processor]

    def items(self) -> list[Item]:
        return [item for source in self.sources if (item := source()) is not None]


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    """The number in a file; None for "max", which is no limit."""
    text = _text(path)
    return int(text) if text.isdecimal() else None


def _fields(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in _text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}
