"""Share codes: whoever brings one gets scopes on a server, as often as it takes until it expires.

Only a code's hash is kept, so it can be read just once, when it is made.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Select, delete, func, select

from appliance import audit
from appliance.access.tokens import MAX_LENGTH, hash_secret, new_secret
from appliance.audit import Action
from appliance.clock import Clock
from appliance.db.models import Server, ShareCode, User
from appliance.db.session import Database
from appliance.errors import BadRequest, NotFound
from appliance.hub.shares import Receiver, give, id_of, server_row
from appliance.hub.states import ServerState
from appliance.names import ServerId, ServerName, Username

# Of one server, at the same time.
_CODES: Final = 1000
_Query = TypeVar("_Query", bound=Select[*tuple[Any, ...]])


@dataclass(frozen=True, slots=True)
class CodeView:
    """A share code as pages and API show it: never the code itself."""

    number: int
    server: ServerId
    ready: bool
    scopes: tuple[str, ...]
    created: datetime
    expires: datetime
    exchanges: int
    last_exchanged: datetime | None


@dataclass(frozen=True, slots=True)
class CodePage:
    """A part of a list of share codes; `total` counts all of it."""

    items: list[CodeView]
    total: int


class ShareCodes:
    """All share codes that have not expired."""

    def __init__(self, *, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def of_owner(self, owner: str, *, offset: int = 0, limit: int = 200) -> CodePage:
        return self._page(User.name == owner, offset=offset, limit=limit)

    def of_server(self, server: ServerId, *, offset: int = 0, limit: int = 200) -> CodePage:
        return self._page(ShareCode.server_id == id_of(server), offset=offset, limit=limit)

    def make(
        self, server: ServerId, scopes: Iterable[str], *, seconds: int
    ) -> tuple[CodeView, str]:
        """A new code, with what is known of it; nobody can read the code again."""
        if self.of_server(server, limit=1).total >= _CODES:
            raise BadRequest(
                f"cannot make a share code for {server}",
                why=f"it has {_CODES} already",
                mend="remove some, or wait until they expire",
            )
        code = new_secret()
        now = self._clock.now()
        with self._db.session() as session:
            row = ShareCode(
                hash=hash_secret(code),
                server_id=server_row(session, server),
                scopes=sorted(scopes),
                created=now,
                expires=now + timedelta(seconds=seconds),
                exchanges=0,
            )
            session.add(row)
        view = self._one(ShareCode.hash == hash_secret(code))
        audit.note(Action.MAKE_SHARE_CODE, str(server), code=view.number, scopes=list(view.scopes))
        return view, code

    def find(self, code: str) -> CodeView:
        """What a code gives; raises NotFound for one that doesn't exist, or not any more."""
        if not 0 < len(code) <= MAX_LENGTH:
            raise _unknown()
        return self._one(ShareCode.hash == hash_secret(code))

    def exchange(self, code: str, user: Username) -> CodeView:
        """Give a user what the code promises; raises NotFound, or BadRequest for the owner."""
        found = self.find(code)
        if found.server.user == user:
            raise BadRequest("cannot use this code", why="the server is your own")
        now = self._clock.now()
        with self._db.session() as session:
            row = session.get(ShareCode, found.number)
            if row is None:
                raise _unknown()
            give(session, row.server_id, Receiver("user", user), row.scopes, now)
            row.exchanges += 1
            row.last_exchanged = now
        audit.note(Action.ACCEPT_SHARE, str(found.server), code=found.number, users=[user])
        return found

    def remove(self, server: ServerId, *, code: str = "", number: int | None = None) -> None:
        """Remove one code of a server, by itself or by its number; raises NotFound."""
        which = (
            ShareCode.id == number if number is not None else ShareCode.hash == hash_secret(code)
        )
        query = delete(ShareCode).where(ShareCode.server_id == id_of(server), which)
        with self._db.session() as session:
            if not session.execute(query.returning(ShareCode.id)).all():
                raise NotFound("cannot find the share code", why="this server has no such code")
        audit.note(Action.REMOVE_SHARE_CODE, str(server))

    def remove_all(self, server: ServerId) -> None:
        with self._db.session() as session:
            session.execute(delete(ShareCode).where(ShareCode.server_id == id_of(server)))
        audit.note(Action.REMOVE_SHARE_CODE, str(server), all=True)

    def purge(self) -> None:
        """Delete those that have expired."""
        with self._db.session() as session:
            session.execute(delete(ShareCode).where(ShareCode.expires <= self._clock.now()))

    def _one(self, where: ColumnElement[bool]) -> CodeView:
        found = self._page(where, offset=0, limit=1).items
        if not found:
            raise _unknown()
        return found[0]

    def _page(self, *where: ColumnElement[bool], offset: int, limit: int) -> CodePage:
        valid = ShareCode.expires > self._clock.now()
        query = _joined(select(ShareCode, User.name, Server.name, Server.state))
        count = _joined(select(func.count(ShareCode.id)))
        with self._db.session() as session:
            total = session.scalar(count.where(valid, *where)) or 0
            rows = session.execute(
                query.where(valid, *where).order_by(ShareCode.id).offset(offset).limit(limit)
            ).all()
        items = [
            CodeView(
                number=row.id,
                server=ServerId(Username(owner), ServerName(name)),
                ready=state == ServerState.READY,
                scopes=tuple(row.scopes),
                created=row.created,
                expires=row.expires,
                exchanges=row.exchanges,
                last_exchanged=row.last_exchanged,
            )
            for row, owner, name, state in rows
        ]
        return CodePage(items, total)


def _joined(query: _Query) -> _Query:
    return query.join(Server, Server.id == ShareCode.server_id).join(
        User, User.id == Server.user_id
    )


def _unknown() -> NotFound:
    return NotFound(
        "cannot find this share",
        why="its code is unknown, or has expired",
        mend="ask for a new link",
    )
