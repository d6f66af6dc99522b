"""Set-up links: who holds one may choose the user's password, once, within 24 hours.

They make the first admin, and help people who forgot their password. Only the hash of a link's
token is stored; setting the password by any way ends all links of that user.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, joinedload

from appliance import audit
from appliance.access.tokens import MAX_LENGTH, hash_secret, new_secret
from appliance.audit import Action
from appliance.clock import Clock
from appliance.db.models import OneTimeLink, User, UserState
from appliance.db.session import Database
from appliance.errors import NotFound
from appliance.names import Username
from appliance.native_auth.authenticator import NativeAuthenticator, put_password

log = logging.getLogger(__name__)

LIFETIME: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class MadeLink:
    """A link just made: the only time its path is known."""

    path: str
    expires: datetime


class Links:
    """Makes and honours set-up links."""

    def __init__(
        self, *, db: Database, clock: Clock, authenticator: NativeAuthenticator, hub_url: str
    ) -> None:
        self._db = db
        self._clock = clock
        self._authenticator = authenticator
        self._hub_url = hub_url

    def make(self, user: Username) -> MadeLink:
        """A new link; an older one of the same user stops working."""
        now = self._clock.now()
        token = new_secret()
        with self._db.session() as session:
            row = session.scalar(select(User).where(User.name == user))
            if row is None:
                raise NotFound(f"cannot make a link for {user!r}", why="no such user")
            session.execute(delete(OneTimeLink).where(OneTimeLink.user_id == row.id))
            session.add(
                OneTimeLink(
                    hash=hash_secret(token),
                    user_id=row.id,
                    purpose="password",
                    created=now,
                    expires=now + LIFETIME,
                )
            )
        log.info("set-up link made for %s", user)
        audit.note(Action.MAKE_LINK, user)
        return MadeLink(f"{self._hub_url}setup?token={token}", now + LIFETIME)

    def find_user(self, token: str) -> Username | None:
        """Whose link it is, if it still works; uses nothing up."""
        with self._db.session() as session:
            found = self._find(session, token)
            return Username(found.name) if found else None

    async def use(self, token: str, password: str) -> Username:
        """Set the password and let the user in; raises NotFound for a link that is spent.

        A password that isn't good enough raises BadRequest and leaves the link as it was.
        """
        user = self.find_user(token)
        if user is None:
            raise _gone()
        hashed = await self._authenticator.hash_for(password, user)
        with self._db.session() as session:
            # Again, because hashing took its time: of two who use it at once, one succeeds.
            row = self._find(session, token)
            if row is None:
                raise _gone()
            put_password(session, row, hashed, now=self._clock.now(), must_change=False)
            if row.state == UserState.WAITING:
                row.state = UserState.ACTIVE
        log.info("user %s chose a password by a set-up link", user)
        audit.note(Action.USE_LINK, user, user=user)
        return user

    def _find(self, session: Session, token: str) -> User | None:
        if not 0 < len(token) <= MAX_LENGTH:
            return None
        return session.scalar(
            select(User)
            .join(OneTimeLink, OneTimeLink.user_id == User.id)
            .where(OneTimeLink.hash == hash_secret(token), OneTimeLink.expires > self._clock.now())
            .options(joinedload(User.password))
        )


def _gone() -> NotFound:
    return NotFound(
        "cannot use this link",
        why="it was used already or is older than a day",
        mend="ask for a new one",
    )
