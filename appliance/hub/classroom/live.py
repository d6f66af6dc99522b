"""How a class is doing now: who is online, whose server runs and what it uses.

All who look at a class share one look, made every other second: one query, and one question to the
spawner for all classes together. Numbers are rounded, so that what doesn't matter changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import bindparam, select

from appliance.clock import Clock, stamp
from appliance.db.class_models import Teaching
from appliance.db.models import Group, Membership, Server, User, UserState
from appliance.db.session import Database
from appliance.hub.activity import Activity
from appliance.hub.classroom.streams import Streams
from appliance.hub.culling.outlook import Outlook
from appliance.hub.disk_use import Share
from appliance.hub.states import ServerState
from appliance.hub.usage import Usage, UsageMeter
from appliance.names import ServerId, ServerName, Username

NEAR_PERCENT: Final = 85
# With a limit, this much of it means that the kernel holds the server back again and again.
_THROTTLED_PERCENT: Final = 95
_FRESH_SECONDS: Final = 2.0
_HERE: Final = timedelta(minutes=2)
_OF_THE_START: Final = timedelta(seconds=30)
_MEGABYTE: Final = 2**20
# Less than this is how often servers report, not idleness.
_IDLE_MINUTES: Final = 5

_STUDENTS: Final = (
    select(
        User.name,
        User.full_name,
        User.state,
        User.last_activity,
        Server.state.label("server"),
        Server.started,
    )
    .join(Membership, Membership.user_id == User.id)
    .join(Group, Group.id == Membership.group_id)
    .outerjoin(Server, (Server.user_id == User.id) & (Server.name == ""))
    .where(
        Group.name == bindparam("group"),
        ~select(Teaching.user_id)
        .where(Teaching.user_id == User.id, Teaching.group_id == Group.id)
        .exists(),
    )
    .order_by(User.name)
)


@dataclass(frozen=True, slots=True)
class Student:
    """A student of a class, and the student's server, now."""

    name: Username
    full_name: str
    account: UserState
    here: bool
    """A browser of theirs is connected, or was just active."""
    state: ServerState
    place: int | None
    """In the line of servers to be started."""
    idle_minutes: int | None
    """How long nobody has used the server that runs; None below some minutes."""
    memory_mb: int | None
    memory_limit_mb: int | None
    memory_percent: int | None
    cores: float | None
    cpu_percent: int | None
    disk_mb: int | None
    """What the home takes, as it was measured last."""
    disk_limit_mb: int | None
    disk_percent: int | None
    near: str
    """What is near its limit: memory, cpu, disk, or nothing."""
    memory_kills: int = 0
    """How often memory ran out in the last day."""
    stops: datetime | None = None
    """When the server is stopped by itself, if nobody uses it; None means that it isn't."""

    @property
    def called(self) -> str:
        return self.full_name or self.name

    @property
    def stops_at(self) -> str:
        """By the machine's clock; empty if it isn't stopped by itself."""
        return f"{self.stops.astimezone():%H:%M}" if self.stops else ""

    @property
    def server(self) -> ServerId:
        return ServerId(self.name)

    @property
    def is_active(self) -> bool:
        return self.state in {ServerState.STARTING, ServerState.READY}

    @property
    def model(self) -> dict[str, Any]:
        """For the API."""
        return {
            "name": self.name, "full_name": self.full_name, "account": str(self.account),
            "here": self.here, "state": str(self.state), "queue_position": self.place,
            "idle_minutes": self.idle_minutes, "memory_mb": self.memory_mb,
            "memory_limit_mb": self.memory_limit_mb, "memory_percent": self.memory_percent,
            "cores": self.cores, "cpu_percent": self.cpu_percent, "disk_mb": self.disk_mb,
            "disk_limit_mb": self.disk_limit_mb, "disk_percent": self.disk_percent,
            "near": self.near,
            "memory_kills": self.memory_kills,
            "stops": stamp(self.stops and self.stops.replace(second=0, microsecond=0)),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Counts:
    """A class in four numbers."""

    students: int
    here: int
    running: int
    near: int

    @classmethod
    def of(cls, students: Iterable[Student]) -> Counts:
        some = list(students)
        return cls(
            students=len(some),
            here=sum(one.here for one in some),
            running=sum(one.state is ServerState.READY for one in some),
            near=sum(bool(one.near) for one in some),
        )


class LiveClasses:
    """Looks at classes."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        activity: Activity,
        usage: UsageMeter,
        streams: Streams,
        outlooks_of: Callable[[Iterable[ServerId]], Mapping[ServerId, Outlook]],
        place_of: Callable[[ServerId], int | None],
        disk_of: Callable[[str], Share | None],
        memory_kills_in: Callable[[str], Mapping[str, int]],
    ) -> None:
        """`outlooks_of` tells when servers are stopped, `place_of` where one stands in line."""
        self._db = db
        self._clock = clock
        self._activity = activity
        self._usage = usage
        self._streams = streams
        self._outlooks_of = outlooks_of
        self._place_of = place_of
        self._disk_of = disk_of
        self._memory_kills_in = memory_kills_in
        self._looks: dict[str, tuple[float, tuple[Student, ...]]] = {}

    async def students(self, group: str, *, fresh: bool = False) -> tuple[Student, ...]:
        """The students by name; at most two seconds old, or not at all with `fresh`."""
        known = self._looks.get(group)
        if known and not fresh and self._clock.monotonic() - known[0] < _FRESH_SECONDS:
            return known[1]
        usage = await self._usage.all()
        now, at = self._clock.now(), self._clock.monotonic()
        with self._db.reading() as connection:
            rows = connection.execute(_STUDENTS, {"group": group}).all()
        running = [ServerId(Username(row.name)) for row in rows if row.server == ServerState.READY]
        outlooks = self._outlooks_of(running)
        kills = self._memory_kills_in(group)
        found = tuple(
            self._student(
                row, usage, outlooks.get(ServerId(Username(row.name))), kills.get(row.name, 0), now
            )
            for row in rows
        )
        self._looks = {
            name: look for name, look in self._looks.items() if at - look[0] < _FRESH_SECONDS
        }
        self._looks[group] = (at, found)
        return found

    def _student(
        self,
        row: Any,
        usage: Mapping[ServerId, Usage],
        outlook: Outlook | None,
        kills: int,
        now: datetime,
    ) -> Student:
        server = ServerId(Username(row.name), ServerName(""))
        state = ServerState(row.server) if row.server else ServerState.STOPPED
        used = usage.get(server) if state is ServerState.READY else None
        idle = self._activity.idle_seconds(server) if state is ServerState.READY else None
        minutes = None if idle is None else int(idle // 60)
        disk = self._disk_of(row.name)
        return Student(
            name=server.user,
            full_name=row.full_name,
            account=UserState(row.state),
            here=self._is_here(row, now),
            state=state,
            place=self._place_of(server) if state is ServerState.STARTING else None,
            idle_minutes=minutes if minutes is not None and minutes >= _IDLE_MINUTES else None,
            memory_mb=_megabytes(used.memory_bytes if used else None),
            memory_limit_mb=_megabytes(used.memory_limit_bytes if used else None),
            memory_percent=used.memory_percent if used else None,
            cores=None if used is None or used.cores is None else round(used.cores, 1),
            cpu_percent=used.cpu_percent if used else None,
            disk_mb=_megabytes(disk.used.bytes if disk else None),
            disk_limit_mb=_megabytes(disk.used.limit if disk else None),
            disk_percent=disk.percent if disk else None,
            near=self._near(used) or ("disk" if disk and disk.is_near else ""),
            memory_kills=kills,
            stops=outlook.stops if outlook else None,
        )

    def _is_here(self, row: Any, now: datetime) -> bool:
        if row.state != UserState.ACTIVE:
            return False
        if self._streams.is_connected(row.name):
            return True
        last = row.last_activity
        # A server that was just started, by a teacher perhaps, reports its start as activity.
        if last is None or (row.started and timedelta(0) <= last - row.started < _OF_THE_START):
            return False
        # A stamp in the future is of a clock that jumped.
        return bool(timedelta(0) <= now - last < _HERE)

    def _near(self, used: Usage | None) -> str:
        if used is None:
            return ""
        if (used.memory_percent or 0) >= NEAR_PERCENT:
            return "memory"
        if used.is_cpu_limited and (used.cpu_percent or 0) >= _THROTTLED_PERCENT:
            return "cpu"
        return ""


def _megabytes(count: int | None) -> int | None:
    return None if count is None else round(count / _MEGABYTE)
