"""The rows of the table: what each figure is called, its unit, and which way is better.

A round measures each figure once for each side, one side right after the other. The ratio of a row
is the median of the rounds' ratios, so that a load of the host that lasts longer than a round
cancels out.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of the table."""

    key: str
    title: str
    unit: str
    more_is_better: bool = False


ROWS: Final = (
    Row("install_wall", "install, warm caches, to the health page", "s"),
    Row("install_cpu", "install, CPU", "CPU s"),
    Row("cold_wall", "cold start of everything, to the health page", "s"),
    Row("cold_cpu", "cold start of everything, CPU", "CPU s"),
    Row("cold_hub_cpu", "cold start, the hub's process alone, CPU", "CPU s"),
    Row("idle_pss", "idle memory of all that isn't a user's, PSS", "MB"),
    Row("idle_hub_pss", "of that, the hub's process", "MB"),
    Row("idle_proxy_pss", "of that, the proxy", "MB"),
    Row("login_rate", "log-ins per second, 10 in parallel", "1/s", more_is_better=True),
    Row("page_median", "log-in page meanwhile, median", "ms"),
    Row("page_p99", "log-in page meanwhile, p99", "ms"),
    Row("spawn_wall", "one spawn, to the server's answer", "s"),
    Row("spawn_cpu", "one spawn, CPU of everything", "CPU s"),
    Row("spawn_server_cpu", "of that, the server's unit", "CPU s"),
    Row("lab_wall", "then JupyterLab's page, signed in by OAuth", "s"),
    Row("lab_cpu", "one spawn and JupyterLab's page, CPU of everything", "CPU s"),
    Row("class_wall", "10 spawns at once, to the last one's answer", "s"),
    Row("class_median", "10 spawns at once, the median one", "s"),
    Row("class_cpu", "10 spawns at once, CPU of everything", "CPU s"),
    Row("server_private", "idle server, private memory", "MB"),
    Row("server_pss", "idle server, PSS", "MB"),
    Row(
        "proxy_server",
        "requests to a server per CPU second of the proxy",
        "1/s",
        more_is_better=True,
    ),
    Row(
        "proxy_static",
        "requests for a hub's file per CPU second of the proxy",
        "1/s",
        more_is_better=True,
    ),
    Row("all_static", "same, per CPU second of proxy and hub", "1/s", more_is_better=True),
    Row("users_create_cpu", "1,000 users made in one API request, the hub's CPU", "CPU s"),
    Row("users_create_page", "log-in page meanwhile, slowest", "ms"),
    Row("users_page_cpu", "a page of 50 of 10,000 users, the hub's CPU", "CPU ms"),
    Row("users_hub_pss", "the hub's process after listing them all, PSS", "MB"),
)


@dataclass(slots=True)
class Figures:
    """All measured values of all rounds, by row and side."""

    rows: tuple[Row, ...] = ROWS
    values: dict[str, dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )

    def add(self, side: str, measured: dict[str, float]) -> None:
        """Add one round's figures of one side; an unknown key is a mistake in a workload."""
        known = {row.key for row in self.rows}
        for key, value in measured.items():
            if key not in known:
                raise KeyError(key)
            self.values[key][side].append(value)

    def median(self, row: Row, side: str) -> float | None:
        """The median of the rounds, or None if the row wasn't measured for the side."""
        found = self.values[row.key][side]
        return statistics.median(found) if found else None

    def times_better(self, row: Row, side: str = "ours") -> float | None:
        """How many times better ours is: the median over rounds; below 1 the peer is better."""
        pairs = zip(self.values[row.key]["peer"], self.values[row.key][side], strict=False)
        ratios = [o / p if row.more_is_better else p / o for p, o in pairs if p > 0 and o > 0]
        return statistics.median(ratios) if ratios else None


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of the values don't exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
