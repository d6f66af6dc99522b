"""What people say about themselves: the name that others read, the language, the mail address.

A mail address counts when its owner has followed a link that was sent there. Until then nothing
secret goes to it: whoever typed it may have meant another's.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from appliance import audit
from appliance.access.tokens import MAX_LENGTH, hash_secret
from appliance.audit import Action
from appliance.clock import Clock
from appliance.config.mail_schema import is_mail_address
from appliance.db.models import OneTimeLink, User, UserState
from appliance.db.session import Database
from appliance.errors import BadRequest, NoSuchUser, NotFound
from appliance.hub.links import Purpose
from appliance.names import Username
from appliance.web import languages

log = logging.getLogger(__name__)

NAME_MAX: Final = 200
VERIFY_WITHIN: Final = timedelta(hours=24)
_FINGERPRINT: Final = 15


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of a user, as the user's own page shows it."""

    id: int
    name: Username
    full_name: str
    email: str
    email_verified: bool
    language: str


class Profiles:
    """Reads and changes profiles."""

    def __init__(self, *, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def get(self, user: Username) -> Profile:
        with self._db.session() as session:
            return _profile(_row(session, user))

    def change(self, user: Username, *, full_name: str, language: str) -> None:
        """Keep another name to be called by, and a language; raises BadRequest."""
        name = " ".join(full_name.split())
        if len(name) > NAME_MAX or not name.isprintable():
            raise BadRequest(
                "cannot keep this name", why="it is too long, or has signs that can't be shown"
            )
        if language and language not in languages.NAMES:
            raise BadRequest("cannot choose this language", why="there are no pages in it")
        with self._db.session() as session:
            row = _row(session, user)
            row.full_name, row.language = name, language

    def set_email(self, user: Username, email: str) -> str:
        """Keep another mail address; returns what belongs into the link that is sent there.

        Empty takes the address away, and the answer is empty, too. Raises BadRequest.
        """
        email = email.strip()
        if email and not is_mail_address(email):
            raise BadRequest(
                "cannot use this mail address",
                why="it isn't one",
                mend="write it as in ada@example.org",
            )
        with self._db.session() as session:
            row = _row(session, user)
            if email != row.email or not email:
                row.email, row.email_verified = email, False
            self._end_links(session, row.id)
            token = self._add_link(session, row) if email and not row.email_verified else ""
        audit.note(Action.CHANGE_EMAIL, user)
        return token

    def confirm_email(self, token: str) -> Username:
        """Note that the address is the user's, who has followed the link; raises NotFound."""
        if not 0 < len(token) <= MAX_LENGTH:
            raise _gone()
        query = (
            select(User)
            .join(OneTimeLink, OneTimeLink.user_id == User.id)
            .where(
                OneTimeLink.hash == hash_secret(token),
                OneTimeLink.purpose == Purpose.EMAIL,
                OneTimeLink.expires > self._clock.now(),
            )
        )
        with self._db.session() as session:
            row = session.scalar(query)
            if row is None or not token.endswith(_fingerprint(row.email)):
                raise _gone()
            row.email_verified = True
            self._end_links(session, row.id)
            return Username(row.name)

    def find_by_email(self, email: str) -> list[Username]:
        """The active users whose address it is, and who have shown that."""
        query = select(User.name).where(
            func.lower(User.email) == email.lower(),
            User.email_verified.is_(True),
            User.state == UserState.ACTIVE,
        )
        with self._db.session() as session:
            return [Username(name) for name in session.scalars(query.order_by(User.id))]

    def _add_link(self, session: Session, row: User) -> str:
        token = f"{secrets.token_hex(24)}.{_fingerprint(row.email)}"
        now = self._clock.now()
        session.add(
            OneTimeLink(
                hash=hash_secret(token), user_id=row.id, purpose=Purpose.EMAIL, created=now,
                expires=now + VERIFY_WITHIN,
            )
        )  # fmt: skip
        return token

    @staticmethod
    def _end_links(session: Session, user_id: int) -> None:
        session.execute(
            delete(OneTimeLink).where(
                OneTimeLink.user_id == user_id, OneTimeLink.purpose == Purpose.EMAIL
            )
        )


def _fingerprint(email: str) -> str:
    """Binds a link to the address it was sent to: nothing else is stored of it."""
    return hashlib.sha256(email.encode()).hexdigest()[:_FINGERPRINT]


def _row(session: Session, user: Username) -> User:
    row = session.scalar(select(User).where(User.name == user))
    if row is None:
        raise NoSuchUser(user)
    return row


def _profile(row: User) -> Profile:
    return Profile(
        row.id, Username(row.name), row.full_name, row.email, row.email_verified, row.language
    )


def _gone() -> NotFound:
    return NotFound(
        "cannot use this link",
        why="it was used already, its time is over, or another address was set since",
        mend="send yourself a new one from the page of your account",
    )
