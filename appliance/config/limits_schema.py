"""What servers may use of the machine: for everybody, for members of groups, for single users."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from appliance.config.access_schema import check_group, check_user
from appliance.config.disk_schema import HomeSize
from appliance.config.kinds import DAY, Duration, Example, Means, Reload, Section, Size
from appliance.limits import CORES_MOST, MEMORY_MIN, MEMORY_MOST, TASKS_MIN, TASKS_MOST

LimitedGroup = Annotated[
    str,
    Field(pattern=r"^[^/\x00-\x1f]{1,255}$"),
    AfterValidator(check_group),
    Means('a group\'s name such as "class-1": up to 255 characters, no slash'),
]
LimitedUser = Annotated[
    str,
    Field(pattern=r"^[^/\x00-\x20]{1,48}$"),
    AfterValidator(check_user),
    Means('a user\'s name such as "ada"'),
]


class Limits(Section):
    """What one single-user server may use, where no group's and no user's limit says otherwise."""

    class_size: Annotated[int, Field(ge=1, le=5000), Reload.LIMITS, Example(30)] = 20
    """How many people are at work at the same time. What is set to fit the machine follows from
    it: `appliance limits suggest --class-size 30` shows how."""

    memory: Annotated[
        Size | None, Field(ge=MEMORY_MIN, le=MEMORY_MOST), Reload.LIMITS, Example("2G")
    ] = None
    """Most memory; what goes past it is killed by the kernel. Null means as much as fits the
    machine and `limits.class_size`; `appliance limits show` says how much that is."""

    cpu: Annotated[float | None, Field(gt=0, le=CORES_MOST), Reload.LIMITS, Example(1.5)] = None
    """Most CPU, in cores; null means no limit, and busy servers share fairly."""

    tasks: Annotated[
        int | None, Field(ge=TASKS_MIN, le=TASKS_MOST), Reload.LIMITS, Example(1024)
    ] = 512
    """Most processes and threads; null means systemd's own limit."""

    run_time: Annotated[
        Duration | None, Field(ge=600, le=365 * DAY), Reload.LIMITS, Example("8h")
    ] = None
    """Longest life of a server, used or not; its user is warned before it is stopped. Null means
    no end."""

    swap: Annotated[Size, Field(ge=0, le=MEMORY_MOST), Reload.LIMITS, Example("512M")] = 0
    """Most of a server's memory that may be moved to the machine's swap space. A server that swaps
    slows down all the others."""

    cpu_weight: Annotated[int, Field(ge=1, le=10_000), Reload.LIMITS, Example(200)] = 100
    """The share of the CPU when all are busy: with 200, twice that of a server with 100. It is a
    guarantee, not a limit."""

    io_weight: Annotated[int, Field(ge=1, le=10_000), Reload.LIMITS, Example(50)] = 100
    """The share of the disk when all are busy, in the same way."""

    memory_guarantee: Annotated[
        Size, Field(ge=0, le=MEMORY_MOST), Reload.LIMITS, Example("256M")
    ] = 0
    """Memory that isn't taken back from a server that uses it, even when memory is short, as long
    as all guarantees together fit into the machine."""


class OwnLimits(Section):
    """What differs for the servers of a group's members, or of one user."""

    memory: Annotated[
        Size | None, Field(ge=MEMORY_MIN, le=MEMORY_MOST), Reload.LIMITS, Example("4G")
    ] = None
    """Most memory; null means as `limits.memory` says, as it does for the others below."""

    cpu: Annotated[float | None, Field(gt=0, le=CORES_MOST), Reload.LIMITS, Example(2.5)] = None
    """Most CPU, in cores."""

    tasks: Annotated[
        int | None, Field(ge=TASKS_MIN, le=TASKS_MOST), Reload.LIMITS, Example(2048)
    ] = None
    """Most processes and threads."""

    run_time: Annotated[
        Duration | None, Field(ge=600, le=365 * DAY), Reload.LIMITS, Example("2d")
    ] = None
    """Longest life of a server."""

    swap: Annotated[Size | None, Field(ge=0, le=MEMORY_MOST), Reload.LIMITS, Example("512M")] = None
    """Most of a server's memory that may be moved to the machine's swap space."""

    cpu_weight: Annotated[int | None, Field(ge=1, le=10_000), Reload.LIMITS, Example(200)] = None
    """The share of the CPU when all are busy."""

    io_weight: Annotated[int | None, Field(ge=1, le=10_000), Reload.LIMITS, Example(50)] = None
    """The share of the disk when all are busy."""

    memory_guarantee: Annotated[
        Size | None, Field(ge=0, le=MEMORY_MOST), Reload.LIMITS, Example("256M")
    ] = None
    """Memory that isn't taken back from a server that uses it."""

    disk: Annotated[HomeSize, Reload.UPKEEP, Example("20G")] = None
    """Most that the files of one user may take; null means as `disk.home` says."""


class PageLimits(Section):
    """How far limits go that are set on pages and by the API; root's programs hold to it."""

    memory: Annotated[
        Size | None, Field(ge=MEMORY_MIN, le=MEMORY_MOST), Reload.LIMITS, Example("8G")
    ] = None
    """The most memory that can be given; null means half of what all servers have together."""

    cpu: Annotated[float | None, Field(gt=0, le=CORES_MOST), Reload.LIMITS, Example(7.5)] = None
    """The most CPU that can be given, in cores; null means all of the machine's."""

    tasks: Annotated[int, Field(ge=TASKS_MIN, le=TASKS_MOST), Reload.LIMITS, Example(2048)] = 4096
    """The most processes and threads that can be given."""

    teachers: Annotated[bool, Reload.LIMITS, Example(True)] = False  # noqa: FBT003
    """Let teachers set the limits of their classes; otherwise only admins do."""
