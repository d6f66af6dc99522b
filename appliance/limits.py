"""What each server may use: from the configuration, from what was set on pages, from the machine.

One set of rules for everybody who needs them: the root daemon, which puts limits on servers; the
hub, which shows them; the command line. The standard library is enough, so that root's daemon can
load it.

The order, for each limit by itself: the user's own; the largest of the user's groups'; the one that
everybody has. At the same place, what was set on a page goes before the configuration, and never
beyond what `page_limits` allows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

Number = int | float
Numbers = Mapping[str, Number]

NAMES: Final = (
    "memory", "cpu", "tasks", "run_time", "swap", "cpu_weight", "io_weight", "memory_guarantee",
)  # fmt: skip
ON_PAGES: Final = ("memory", "cpu", "tasks")
"""What may be set on pages and by the API."""

MIB: Final = 2**20
GIB: Final = 2**30
MEMORY_MIN: Final = 128 * MIB
"""A server alone needs about 100 MB: below this none would ever start."""
MEMORY_MOST: Final = 2**50
TASKS_MIN: Final = 32
TASKS_MOST: Final = 100_000
CORES_MOST: Final = 1024

SERVERS_PART: Final = 0.85
"""Of the machine's memory, for all servers together: MemoryMax of appliance-users.slice."""
_OVERCOMMIT: Final = 3
# With less, JupyterLab with one kernel and a table of data doesn't fit.
_COMFORTABLE: Final = 384 * MIB


@dataclass(frozen=True, slots=True)
class MachineSize:
    """What there is to share."""

    memory: int
    cores: int

    @classmethod
    def read(cls) -> Self:
        """This machine's; without /proc/meminfo, which the hub doesn't see."""
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return cls(memory, os.cpu_count() or 1)

    @property
    def for_servers(self) -> int:
        """The memory that all servers have together."""
        return int(self.memory * SERVERS_PART)


@dataclass(frozen=True, slots=True)
class Told:
    """What only the hub knows of a user: the groups, and what was set on pages."""

    groups: Mapping[str, Numbers] = field(default_factory=dict)
    """By the names of the user's groups, what each was given on a page."""
    limits: Numbers = field(default_factory=dict)
    """What the user was given on a page."""

    def model(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "groups": {name: dict(numbers) for name, numbers in self.groups.items()},
            "limits": dict(self.limits),
        }


@dataclass(frozen=True, slots=True)
class Source:
    """Where a limit comes from."""

    kind: str
    """user, group, default, or machine (what fits its size)."""
    name: str = ""
    """Of the user or the group."""
    on_page: bool = False

    @property
    def setting(self) -> str:
        """The group of settings that it stands in; empty for what isn't in the configuration."""
        if self.on_page:
            return ""
        if self.kind in ("user", "group"):
            return f"{self.kind}_limits.{self.name}"
        return "limits"


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit with its source."""

    value: Number | None
    """None: no limit of its own."""
    source: Source


@dataclass(frozen=True, slots=True)
class Effective:
    """All limits of one server."""

    limits: Mapping[str, Limit]

    def __getitem__(self, name: str) -> Number | None:
        return self.limits[name].value

    def whole(self, name: str) -> int | None:
        """A limit that is counted in whole numbers."""
        value = self.limits[name].value
        return None if value is None else int(value)

    @property
    def memory(self) -> int:
        return self.whole("memory") or MEMORY_MOST

    @property
    def cpu(self) -> float | None:
        value = self["cpu"]
        return None if value is None else float(value)


class LimitBook:
    """The limits of one configuration on one machine."""

    def __init__(self, config: Mapping[str, Any], machine: MachineSize) -> None:
        """`config` is the rendered configuration, or its sections that are about limits.

        Raises KeyError, TypeError or ValueError if it isn't one.
        """
        self.machine = machine
        self._default: Mapping[str, Any] = dict(config["limits"])
        self._groups = {str(name): dict(one) for name, one in config["group_limits"].items()}
        self._users = {str(name): dict(one) for name, one in config["user_limits"].items()}
        pages = config["page_limits"]
        self.teachers_may = bool(pages["teachers"])
        self.class_size = int(self._default["class_size"])
        for numbers in (self._default, *self._groups.values(), *self._users.values()):
            for name in NAMES:
                check_number(name, numbers[name], may_be_any=True)
        self.caps: Mapping[str, Number] = {
            "memory": _cap(pages["memory"], machine.for_servers // 2, self._memory_for_all()),
            "cpu": _cap(pages["cpu"], machine.cores, self._default["cpu"]),
            "tasks": int(pages["tasks"]),
        }

    def of(self, user: str, told: Told) -> Effective:
        """What a user's servers may use."""
        return Effective({name: self._limit(name, user, told) for name in NAMES})

    def default(self) -> Effective:
        """What the servers of those have who have nothing of their own."""
        return self.of("", Told())

    def _limit(self, name: str, user: str, told: Told) -> Limit:
        own = list(self._candidates("user", user, name, told.limits, self._users))
        if own:
            return own[0]
        of_groups = [
            found
            for group, numbers in told.groups.items()
            for found in list(self._candidates("group", group, name, numbers, self._groups))[:1]
        ]
        if of_groups:
            return max(of_groups, key=lambda one: one.value or 0)
        value = self._default[name]
        if name == "memory" and value is None:
            return Limit(fitting_memory(self.machine, self.class_size), Source("machine"))
        return Limit(value, Source("default"))

    def _candidates(
        self, kind: str, subject: str, name: str, on_page: Numbers, configured: Mapping[str, Any]
    ) -> Iterator[Limit]:
        """What was set for a user or a group, what counts first."""
        if name in on_page and name in self.caps:
            value = min(on_page[name], self.caps[name])
            yield Limit(value, Source(kind, subject, on_page=True))
        value = configured.get(subject, {}).get(name)
        if value is not None:
            yield Limit(value, Source(kind, subject))

    def _memory_for_all(self) -> int:
        value = self._default["memory"]
        return fitting_memory(self.machine, self.class_size) if value is None else int(value)


