"""What keeps servers running though nobody uses them: a time set for a server, or for a class.

The time is stored, and counted on the clock that never jumps: a wall clock that is set ends no
keeping early, and none lasts for days because of it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from appliance import audit
from appliance.audit import Action
from appliance.clock import Clock
from appliance.db.care_models import KeptClass, KeptServer
from appliance.db.models import Group, Server, User
from appliance.db.session import Database
from appliance.errors import BadRequest, NoSuchClass, NotFound
from appliance.names import ServerId, ServerName, Username
from appliance.texts import say

LONGEST: Final = timedelta(days=30)

_SERVERS: Final = (
    select(KeptServer.server_id, User.name.label("user"), Server.name, KeptServer.until,
           KeptServer.set_by)
    .join(Server, Server.id == KeptServer.server_id)
    .join(User, User.id == Server.user_id)
)  # fmt: skip
_CLASSES: Final = select(
    KeptClass.group_id, Group.name, KeptClass.until, KeptClass.set_by
).join(Group, Group.id == KeptClass.group_id)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kept:
    """Until when, who said so, and for which class; empty means for the server itself."""

    until: datetime
    set_by: str
    left: float
    """Seconds, on the clock that never jumps."""
    group: str = ""


class Keeps:
    """All times for which servers are kept."""

    def __init__(
        self, *, db: Database, clock: Clock, most_seconds: int, changed: Callable[[], None]
    ) -> None:
        """`changed` is called after each change."""
        self._db = db
        self._clock = clock
        self._changed = changed
        self.most = timedelta(seconds=most_seconds)
        self._ends: dict[Hashable, float] = {}
        """In monotonic seconds, by what is kept and until when."""

    # Looking

    def of(self, server: ServerId, groups: Iterable[str]) -> Kept | None:
        """What keeps a server for longest."""
        classes = self._classes()
        found = [classes[name] for name in groups if name in classes]
        own = self._servers().get(server)
        return max([*found, *([own] if own else [])], key=lambda one: one.left, default=None)

    def of_server(self, server: ServerId) -> Kept | None:
        """What was set for the server itself."""
        return self._servers().get(server)

    def of_class(self, group: str) -> Kept | None:
        """What was set for a class."""
        return self._classes().get(group)

    def _servers(self) -> dict[ServerId, Kept]:
        def read() -> list[tuple[int, ServerId, datetime, str]]:
            with self._db.reading() as connection:
                return [
                    (row.server_id, ServerId(Username(row.user), ServerName(row.name)), row.until,
                     row.set_by)
                    for row in connection.execute(_SERVERS)
                ]  # fmt: skip

        rows = self._db.remembered("kept-servers", read)
        found = ((name, self._kept(("server", key), until, by)) for key, name, until, by in rows)
        return {name: kept for name, kept in found if kept.left > 0}

    def _classes(self) -> dict[str, Kept]:
        def read() -> list[tuple[int, str, datetime, str]]:
            with self._db.reading() as connection:
                return [
                    (row.group_id, row.name, row.until, row.set_by)
                    for row in connection.execute(_CLASSES)
                ]

        rows = self._db.remembered("kept-classes", read)
        found = (
            (name, self._kept(("class", key), until, by, group=name))
            for key, name, until, by in rows
        )
        return {name: kept for name, kept in found if kept.left > 0}

    def _kept(self, what: Hashable, until: datetime, by: str, *, group: str = "") -> Kept:
        now = self._clock.monotonic()
        end = self._ends.get((what, until))
        if end is None:
            # Set just now, or before this hub began: then the wall clock is all there is.
            left = min(until - self._clock.now(), LONGEST)
            end = self._ends[what, until] = now + left.total_seconds()
        return Kept(until, by, end - now, group)

    # Setting

    def keep(self, server: ServerId, until: datetime, *, by: str, unlimited: bool = False) -> None:
        """Keep a server until a time; raises BadRequest, or NotFound for one that there isn't."""
        self._check(until, unlimited=unlimited)
        with self._db.session() as session:
            number = session.scalar(_number_of(server))
            if number is None:
                raise NotFound(f"cannot keep the server {server}", why="it was never started")
            session.merge(KeptServer(server_id=number, until=until, set_by=by))
        audit.note_unless_own(Action.KEEP_SERVER, server.user, str(server))
        self._servers()  # from now on the clock that never jumps counts
        self._changed()

    def keep_class(self, group: str, until: datetime, *, by: str, unlimited: bool = False) -> None:
        """Keep the servers of a class until a time; raises BadRequest or NotFound."""
        self._check(until, unlimited=unlimited)
        with self._db.session() as session:
            number = _group_number(session, group)
            session.merge(KeptClass(group_id=number, until=until, set_by=by))
        audit.note(Action.KEEP_SERVER, group)
        self._classes()
        self._changed()

    def forget(self, server: ServerId) -> None:
        """Keep a server no longer; that nobody keeps it is no error."""
        with self._db.session() as session:
            number = session.scalar(_number_of(server))
            session.execute(delete(KeptServer).where(KeptServer.server_id == number))
        self._changed()

    def forget_class(self, group: str) -> None:
        """The same for a class."""
        with self._db.session() as session:
            number = _group_number(session, group)
            session.execute(delete(KeptClass).where(KeptClass.group_id == number))
        self._changed()

    def purge(self) -> None:
        """Forget what is long over, even if the clock was put forward by days."""
        over = self._clock.now() - LONGEST
        with self._db.session() as session:
            for table in (KeptServer, KeptClass):
                session.execute(delete(table).where(table.until < over))

    def _check(self, until: datetime, *, unlimited: bool) -> None:
        left = until - self._clock.now()
        what = "cannot keep the server running"
        if left <= timedelta(0):
            raise BadRequest(what, why="that time is over")
        if unlimited and left <= LONGEST:
            return
        most = LONGEST if unlimited else self.most
        if not most:
            raise BadRequest(
                what, why="only admins may do that here", mend="use it now and then, or ask one"
            )
        # People choose from a list, and the page took a moment.
        if left > most + timedelta(minutes=1):
            raise BadRequest(
                what,
                why=say(
                    "the longest time is {most} hours", most=f"{most.total_seconds() / 3600:g}"
                ),
                mend="choose an earlier time; it can be chosen anew before it is over",
            )


def _number_of(server: ServerId) -> Select[int]:
    return (
        select(Server.id)
        .join(User, User.id == Server.user_id)
        .where(User.name == server.user, Server.name == server.name)
    )


def _group_number(session: Session, group: str) -> int:
    number = session.scalar(select(Group.id).where(Group.name == group))
    if number is None:
        raise NoSuchClass(group)
    return number
