"""What processes are and do, from /proc (proc(5))."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

LISTEN = "0A"


def family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            found += family(int(child))
    return found


def children(pid: int) -> dict[int, str]:
    """The processes that it started, with their titles; one that ends meanwhile is left out."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found[int(child)] = " ".join(command_line(int(child)))
    return found


def command_line(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")


def environment(pid: int) -> dict[str, str]:
    words = Path(f"/proc/{pid}/environ").read_text().rstrip("\0").split("\0")
    return dict(word.split("=", 1) for word in words if "=" in word)


def cpu_seconds(pid: int) -> float:
    """Of the process alone, since its start."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int, name: str) -> float:
    """What smaps_rollup has below the names that begin so, such as "Pss:" or "Private_"."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return sum(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def wait_until_gone(pids: list[int]) -> None:
    """For ever, so give it a timeout."""
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        time.sleep(0.1)


def listens_on_tcp(pid: int) -> list[str]:
    """The addresses, as the kernel writes them, at which a process waits for connections."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(str(descriptor.readlink()))
        except OSError:
            continue
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        if os.path.exists(f"/proc/{pid}/net/{table}")  # noqa: PTH110
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    return [row[1] for row in rows if row[3] == LISTEN and f"socket:[{row[9]}]" in inodes]
