"""Visits: a teacher asks to open a student's server, and does so if the student agrees.

A visit is `asked`, then `granted` or `refused`, and in the end `ended`. While it is granted the
visitor holds the scope that opens the server (`hub/groups.py` reads it from here), as long as the
visitor teaches a class of the owner's: leaving the class or losing it ends the visit at once.

Whoever opens a server of somebody else's, by a visit or by other rights, is announced to its owner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, delete, func, select, update
from sqlalchemy.orm import Session, aliased

from appliance import audit
from appliance.audit import Action
from appliance.clock import Clock
from appliance.db.class_models import Teaching, Visit
from appliance.db.models import ApiToken, Membership, OAuthClient, Server, User, UserState
from appliance.db.session import Database
from appliance.errors import BadRequest, Conflict, NotAllowed, NotFound, TooMany
from appliance.hub.classroom.messages import Messages
from appliance.hub.classroom.streams import Streams
from appliance.names import ServerId, ServerName, Username
from appliance.texts import say

MINUTES: Final = 30
MOST_MINUTES: Final = 8 * 60
_ASKED: Final = timedelta(minutes=10)
_KEPT: Final = timedelta(days=30)
_IN_AN_HOUR: Final = 6
_SWEEP_SECONDS: Final = 30.0
_HOUR: Final = timedelta(hours=1)

_Visitor = aliased(User)
_Owner = aliased(User)


class VisitState(StrEnum):
    """How far a visit is."""

    ASKED = "asked"
    GRANTED = "granted"
    REFUSED = "refused"
    ENDED = "ended"


_OPEN: Final = (VisitState.ASKED, VisitState.GRANTED)
_ANY: Final = select(Visit.id).where(Visit.state.in_(_OPEN)).limit(1)


@dataclass(frozen=True, slots=True)
class VisitView:
    """A visit, as pages and API show it."""

    id: int
    visitor: Username
    visitor_name: str
    """What people call the visitor."""
    server: ServerId
    state: VisitState
    asked: datetime
    until: datetime
    """When the question or the permission lapses."""

    @property
    def owner(self) -> Username:
        return self.server.user


class Visits:
    """All visits."""

    def __init__(self, *, db: Database, clock: Clock, messages: Messages, streams: Streams) -> None:
        self._db = db
        self._clock = clock
        self._messages = messages
        self._streams = streams

    # What is

    def of_owner(self, owner: str) -> list[VisitView]:
        """Who asks to open a user's servers, or may do so now."""
        return self._open_ones(_Owner.name == owner)

    def of_visitor(self, visitor: str) -> list[VisitView]:
        """Whose servers somebody asks to open, or may open now."""
        return self._open_ones(_Visitor.name == visitor)

    def _open_ones(self, *where: ColumnElement[bool]) -> list[VisitView]:
        if not self._db.remembered("visits", self._are_any):
            return []
        now = self._clock.now()
        query = _VISITS.where(Visit.state.in_(_OPEN), Visit.until > now, *where)
        with self._db.reading() as connection:
            return [_view(row) for row in connection.execute(query.order_by(Visit.id))]

    def _are_any(self) -> bool:
        with self._db.reading() as connection:
            return connection.scalar(_ANY) is not None

    # Asking and answering

    def ask(self, visitor: Username, server: ServerId) -> VisitView:
        """Ask a server's owner; a question that is open already, or a permission, is enough."""
        what = say("cannot ask {name!r}", name=server.user)
        if visitor == server.user:
            raise BadRequest(what, why="that is you")
        for one in self._open_ones(_Visitor.name == visitor, _Owner.name == server.user):
            if one.server == server:
                return one
        now = self._clock.now()
        with self._db.session() as session:
            visitor_id, owner_id = _ids(session, visitor, server.user)
            if not session.scalar(select(_may_visit(visitor_id, owner_id))):
                raise NotAllowed(what, why="only teachers of the user's classes and admins may")
            lately = select(func.count(Visit.id)).where(
                Visit.visitor_id == visitor_id,
                Visit.owner_id == owner_id,
                Visit.asked > now - _HOUR,
            )
            if (session.scalar(lately) or 0) >= _IN_AN_HOUR:
                raise TooMany(
                    what,
                    why="you asked several times in the last hour",
                    retry_after_seconds=int(_HOUR.total_seconds()),
                )
            row = Visit(
                visitor_id=visitor_id, owner_id=owner_id, server_name=server.name,
                state=VisitState.ASKED, asked=now, until=now + _ASKED,
            )  # fmt: skip
            session.add(row)
            session.flush()
            visit_id = row.id
        audit.note(Action.ASK_VISIT, str(server))
        self._streams.tell([server.user])
        return self._get(visit_id)

    def answer(
        self, owner: Username, visit_id: int, *, allow: bool, minutes: int = MINUTES
    ) -> VisitView:
        """The owner says yes, for so long, or no; raises NotFound, Conflict or BadRequest."""
        if not 1 <= minutes <= MOST_MINUTES:
            raise BadRequest(
                "cannot answer so", why=say("a visit takes 1 to {most} minutes", most=MOST_MINUTES)
            )
        found = self._find(visit_id, owner)
        if found.owner != owner:
            raise NotFound("cannot find the visit", why="there is none, or it isn't yours")
        now = self._clock.now()
        if found.state is not VisitState.ASKED or found.until <= now:
            raise Conflict("cannot answer the question", why="it isn't open any more")
        with self._db.session() as session:
            visitor_id, owner_id = _ids(session, found.visitor, owner)
            if not session.scalar(select(_may_visit(visitor_id, owner_id))):
                raise Conflict("cannot answer the question", why="it isn't open any more")
            values: dict[str, Any] = {"state": VisitState.REFUSED}
            if allow:
                values |= {"state": VisitState.GRANTED, "until": now + timedelta(minutes=minutes)}
            session.execute(update(Visit).where(Visit.id == visit_id).values(**values))
        action = Action.ALLOW_VISIT if allow else Action.REFUSE_VISIT
        audit.note(action, str(found.server), visitor=found.visitor)
        self._streams.tell([owner, found.visitor])
        return self._get(visit_id)

    def end(self, who: str, visit_id: int) -> VisitView:
        """The owner or the visitor ends it, or takes the question back."""
        found = self._find(visit_id, who)
        if found.state in _OPEN:
            self._finish([found])
            audit.note(Action.END_VISIT, str(found.server), visitor=found.visitor)
        return self._get(visit_id)

    # What ends by itself

    def sweep(self) -> None:
        """End what is over: by time, or because the visitor doesn't teach the owner any more."""
        now = self._clock.now()
        over = (Visit.until <= now) | ~_may_visit(Visit.visitor_id, Visit.owner_id)
        with self._db.reading() as connection:
            query = _VISITS.where(Visit.state.in_(_OPEN), over)
            found = [_view(row) for row in connection.execute(query)]
            has_old = connection.scalar(select(Visit.id).where(Visit.until < now - _KEPT).limit(1))
        if found:
            self._finish(found)
        if has_old is not None:
            with self._db.session() as session:
                session.execute(delete(Visit).where(Visit.until < now - _KEPT))

    async def run(self) -> None:
        """Look every half minute, for ever; messages whose time is over go, too."""
        while True:
            self.sweep()
            self._messages.purge()
            await asyncio.sleep(_SWEEP_SECONDS)

    async def settle(self, _group: str) -> None:
        """Who is in a class, or teaches it, has changed."""
        self.sweep()

    def _finish(self, visits: Sequence[VisitView]) -> None:
        with self._db.session() as session:
            for one in visits:
                session.execute(
                    update(Visit).where(Visit.id == one.id).values(state=VisitState.ENDED)
                )
                # The next visit begins at the hub again, where it is noted and announced.
                session.execute(delete(ApiToken).where(*_tokens_of(session, one)))
        for one in visits:
            if one.state is VisitState.GRANTED:
                self._messages.notice(
                    one.owner, say("The visit of {name} has ended.", name=one.visitor_name)
                )
        self._streams.tell({name for one in visits for name in (one.owner, one.visitor)})

    # Announcing

    def opened(self, visitor: str, server: ServerId) -> None:
        """Somebody comes to another's server."""
        with self._db.reading() as connection:
            called = connection.scalar(select(User.full_name).where(User.name == visitor))
        self._messages.notice(
            server.user, say("{name} opened your server.", name=called or visitor)
        )

    def _get(self, visit_id: int) -> VisitView:
        with self._db.reading() as connection:
            return _view(connection.execute(_VISITS.where(Visit.id == visit_id)).one())

    def _find(self, visit_id: int, who: str) -> VisitView:
        """A visit of which somebody is one side; raises NotFound."""
        query = _VISITS.where(Visit.id == visit_id, (_Owner.name == who) | (_Visitor.name == who))
        with self._db.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound("cannot find the visit", why="there is none, or it isn't yours")
        return _view(row)


