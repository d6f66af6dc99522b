"""Prometheus' text format, and the two instruments that need a memory: counters and histograms.

The official client library costs each start of the hub 30 ms and 3 MB, which is more than these
lines. Labels come from fixed sets only (a class, a status, a state): each new value is a new time
series for ever, so never a path and never anybody's name.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
# Those of the official library, so that dashboards made for them fit.
BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)

Values = tuple[str, ...]


@dataclass(slots=True)
class Counter:
    """Something that is counted, from the start of the program on."""

    name: str
    help: str
    labels: Values = ()
    counts: dict[Values, float] = field(default_factory=dict)

    def add(self, *values: str, amount: float = 1.0) -> None:
        self.counts[values] = self.counts.get(values, 0.0) + amount

    def lines(self) -> Iterator[str]:
        pairs = ((dict(zip(self.labels, key, strict=True)), n) for key, n in self.counts.items())
        return family(self.name, "counter", self.help, pairs)


@dataclass(slots=True)
class _Observed:
    buckets: list[int]
    sum: float = 0.0


@dataclass(slots=True)
class Histogram:
    """Durations, as numbers of those that took at most so and so many seconds."""

    name: str
    help: str
    labels: Values = ()
    buckets: Sequence[float] = BUCKETS
    observed: dict[Values, _Observed] = field(default_factory=dict)

    def expect(self, *values: str) -> _Observed:
        """Show these labels, even while nothing has been observed with them."""
        return self.observed.setdefault(values, _Observed([0] * (len(self.buckets) + 1)))

    def observe(self, seconds: float, *values: str) -> None:
        found = self.observed.get(values) or self.expect(*values)
        found.buckets[bisect_left(self.buckets, seconds)] += 1
        found.sum += seconds

    def lines(self) -> Iterator[str]:
        yield from _head(self.name, "histogram", self.help)
        for values, found in self.observed.items():
            labels = dict(zip(self.labels, values, strict=True))
            total = 0
            for bound, count in zip((*self.buckets, float("inf")), found.buckets, strict=True):
                total += count
                yield _sample(f"{self.name}_bucket", {**labels, "le": _number(bound)}, total)
            yield _sample(f"{self.name}_sum", labels, found.sum)
            yield _sample(f"{self.name}_count", labels, total)


def family(
    name: str, kind: str, help_: str, samples: Iterable[tuple[Mapping[str, str], float]]
) -> Iterator[str]:
    """The lines of a metric whose values are known at this moment."""
    yield from _head(name, kind, help_)
    for labels, value in samples:
        yield _sample(name, labels, value)


def _head(name: str, kind: str, help_: str) -> Iterator[str]:
    escaped = help_.replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {name} {escaped}\n"
    yield f"# TYPE {name} {kind}\n"


def _sample(name: str, labels: Mapping[str, str], value: float) -> str:
    if not labels:
        return f"{name} {_number(value)}\n"
    pairs = ",".join(f'{label}="{_escape(text)}"' for label, text in labels.items())
    return f"{name}{{{pairs}}} {_number(value)}\n"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return "+Inf" if value == float("inf") else repr(float(value))
