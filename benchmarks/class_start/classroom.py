"""All students at once, in one asynchronous driver outside of the machine, and what they saw."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from benchmarks.class_start.connection import Host
from benchmarks.class_start.sequence import Sequence as LabSequence
from benchmarks.class_start.student import Student, Times
from benchmarks.figures import percentile
from benchmarks.side import Side
from benchmarks.visitor import VisitError

_SECONDS: Final = 600
STEPS: Final = ("server", "page", "lab", "kernel", "output")


@dataclass(frozen=True, slots=True)
class Cell:
    """What everybody runs first, and a part of what it prints."""

    code: str
    expected: str

    @classmethod
    def of(cls, packages: Sequence[str]) -> Cell:
        """Import what a class imports, and use it."""
        imports = "".join(f"import {name}\n" for name in packages if name != "pandas")
        if "pandas" in packages:
            imports += "import pandas as pd\n"
            return cls(f"{imports}print(pd.Series(range(100)).sum())", "4950")
        return cls(f"{imports}print(sum(range(100)))", "4950")


@dataclass(frozen=True, slots=True)
class Visits:
    """A class that came through: seconds from the start of the class, by student."""

    times: list[Times]
    started: float
    driver_cpu: float
    requests: int
    received: int
    surprises: Counter[str]

    def reached(self, step: str) -> list[float]:
        """When each student got so far, since everybody began."""
        return [getattr(times, step) - self.started for times in self.times]

    def waited(self, step: str) -> list[float]:
        """The same, since each one's log-in button was pressed."""
        return [getattr(times, step) - times.pressed for times in self.times]

    def spread(self, prefix: str, step: str) -> dict[str, float]:
        """The median, the 95th percentile and the last of a step, by row key."""
        values = self.waited(step)
        return {
            f"{prefix}_{step}_p50": percentile(values, 0.5),
            f"{prefix}_{step}_p95": percentile(values, 0.95),
            f"{prefix}_{step}_last": max(values),
        }

    def remarks(self) -> str:
        """What the driver did, and answers that weren't as recorded."""
        count = len(self.times)
        surprises = ", ".join(f"{text} ({number})" for text, number in self.surprises.most_common())
        return (
            f"each student {self.requests / count:.0f} requests and"
            f" {self.received / count / 1e6:.1f} MB; the driver {self.driver_cpu:.1f} CPU s in all;"
            f" other answers than recorded: {surprises or 'none'}"
        )


def visit_at_once(side: Side, users: Sequence[str], lab: LabSequence, cell: Cell) -> Visits:
    """Everybody opens the log-in page at the same moment; returns when all have their output."""
    return asyncio.run(_visit_at_once(side, users, lab, cell))


async def _visit_at_once(side: Side, users: Sequence[str], lab: LabSequence, cell: Cell) -> Visits:
    parts = urlsplit(side.address)
    address = (str(parts.hostname), int(parts.port or 80))
    students = [Student(user, Host(address), lab, cell.code, cell.expected) for user in users]
    started, cpu = time.monotonic(), time.process_time()
    try:
        async with asyncio.timeout(_SECONDS):
            done = await asyncio.gather(
                *(student.visit() for student in students), return_exceptions=True
            )
    except TimeoutError:
        raise VisitError(f"{side.name}: the class isn't through after {_SECONDS} s") from None
    finally:
        for student in students:
            student.close()
    failures = [result for result in done if isinstance(result, BaseException)]
    if failures:
        raise VisitError(
            f"{side.name}: {len(failures)} of {len(users)} students failed: {failures[0]!r}"
        ) from failures[0]
    return Visits(
        times=[student.times for student in students],
        started=started,
        driver_cpu=time.process_time() - cpu,
        requests=sum(student.host.requests for student in students),
        received=sum(student.host.received for student in students),
        surprises=sum((student.surprises for student in students), Counter()),
    )
