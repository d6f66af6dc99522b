"""Mail to those who may approve, when somebody has signed up and waits (`mail.tell_sign_ups`).

One mail in a quarter of an hour to each: a class that signs up together is one piece of news.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Row, or_, select

from appliance.clock import Clock
from appliance.db.class_models import Teaching
from appliance.db.models import Membership, User, UserState
from appliance.db.session import Database
from appliance.names import Username
from appliance.native_auth.letters import Letters
from appliance.native_auth.mail import Mailer

_PAUSE: Final = timedelta(minutes=15)


class News:
    """Writes to admins, and to teachers of the class that somebody wants to join."""

    def __init__(
        self, *, db: Database, clock: Clock, mailer: Mailer, letters: Letters, hub_url: str
    ) -> None:
        self._db = db
        self._clock = clock
        self._mailer = mailer
        self._letters = letters
        self._hub_url = hub_url
        self._told: dict[int, datetime] = {}

    def waits(self, user: Username) -> None:
        """Tell that somebody waits, if it is wanted."""
        if not self._mailer.is_set_up or not self._mailer.settings.tell_sign_ups:
            return
        now = self._clock.now()
        self._told = {who: at for who, at in self._told.items() if at > now - _PAUSE}
        for row in self._approvers(user):
            if row.id in self._told:
                continue
            self._told[row.id] = now
            path = f"{self._hub_url}{'admin?show=waiting' if row.admin else 'classes'}"
            self._mailer.post(
                self._letters.sign_up_waits(row.email, name=user, path=path, language=row.language)
            )

    def _approvers(self, user: Username) -> Sequence[Row[*tuple[int, str, str, bool]]]:
        taught = (
            select(Teaching.user_id)
            .join(Membership, Membership.group_id == Teaching.group_id)
            .join(User, User.id == Membership.user_id)
            .where(User.name == user)
        )
        query = select(User.id, User.email, User.language, User.admin).where(
            User.email_verified.is_(True),
            User.state == UserState.ACTIVE,
            or_(User.admin.is_(True), User.id.in_(taught)),
        )
        with self._db.session() as session:
            return session.execute(query).all()
