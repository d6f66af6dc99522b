"""Shares: scopes on one server that its owner, or an admin, gives to other users and groups.

Stored are the scopes' names alone. The filter that keeps them to the server is made when they are
read, so a server or its owner may be renamed and no share ever reaches beyond its server.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeVar

from sqlalchemy import ColumnElement, ScalarSelect, Select, delete, func, select
from sqlalchemy.orm import Session, aliased

from appliance import audit
from appliance.audit import Action
from appliance.clock import Clock
from appliance.db.models import Group, Membership, Server, Share, User
from appliance.db.session import Database
from appliance.errors import BadRequest, NotFound
from appliance.hub.states import ServerState
from appliance.names import ServerId, ServerName, Username

# What can be said of one server; a share of anything else would give nothing.
SHAREABLE: Final = (
    "access:servers", "admin:server_state", "admin:servers", "delete:servers", "read:servers",
    "servers", "start:servers",
)  # fmt: skip
DEFAULT: Final = ("access:servers",)

_Query = TypeVar("_Query", bound=Select[*tuple[Any, ...]])
_Owner = aliased(User)


@dataclass(frozen=True, slots=True)
class Receiver:
    """Whom a server is shared with."""

    kind: Literal["user", "group"]
    name: str


@dataclass(frozen=True, slots=True)
class ShareView:
    """A share as pages and API show it; the scopes are names without filters."""

    server: ServerId
    ready: bool
    receiver: Receiver
    scopes: tuple[str, ...]
    created: datetime


@dataclass(frozen=True, slots=True)
class SharePage:
    """A part of a list of shares; `total` counts all of it."""

    items: list[ShareView]
    total: int


class Shares:
    """All shares."""

    def __init__(self, *, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def with_user(self, user: str, *, offset: int = 0, limit: int = 200) -> SharePage:
        """What others share with a user, directly or through a group."""
        user_id = select(User.id).where(User.name == user).scalar_subquery()
        groups = select(Membership.group_id).where(Membership.user_id == user_id)
        where = (Share.user_id == user_id) | Share.group_id.in_(groups)
        return self._page(where, offset=offset, limit=limit)

    def with_group(self, group: str, *, offset: int = 0, limit: int = 200) -> SharePage:
        return self._page(Group.name == group, offset=offset, limit=limit)

    def of_owner(self, owner: str, *, offset: int = 0, limit: int = 200) -> SharePage:
        return self._page(_Owner.name == owner, offset=offset, limit=limit)

    def of_server(self, server: ServerId, *, offset: int = 0, limit: int = 200) -> SharePage:
        return self._page(*_is(server), offset=offset, limit=limit)

    def get(self, server: ServerId, receiver: Receiver) -> ShareView:
        """The share of a server with just this receiver; raises NotFound."""
        found = self._page(*_is(server), _receives(receiver), offset=0, limit=1).items
        if not found:
            raise NotFound(
                f"cannot find the share of {server} with {receiver.name[:60]!r}",
                why="no such share",
            )
        return found[0]

    def grant(self, server: ServerId, receiver: Receiver, scopes: Iterable[str]) -> ShareView:
        """Give scopes on a server, besides those given before; BadRequest for no such receiver."""
        if receiver.kind == "user" and receiver.name == server.user:
            raise BadRequest(f"cannot share the server {server}", why="it is the user's own")
        scopes = list(scopes)
        with self._db.session() as session:
            give(session, server_row(session, server), receiver, scopes, self._clock.now())
        _note(Action.SHARE_SERVER, server, receiver, scopes)
        return self.get(server, receiver)

    def revoke(
        self, server: ServerId, receiver: Receiver, scopes: Collection[str] = ()
    ) -> ShareView | None:
        """Take scopes back, or all without `scopes`; None if nothing is left of the share."""
        query = _joined(select(Share)).where(*_is(server), _receives(receiver)).with_for_update()
        with self._db.session() as session:
            row = session.scalar(query)
            if row is None:
                return None
            left = sorted(set(row.scopes) - set(scopes)) if scopes else []
            if left:
                row.scopes = left
            else:
                session.delete(row)
        _note(Action.UNSHARE_SERVER, server, receiver, left)
        return self.get(server, receiver) if left else None

    def revoke_all(self, server: ServerId) -> None:
        with self._db.session() as session:
            session.execute(delete(Share).where(Share.server_id == id_of(server)))
        audit.note(Action.UNSHARE_SERVER, str(server), all=True)

    def _page(self, *where: ColumnElement[bool], offset: int, limit: int) -> SharePage:
        query = _joined(
            select(Share, _Owner.name, Server.name, Server.state, User.name, Group.name)
        ).where(*where)
        with self._db.session() as session:
            count = _joined(select(func.count(Share.id))).where(*where)
            total = session.scalar(count) or 0
            rows = session.execute(query.order_by(Share.id).offset(offset).limit(limit)).all()
        items = [
            ShareView(
                server=ServerId(Username(owner), ServerName(name)),
                ready=state == ServerState.READY,
                receiver=Receiver("user", user) if user is not None else Receiver("group", group),
                scopes=tuple(row.scopes),
                created=row.created,
            )
            for row, owner, name, state, user, group in rows
        ]
        return SharePage(items, total)


def parse_scopes(
    texts: Iterable[str], server: ServerId, *, custom: Collection[str] = ()
) -> tuple[str, ...]:
    """The names of scopes on this server; BadRequest for other scopes, and filters on others."""
    own = f"server={server.user}/{server.name}"
    names = set()
    for text in texts:
        name, mark, bound = text.partition("!")
        if name not in SHAREABLE and name not in custom:
            raise BadRequest(
                f"cannot share the server {server}",
                why=f"{text[:100]!r} is no scope on a server",
                mend=f"choose from {', '.join(SHAREABLE)}",
            )
        if mark and bound not in {own, "server"}:
            raise BadRequest(
                f"cannot share the server {server}",
                why=f"the scope {text[:100]!r} is not on this server",
                mend=f"leave its filter out, or write !{own}",
            )
        names.add(name)
    return tuple(sorted(names)) or DEFAULT


def bound(scopes: Iterable[str], server: ServerId) -> list[str]:
    """Scopes on a server, written out."""
    return [f"{name}!server={server.user}/{server.name}" for name in scopes]


def id_of(server: ServerId) -> ScalarSelect[int]:
    """The number of a server's row, for use in another query."""
    query = select(Server.id).join(_Owner, _Owner.id == Server.user_id).where(*_is(server))
    return query.scalar_subquery()


