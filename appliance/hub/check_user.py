"""The accounts as which `appliance doctor` and `appliance isolation test` log in, like users and
as nobody's users.

They are locked but for the seconds of a run, and each run sets passwords that only that run knows.
A run that is cut off leaves a password nobody has, and the account locks by itself soon after.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from appliance.clock import Clock
from appliance.db.class_models import Teaching
from appliance.db.models import Membership, User, UserState
from appliance.db.session import Database
from appliance.errors import Conflict
from appliance.hub.users import Users
from appliance.names import CHECK_USER, CHECK_USERS, Username
from appliance.native_auth.authenticator import NativeAuthenticator

_MARK: Final = "check_until"
_LIFETIME: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Opened:
    """A run's way in."""

    name: Username
    password: str


class CheckUser:
    """Opens and closes the accounts."""

    def __init__(
        self, *, db: Database, clock: Clock, authenticator: NativeAuthenticator, users: Users
    ) -> None:
        self._db = db
        self._clock = clock
        self._authenticator = authenticator
        self._users = users

    async def open(self, name: Username = CHECK_USER) -> Opened:
        """Let the account in with a new password; what an earlier run left ends first.

        Raises Conflict if the account of that name is somebody's.
        """
        self._settle(name)
        if self._until(name) is not None:
            await self.close(name)
        # Whatever passwords must be like here, this one is.
        password = f"Aa1-{secrets.token_urlsafe(24)}"
        await self._authenticator.set_password(name, password)
        self._mark(name, self._clock.now() + _LIFETIME)
        self._users.unlock(name)
        return Opened(name, password)

    async def close(self, name: Username = CHECK_USER) -> None:
        """Lock the account; its sessions, tokens and servers end."""
        if self._until(name) is None:
            return
        await self._users.lock(name)
        self._mark(name, None)

    async def close_if_left(self) -> None:
        """Close each once no run can be under way any more."""
        for name in sorted(CHECK_USERS):
            until = self._until(name)
            # A clock that was set back must not keep it open either.
            now = self._clock.now()
            if until is not None and not now <= until <= now + _LIFETIME:
                await self.close(name)

    def _settle(self, name: Username) -> None:
        """Make the account if there is none; whatever rights somebody gave it are taken away."""
        with self._db.session() as session:
            row = _find(session, name)
            if row is None:
                session.add(
                    User(
                        name=name, state=UserState.LOCKED, created=self._clock.now(),
                        info={_MARK: None},
                    )
                )  # fmt: skip
                return
            if _MARK not in row.info:
                raise Conflict(
                    f"cannot log in as {name!r} to check the log-in",
                    why="somebody made an account of that name before it was the appliance's own",
                    mend=f"appliance user rename {name} NEW-NAME",
                )
            row.admin = False
            for table in (Membership, Teaching):
                session.execute(delete(table).where(table.user_id == row.id))

    def _until(self, name: Username) -> datetime | None:
        """Until when the account is open; None if it is closed, or there is none."""
        with self._db.session() as session:
            row = _find(session, name)
            text = row.info.get(_MARK) if row else None
            is_open = row is not None and row.state == UserState.ACTIVE
            if row is None or _MARK not in row.info or not (is_open or text):
                return None
        return datetime.fromisoformat(text) if text else self._clock.now() - _LIFETIME

    def _mark(self, name: Username, until: datetime | None) -> None:
        with self._db.session() as session:
            row = _find(session, name)
            if row is not None:
                row.info = {**row.info, _MARK: until.isoformat() if until else None}


def _find(session: Session, name: Username) -> User | None:
    return session.scalar(select(User).where(User.name == name))
