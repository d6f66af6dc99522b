"""Links with which a user chooses a password, once: handed out by somebody, or sent by mail.

They make the first admin, and help people who forgot their password. Only the hash of a link's
token is stored; setting the password by any way ends all links of that user. A second factor is
asked for all the same.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, joinedload

from appliance import audit
from appliance.access.tokens import MAX_LENGTH, hash_secret, new_secret
from appliance.audit import Action
from appliance.clock import Clock
from appliance.db.class_models import SchoolClass
from appliance.db.models import Membership, OneTimeLink, User, UserState
from appliance.db.session import Database
from appliance.errors import BadRequest, NotFound
from appliance.names import Username
from appliance.native_auth.authenticator import NativeAuthenticator, put_password

log = logging.getLogger(__name__)

LIFETIME: Final = timedelta(hours=24)
SHORTEST: Final = timedelta(minutes=5)
LONGEST: Final = timedelta(days=7)
MAIL_LIFETIME: Final = timedelta(minutes=30)


class Purpose(StrEnum):
    """What a one-time link is for, by how it gets to its user."""

    PASSWORD = "password"  # noqa: S105 - what it is for
    """To choose a password; a teacher, an admin or root hands it out."""
    MAIL = "mail"
    """The same, sent by mail to who asked for it."""
    EMAIL = "email"
    """To show that a mail address is one's own (profiles.py)."""


_CHOOSES: Final = (Purpose.PASSWORD, Purpose.MAIL)


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

    def make(
        self,
        user: Username,
        *,
        lifetime: timedelta = LIFETIME,
        purpose: Purpose = Purpose.PASSWORD,
    ) -> MadeLink:
        """A new link; an older one of the same user stops working.

        Those sent by mail don't: strangers may have asked for the newer one.
        """
        if not SHORTEST <= lifetime <= LONGEST:
            raise BadRequest("cannot make such a link", why="it must work for 5 minutes to 7 days")
        now = self._clock.now()
        token = new_secret()
        with self._db.session() as session:
            row = session.scalar(select(User).where(User.name == user))
            if row is None:
                raise NotFound(f"cannot make a link for {user!r}", why="no such user")
            if purpose is Purpose.PASSWORD:
                session.execute(
                    delete(OneTimeLink).where(
                        OneTimeLink.user_id == row.id, OneTimeLink.purpose == purpose
                    )
                )
            session.add(
                OneTimeLink(
                    hash=hash_secret(token),
                    user_id=row.id,
                    purpose=purpose,
                    created=now,
                    expires=now + lifetime,
                )
            )
        log.info("link to choose a password made for %s", user)
        audit.note(Action.MAKE_LINK, user)
        return MadeLink(f"{self._hub_url}setup?token={token}", now + lifetime)

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
            .where(
                OneTimeLink.hash == hash_secret(token),
                OneTimeLink.purpose.in_(_CHOOSES),
                OneTimeLink.expires > self._clock.now(),
                User.state != UserState.LOCKED,
            )
            .options(joinedload(User.password))
        )


def end_links_by_teachers(session: Session, user_id: int) -> None:
    """End the links that a teacher of a student's may have handed out, as the student gets rights:
    whoever holds such a link would have them, too."""
    in_a_class = (
        select(Membership.user_id)
        .join(SchoolClass, SchoolClass.group_id == Membership.group_id)
        .where(Membership.user_id == user_id)
    )
    session.execute(
        delete(OneTimeLink).where(
            OneTimeLink.user_id == user_id,
            OneTimeLink.purpose == Purpose.PASSWORD,
            in_a_class.exists(),
        )
    )


def _gone() -> NotFound:
    return NotFound(
        "cannot use this link",
        why="it was used already, or its time is over",
        mend="ask for a new one",
    )
