"""What Linux stopped because it wanted too much memory: telling its user, and counting.

The server itself says so, for nobody else sees which of its kernels is gone. It runs as the user,
who can say what isn't so; but only of the own server, and to nobody but the user and the teachers'
count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Select, delete, func, select

from appliance.clock import Clock
from appliance.db.limit_models import MemoryKill
from appliance.db.models import Group, Membership, User
from appliance.db.session import Database
from appliance.errors import TooMany
from appliance.hub.classroom.messages import Messages
from appliance.hub.limits.server_limits import ServerLimits
from appliance.limits import size_text
from appliance.names import ServerId
from appliance.texts import say

NOTEBOOK_MAX: Final = 300
_PAUSE_SECONDS: Final = 2.0
_KEPT: Final = timedelta(days=30)
_LATELY: Final = timedelta(hours=24)
_MOST: Final = 500
"""Of a user in that time; a server that says it without end would fill the disk."""
_TITLE: Final = say("Out of memory")


@dataclass(frozen=True, slots=True)
class Killed:
    """What a server says about it."""

    server: ServerId
    notebook: str = ""
    """The path of the notebook whose kernel it was; empty if it was something else."""
    by_machine: bool = False
    """All servers together wanted too much, not this one."""


class MemoryKills:
    """All of them of the last month."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        limits: ServerLimits,
        messages: Messages,
        counted: Callable[[], None],
    ) -> None:
        self._db = db
        self._clock = clock
        self._limits = limits
        self._messages = messages
        self._counted = counted
        self._latest: dict[ServerId, float] = {}

    def note(self, killed: Killed) -> None:
        """Tell the user and count it; raises TooMany for a server that says it without end."""
        server, now = killed.server, self._clock.monotonic()
        latest = self._latest.get(server)
        if latest is not None and now - latest < _PAUSE_SECONDS:
            raise TooMany(
                "cannot note that memory ran out",
                why="the server said so a moment ago",
                mend="try again in a moment",
                retry_after_seconds=2,
            )
        self._latest = {one: at for one, at in self._latest.items() if now - at < _PAUSE_SECONDS}
        self._latest[server] = now
        moment = self._clock.now()
        with self._db.session() as session:
            user_id = session.scalar(select(User.id).where(User.name == server.user))
            if user_id is None:
                return
            session.execute(delete(MemoryKill).where(MemoryKill.at < moment - _KEPT))
            known = session.scalar(_count_of(user_id, moment - _LATELY)) or 0
            if known < _MOST:
                session.add(
                    MemoryKill(
                        user_id=user_id,
                        server_name=server.name,
                        notebook=killed.notebook,
                        at=moment,
                    )
                )
        self._counted()
        self._tell(killed)

    def _tell(self, killed: Killed) -> None:
        user, topic = killed.server.user, f"memory {killed.server.name}"
        # Once more is told once more, even if the one before has been read.
        self._messages.withdraw(user, topic)
        limit = size_text(self._limits.of(user).memory)
        self._messages.tell(user, _sentence(killed, limit), topic=topic, title=_TITLE)

    def lately_in(self, group: str) -> dict[str, int]:
        """How often it happened to whom in a class, in the last day."""
        with self._db.reading() as connection:
            rows = connection.execute(_lately(group, self._clock.now() - _LATELY))
            return {row.name: row.times for row in rows}


def _sentence(killed: Killed, limit: str) -> str:
    """What was stopped, why, and what to do. Whole, since it is kept and translated later."""
    notebook = killed.notebook
    if killed.by_machine and notebook:
        return say(
            "Linux stopped the kernel of “{notebook}”: all servers together wanted more memory "
            "than the machine has. What it had computed is gone; your files are as they were. Wait "
            "a moment, and work with less data at once.",
            notebook=notebook,
        )
    if killed.by_machine:
        return say(
            "Linux stopped a program in your server: all servers together wanted more memory than "
            "the machine has. Your files are as they were. Wait a moment, and work with less data "
            "at once."
        )
    if notebook:
        return say(
            "Linux stopped the kernel of “{notebook}”: your server wanted more memory than the "
            "{limit} that it may use. What it had computed is gone; your files are as they were. "
            "Stop kernels that you don't need, work with less data at once, or ask for more "
            "memory.",
            notebook=notebook,
            limit=limit,
        )
    return say(
        "Linux stopped a program in your server: it wanted more memory than the {limit} that the "
        "server may use. Your files are as they were. Stop what you don't need, work with less "
        "data at once, or ask for more memory.",
        limit=limit,
    )


def _count_of(user_id: int, since: object) -> Select[int]:
    return (
        select(func.count())
        .select_from(MemoryKill)
        .where(MemoryKill.user_id == user_id, MemoryKill.at > since)
    )


def _lately(group: str, since: object) -> Select[str, int]:
    return (
        select(User.name, func.count().label("times"))
        .join(MemoryKill, MemoryKill.user_id == User.id)
        .join(Membership, Membership.user_id == User.id)
        .join(Group, Group.id == Membership.group_id)
        .where(Group.name == group, MemoryKill.at > since)
        .group_by(User.name)
    )