_VISITS: Final = (
    select(
        Visit.id,
        Visit.server_name,
        Visit.state,
        Visit.asked,
        Visit.until,
        _Visitor.name.label("visitor"),
        _Visitor.full_name.label("visitor_name"),
        _Owner.name.label("owner"),
    )
    .join(_Visitor, _Visitor.id == Visit.visitor_id)
    .join(_Owner, _Owner.id == Visit.owner_id)
)


def _view(row: Row[*tuple[Any, ...]]) -> VisitView:
    return VisitView(
        id=row.id,
        visitor=Username(row.visitor),
        visitor_name=row.visitor_name or row.visitor,
        server=ServerId(Username(row.owner), ServerName(row.server_name)),
        state=VisitState(row.state),
        asked=row.asked,
        until=row.until,
    )


def _ids(session: Session, visitor: str, owner: str) -> tuple[int, int]:
    rows = session.execute(select(User.name, User.id).where(User.name.in_([visitor, owner])))
    found = {row.name: row.id for row in rows}
    for name in (visitor, owner):
        if name not in found:
            raise NotFound(say("cannot find the user {name!r}", name=name[:60]))
    return found[visitor], found[owner]


def _may_visit(visitor_id: Any, owner_id: Any) -> ColumnElement[bool]:
    """Whether one may log in, and teaches a class that the other is in or is an admin."""
    teaches = (
        select(Teaching.user_id)
        .join(Membership, Membership.group_id == Teaching.group_id)
        .where(Teaching.user_id == visitor_id, Membership.user_id == owner_id)
        .exists()
    )
    visitor = aliased(User)
    return (
        select(visitor.id)
        .where(
            visitor.id == visitor_id,
            visitor.state == UserState.ACTIVE,
            visitor.admin | teaches,
        )
        .exists()
    )


def _tokens_of(session: Session, visit: VisitView) -> tuple[ColumnElement[bool], ...]:
    """What the visitor's browsers hold of the server."""
    visitor_id, owner_id = _ids(session, visit.visitor, visit.owner)
    clients = (
        select(OAuthClient.id)
        .join(Server, Server.id == OAuthClient.server_id)
        .where(Server.user_id == owner_id, Server.name == visit.server.name)
    )
    return ApiToken.user_id == visitor_id, ApiToken.oauth_client_id.in_(clients)
