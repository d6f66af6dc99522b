"""When servers are stopped: nobody uses them, or the clock says so; and whose are not."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from appliance.config.access_schema import Group, User, check_group
from appliance.config.kinds import DAY, Duration, Example, Means, Reload, Section, Typed

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_STOP_TIME: Final = re.compile(
    r"(?:(?P<day>mon|tue|wed|thu|fri|sat|sun)\s+)?(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)",
    re.IGNORECASE | re.ASCII,
)


def parse_stop_time(text: str) -> tuple[int | None, int, int] | None:
    """The day of the week (0 is Monday; None is every day), hour and minute; None if it's not one.

    What is written is "22:00" or "Fri 18:00".
    """
    found = _STOP_TIME.fullmatch(text.strip())
    if found is None:
        return None
    day = found["day"]
    return (DAYS.index(day.lower()) if day else None, int(found["hour"]), int(found["minute"]))


def check_stop_time(value: str) -> str:
    """Refuse what is no time, or no time of a day of the week."""
    if parse_stop_time(value) is None:
        raise PydanticCustomError("not_a_time", "not a time")
    return value


StopTime = Annotated[
    str,
    AfterValidator(check_stop_time),
    Means('a time such as "22:00", or one of a day of the week such as "Fri 18:00"'),
]

GroupName = Annotated[
    str,
    Field(pattern=r"^[^/\x00-\x1f]{1,255}$"),
    AfterValidator(check_group),
    Means('a group\'s name such as "class-1": up to 255 characters, no slash'),
]


class Culling(Section):
    """Stopping servers that nobody uses."""

    enabled: Annotated[bool, Reload.HUB, Example(False)] = True  # noqa: FBT003
    """Stop idle servers."""

    timeout: Annotated[
        Duration, Field(ge=10, le=365 * DAY), Reload.HUB | Reload.NEXT_START, Example("2h")
    ] = 3600
    """A server without activity for this long is idle."""

    interval: Annotated[Duration, Field(ge=5, le=DAY), Reload.HUB, Example("10m")] = 300
    """Longest time between two looks for idle servers; the hub looks earlier when one is due."""

    warning: Annotated[Duration, Field(ge=0, le=DAY), Reload.HUB, Example("15m")] = 600
    """How long before it happens the user is told, in JupyterLab and on the home page, with a
    button to keep the server running; at most half of the timeout. 0 means no warning."""

    busy_kernels: Annotated[bool, Reload.NEXT_START | Reload.HUB, Example(True)] = False  # noqa: FBT003
    """Count a running cell as no activity, so that long computations are stopped too."""

    terminals: Annotated[bool, Reload.NEXT_START, Example(False)] = True  # noqa: FBT003
    """Count a program that runs in an open terminal as activity."""

    cpu: Annotated[int | None, Field(ge=1, le=100), Reload.HUB, Example(25)] = 10
    """A server that used more than this percentage of one core since the last look is in use,
    whatever runs in it. Null, or busy_kernels true: processor time doesn't count."""

    keep_most: Annotated[Duration, Field(ge=0, le=30 * DAY), Reload.HUB, Example("4h")] = 12 * 3600
    """Longest time for which users can keep their own server running, and teachers those of a
    class. 0 means that only admins can."""

    exempt_users: Annotated[list[User], Typed.SEPARATED, Reload.HUB, Example(["ada"])] = []
    """Users whose servers are never stopped for being idle, nor by the calendar."""

    exempt_groups: Annotated[list[Group], Reload.HUB, Example(["staff"])] = []
    """Groups of whose members the same is true."""

    stop_at: Annotated[
        list[StopTime], Field(max_length=100), Reload.HUB, Example(["22:00", "Fri 18:00"])
    ] = []
    """Times at which all servers are stopped, used or not, by the machine's clock and time zone;
    those who have one are warned before. A time that passed while the hub was down is left out."""

    stop_kept: Annotated[bool, Reload.HUB, Example(True)] = False  # noqa: FBT003
    """Stop servers at these times even if somebody keeps them running."""


class GroupCulling(Section):
    """What differs for the members of a group; of several groups, the longest time counts."""

    enabled: Annotated[bool | None, Reload.HUB, Example(False)] = None  # noqa: FBT003
    """Stop idle servers of the group's members; null means as `culling.enabled` says."""

    timeout: Annotated[
        Duration | None,
        Field(ge=10, le=365 * DAY),
        Reload.HUB | Reload.NEXT_START,
        Example("6h"),
    ] = None
    """A server of theirs without activity for this long is idle; null means as `culling.timeout`
    says."""
