"""What a process and its children use, from /proc (proc(5))."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums; memory shared by several of the processes counts several times."""

    memory_bytes: int = 0
    cpu_seconds: float = 0.0
    tasks: int = 0


def read_usage(pid: int) -> Usage:
    """What the process and all below it use; what ends meanwhile counts nothing."""
    memory = ticks = tasks = 0
    for process in _family(pid):
        try:
            # After the name in brackets, which may hold anything.
            stat = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            continue
        memory += pages * os.sysconf("SC_PAGE_SIZE")
        ticks += int(stat[11]) + int(stat[12])
        tasks += int(stat[17])
    return Usage(memory, ticks / os.sysconf("SC_CLK_TCK"), tasks)


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        children = [child for thread in threads for child in _children(thread)]
    except OSError:
        return
    for child in children:
        yield from _family(child)


def _children(thread: Path) -> list[int]:
    try:
        return [int(word) for word in (thread / "children").read_text().split()]
    except (OSError, ValueError):
        return []
