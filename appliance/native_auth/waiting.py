"""What a browser holds that has signed up and waits: it learns when its owner is let in.

A ticket is a signed name, in a cookie. The browser that holds it chose the account's password a
while ago, so it may begin the first session without typing it again; it stops working with that
session, when the password changes, and after a week.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from appliance.clock import Clock
from appliance.db.models import User, UserState
from appliance.db.session import Database
from appliance.names import Username

COOKIE: Final = "appliance-waiting"
LIFETIME: Final = timedelta(days=7)
_TICKET_MAX: Final = 300


class Stage(StrEnum):
    """How it stands with a sign-up."""

    WAITING = "waiting"
    APPROVED = "approved"
    ENTERED = "entered"
    """Approved, and somebody has logged in since."""
    GONE = "gone"
    """Rejected, removed or locked."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Whose ticket it is, and how it stands."""

    name: Username
    stage: Stage


class WaitingTickets:
    """Makes and reads tickets with one secret."""

    def __init__(self, *, db: Database, clock: Clock, secret: bytes) -> None:
        self._db = db
        self._clock = clock
        self._secret = secret

    def make(self, name: Username) -> str:
        """A ticket for somebody who has just signed up; "" if there is no such account."""
        row = self._find(name)
        if row is None or row.password is None:
            return ""
        expires = int((self._clock.now() + LIFETIME).timestamp())
        said = f"{row.name}:{_mark(row.created)}:{self._of_hash(row.password.hash)}:{expires}"
        return f"{said}:{self._sign(said)}"

    def read(self, ticket: str) -> Standing | None:
        """How it stands with whoever holds this ticket; None for one that isn't valid."""
        said, _, signature = ticket[:_TICKET_MAX].rpartition(":")
        if not hmac.compare_digest(signature.encode(errors="replace"), self._sign(said).encode()):
            return None
        name, created, password, expires = said.split(":")
        if int(expires) <= self._clock.now().timestamp():
            return None
        row = self._find(name)
        if row is None or _mark(row.created) != created:
            return Standing(Username(name), Stage.GONE)
        if row.password is None or self._of_hash(row.password.hash) != password:
            return None
        return Standing(Username(name), _stage(row))

    def _find(self, name: str) -> User | None:
        with self._db.session() as session:
            query = select(User).where(User.name == name).options(joinedload(User.password))
            return session.scalar(query)

    def _of_hash(self, hashed: str) -> str:
        """What changes with the password, and tells nothing of it."""
        return self._sign(f"password\0{hashed}")[:32]

    def _sign(self, text: str) -> str:
        message = f"waiting\0{text}".encode()
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()


def _mark(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%d%H%M%S%f}"


def _stage(row: User) -> Stage:
    if row.state == UserState.WAITING:
        return Stage.WAITING
    if row.state == UserState.ACTIVE:
        return Stage.APPROVED if row.last_activity is None else Stage.ENTERED
    return Stage.GONE