def fitting_memory(machine: MachineSize, people: int) -> int:
    """A limit of memory that fits the machine when so many work at the same time.

    Three times a fair share: hardly ever do all need most at the same moment, and whoever doesn't
    use it leaves it to the others. But enough to work with, and never so much that two servers fill
    what there is for all.
    """
    for_servers = machine.for_servers
    most = for_servers if people == 1 else for_servers // 2
    wanted = max(_OVERCOMMIT * for_servers // people, _COMFORTABLE)
    return max(_rounded(min(wanted, most)), MEMORY_MIN)


def _rounded(size: int) -> int:
    step = 64 * MIB if size < GIB else 256 * MIB if size < 8 * GIB else GIB
    return size // step * step


def _cap(given: Number | None, usual: Number, configured: Number | None) -> Number:
    """Never less than what the configuration gives to everybody."""
    return given if given is not None else max(usual, configured or 0)


def check_number(name: str, value: object, *, may_be_any: bool = False) -> None:
    """Raise TypeError or ValueError for what can't be a limit of that name."""
    if value is None and may_be_any:
        return
    whole = name != "cpu"
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise TypeError(f"{name} is no number")
    least, most = _BOUNDS[name] if not may_be_any else (0, MEMORY_MOST)
    if not least <= value <= most:
        raise ValueError(f"{name} is not from {least} to {most}")


_BOUNDS: Final[dict[str, tuple[Number, Number]]] = {
    "memory": (MEMORY_MIN, MEMORY_MOST),
    "cpu": (0.01, CORES_MOST),
    "tasks": (TASKS_MIN, TASKS_MOST),
}


def parse_numbers(content: object) -> dict[str, Number]:
    """What was set on a page, from JSON; raises TypeError or ValueError."""
    if not isinstance(content, dict) or not content.keys() <= set(ON_PAGES):
        raise ValueError(f"limits are of {', '.join(ON_PAGES)}")
    for name, value in content.items():
        check_number(name, value)
    return dict(content)


def parse_told(content: object) -> Told:
    """What `Told.model` made; raises TypeError or ValueError."""
    if not isinstance(content, dict) or content.keys() != {"groups", "limits"}:
        raise ValueError("it has exactly groups and limits")
    groups = content["groups"]
    if not isinstance(groups, dict):
        raise TypeError("groups are no object")
    return Told(
        {str(name): parse_numbers(numbers) for name, numbers in groups.items()},
        parse_numbers(content["limits"]),
    )


def size_text(size: Number) -> str:
    """Bytes for people, in the units that limits are set in: 512 MB, 1.5 GB."""
    if size >= GIB:
        return f"{size / GIB:.4g} GB"
    return f"{size / MIB:.4g} MB"


def limit_text(name: str, value: Number) -> str:
    """A limit as one types it."""
    return size_text(value) if name == "memory" else f"{value:g}"
