"""Log-in sessions: rows, so that ending one works at once and everywhere.

A session ends after 14 days, or after 24 hours without any use; using one's server counts as use,
because the server asks the hub about its user again and again.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import CursorResult, delete, select

from appliance.access.tokens import hash_secret, new_secret
from appliance.clock import Clock
from appliance.db.models import ApiToken, LoginSession, OAuthCode, User
from appliance.db.session import Database
from appliance.errors import NotFound
from appliance.names import Username
from appliance.web.parts import NewSession

log = logging.getLogger(__name__)

LIFETIME: Final = timedelta(days=14)
IDLE: Final = timedelta(hours=24)
FRESH: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class SessionView:
    """A log-in session, as its user sees it."""

    id: int
    address: str
    user_agent: str
    created: datetime
    last_seen: datetime


class Sessions:
    """Opens and ends log-in sessions."""

    def __init__(self, *, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def open(self, user: Username, *, address: str, user_agent: str) -> NewSession:
        """Begin a session with a new secret and a new session id."""
        now = self._clock.now()
        new = NewSession(new_secret(), secrets.token_hex(16), now + LIFETIME)
        with self._db.session() as session:
            row = session.scalar(select(User).where(User.name == user))
            if row is None:
                raise NotFound(f"cannot log in {user!r}", why="no such user")
            row.last_activity = now
            session.add(
                LoginSession(
                    secret_hash=hash_secret(new.secret),
                    user_id=row.id,
                    session_id=new.session_id,
                    created=now,
                    last_seen=now,
                    expires=new.expires,
                    address=address[:64],
                    user_agent=user_agent[:200],
                )
            )
        return new

    def close(self, login_id: int) -> None:
        """End a session, and with it the tokens that servers and services got through it."""
        with self._db.session() as session:
            row = session.get(LoginSession, login_id)
            if row is None:
                return
            for table in (ApiToken, OAuthCode):
                session.execute(
                    delete(table).where(
                        table.session_id == row.session_id, table.user_id == row.user_id
                    )
                )
            session.delete(row)

    def list_of(self, user: Username) -> list[SessionView]:
        """The browsers in which the user is logged in now, the one used last first."""
        now = self._clock.now()
        query = (
            select(LoginSession)
            .join(User, User.id == LoginSession.user_id)
            .where(
                User.name == user,
                LoginSession.expires > now,
                LoginSession.last_seen > now - IDLE,
            )
            .order_by(LoginSession.last_seen.desc(), LoginSession.id.desc())
        )
        with self._db.session() as session:
            return [
                SessionView(row.id, row.address, row.user_agent, row.created, row.last_seen)
                for row in session.scalars(query)
            ]

    def end(self, user: Username, login_id: int) -> None:
        """End one of the user's sessions; raises NotFound for what is none of them."""
        if login_id not in {one.id for one in self.list_of(user)}:
            raise NotFound("cannot find this session", why="it has ended already")
        self.close(login_id)

    def end_all(self, user: Username, *, but: int | None = None) -> int:
        """End all of the user's sessions, or all but one; how many there were."""
        ended = [one.id for one in self.list_of(user) if one.id != but]
        for login_id in ended:
            self.close(login_id)
        return len(ended)

    def is_fresh(self, login_id: int) -> bool:
        """Whether it began minutes ago, so that it needn't be proved again who is there."""
        with self._db.session() as session:
            row = session.get(LoginSession, login_id)
            return row is not None and abs(self._clock.now() - row.created) < FRESH

    def purge(self) -> int:
        """Delete sessions, tokens and codes whose time is over."""
        now = self._clock.now()
        count = 0
        with self._db.session() as session:
            for query in (
                delete(LoginSession).where(LoginSession.expires < now),
                delete(LoginSession).where(LoginSession.last_seen < now - IDLE),
                delete(ApiToken).where(
                    ApiToken.session_id.is_not(None),
                    ApiToken.session_id.not_in(select(LoginSession.session_id)),
                ),
                delete(ApiToken).where(ApiToken.expires < now),
                delete(OAuthCode).where(OAuthCode.expires < now),
            ):
                result = session.execute(query)
                count += result.rowcount if isinstance(result, CursorResult) else 0
        return count