def server_row(session: Session, server: ServerId) -> int:
    """The number of a server's row; a default server that never ran gets one. Or NotFound."""
    found: int | None = session.scalar(select(id_of(server)))
    if found is not None:
        return found
    owner = session.scalar(select(User.id).where(User.name == server.user))
    if owner is None or server.name:
        raise NotFound(f"cannot find the server {server}", why="no such server")
    row = Server(user_id=owner, name="", state=ServerState.STOPPED)
    session.add(row)
    session.flush()
    return row.id


def give(
    session: Session, server_id: int, receiver: Receiver, scopes: Iterable[str], now: datetime
) -> None:
    """Make a share, or widen the one that is there; BadRequest for no such receiver."""
    table, key = (User, Share.user_id) if receiver.kind == "user" else (Group, Share.group_id)
    found = session.scalar(select(table.id).where(table.name == receiver.name))
    if found is None:
        raise BadRequest(
            "cannot share the server", why=f"there is no {receiver.kind} {receiver.name[:60]!r}"
        )
    row = session.scalar(select(Share).where(Share.server_id == server_id, key == found))
    if row is None:
        row = Share(server_id=server_id, scopes=[], created=now, **{key.key: found})
        session.add(row)
    row.scopes = sorted({*row.scopes, *scopes})


def _note(action: Action, server: ServerId, receiver: Receiver, scopes: list[str]) -> None:
    users = [receiver.name] if receiver.kind == "user" else []
    groups = [receiver.name] if receiver.kind == "group" else []
    audit.note(action, str(server), users=users, groups=groups, scopes=scopes)


def _is(server: ServerId) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return _Owner.name == server.user, Server.name == server.name


def _receives(receiver: Receiver) -> ColumnElement[bool]:
    return (User if receiver.kind == "user" else Group).name == receiver.name


def _joined(query: _Query) -> _Query:
    """A query of shares, with their servers, owners and receivers."""
    return (
        query.join(Server, Server.id == Share.server_id)
        .join(_Owner, _Owner.id == Server.user_id)
        .outerjoin(User, User.id == Share.user_id)
        .outerjoin(Group, Group.id == Share.group_id)
    )
