"""CPU seconds and memory of processes, read from cgroups and /proc of the host.

CPU is counted for cgroups where possible: processes that ended are in the sum. Memory is PSS
(shared pages are divided among those who share them) and private memory, both from smaps_rollup; a
sum of resident sizes would count shared libraries again for every process.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")


def cgroup_cpu_seconds(cgroup: Path) -> float:
    """CPU seconds, user and system, of everything that ran in the cgroup and below it."""
    for line in (cgroup / "cpu.stat").read_text().splitlines():
        name, value = line.split()
        if name == "usage_usec":
            return int(value) / 1e6
    raise ValueError(f"no usage_usec in {cgroup}/cpu.stat")


def processes_in(cgroup: Path) -> list[int]:
    """Processes, by the host's numbers, in the cgroup and below it."""
    found: list[int] = []
    for path in cgroup.rglob("cgroup.procs"):
        with contextlib.suppress(OSError):
            found += [int(word) for word in path.read_text().split()]
    return found


def process_cpu_seconds(pid: int) -> float:
    """CPU seconds of one living process, in steps of a clock tick."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def command_line(pid: int) -> str:
    """The command line of a process, or nothing if it has just ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
    return ""


def parent_of(pid: int) -> int:
    """The parent of a living process, by the host's numbers."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def number_inside(pid: int) -> int:
    """The number that a living process has in the machine it runs in."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    raise ValueError(f"no NSpid in /proc/{pid}/status")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of some processes together."""

    pss: int
    private: int
    anonymous: int = 0
    """The part of PSS that is in no file and so can't be dropped."""

    def __add__(self, other: Memory) -> Memory:
        return Memory(
            self.pss + other.pss,
            self.private + other.private,
            self.anonymous + other.anonymous,
        )


def memory_of(pids: list[int]) -> Memory:
    """Memory of the processes together; one that has just ended counts nothing."""
    total = Memory(0, 0)
    for pid in pids:
        with contextlib.suppress(OSError):
            total += parse_smaps_rollup(Path(f"/proc/{pid}/smaps_rollup").read_text())
    return total


def parse_smaps_rollup(text: str) -> Memory:
    """PSS and private bytes of one process; proc(5) gives them in kB of 1024."""
    kilobytes: dict[str, int] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if rest.endswith("kB"):
            kilobytes[name] = int(rest.split()[0])
    private = kilobytes.get("Private_Clean", 0) + kilobytes.get("Private_Dirty", 0)
    return Memory(
        pss=kilobytes.get("Pss", 0) * 1024,
        private=private * 1024,
        anonymous=kilobytes.get("Pss_Anon", 0) * 1024,
    )
