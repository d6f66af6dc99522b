"""Streams of events to browsers: who is connected, who must hear news, and whose time is over.

A stream ends with the log-in that opened it. That is looked up for all streams together, every two
seconds, so that it costs one query however many there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import bindparam, select

from appliance.clock import Clock
from appliance.db.models import LoginSession, User, UserState
from appliance.db.session import Database
from appliance.errors import TooMany
from appliance.hub.sessions import IDLE

# One for each tab that somebody looks at.
OF_ONE_USER: Final = 10
_OF_ALL: Final = 3000
_LOOK_SECONDS: Final = 2.0
_AT_ONCE: Final = 500
_RETRY_SECONDS: Final = 60

_VALID: Final = (
    select(LoginSession.id)
    .join(User, User.id == LoginSession.user_id)
    .where(
        LoginSession.id.in_(bindparam("ids", expanding=True)),
        LoginSession.expires > bindparam("now"),
        LoginSession.last_seen > bindparam("idle_since"),
        User.state == UserState.ACTIVE,
    )
)


@dataclass(slots=True, eq=False)
class Stream:
    """A browser that listens; its handler waits for `news`."""

    user: str
    login_id: int
    news: asyncio.Event = field(default_factory=asyncio.Event)
    is_over: bool = False

    def end(self) -> None:
        self.is_over = True
        self.news.set()


class Streams:
    """All streams that are open."""

    def __init__(self, *, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._open: dict[str, list[Stream]] = {}

    def __len__(self) -> int:
        return sum(len(streams) for streams in self._open.values())

    def open(self, user: str, login_id: int) -> Stream:
        """A new stream; raises TooMany for a browser that opens one after the other."""
        if len(self._open.get(user, ())) >= OF_ONE_USER or len(self) >= _OF_ALL:
            raise TooMany(
                "cannot send messages to this page",
                why="too many pages of yours wait for messages already",
                mend="close some of them",
                retry_after_seconds=_RETRY_SECONDS,
            )
        stream = Stream(user, login_id)
        self._open.setdefault(user, []).append(stream)
        return stream

    def close(self, stream: Stream) -> None:
        stream.end()
        left = [one for one in self._open.get(stream.user, ()) if one is not stream]
        if left:
            self._open[stream.user] = left
        else:
            self._open.pop(stream.user, None)

    def is_connected(self, user: str) -> bool:
        return user in self._open

    def tell(self, users: Iterable[str] | None = None) -> None:
        """There is news for some users, or for all."""
        for user in list(self._open) if users is None else users:
            for stream in self._open.get(user, ()):
                stream.news.set()

    async def run(self) -> None:
        """End streams whose log-in has ended, for ever."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.end_revoked()

    def end_revoked(self) -> None:
        """End the streams of those who logged out, were locked or removed."""
        streams = [one for some in self._open.values() for one in some]
        for start in range(0, len(streams), _AT_ONCE):
            part = streams[start : start + _AT_ONCE]
            valid = self._valid([stream.login_id for stream in part])
            for stream in part:
                if stream.login_id not in valid:
                    stream.end()

    def _valid(self, ids: Sequence[int]) -> set[int]:
        now = self._clock.now()
        asked = {"ids": list(set(ids)), "now": now, "idle_since": now - IDLE}
        with self._db.reading() as connection:
            return set(connection.scalars(_VALID, asked))
