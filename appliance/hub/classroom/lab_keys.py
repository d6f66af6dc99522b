"""What tells a page of somebody's own server from other pages of this host.

All servers share the hub's origin, so a page of another's server that a student looks at could ask
the hub with the student's cookie. Therefore our JupyterLab extension sends a key along, which the
server puts into the pages it gives to its visitors: it follows from the server's own token, so the
hub knows it without storing anything, and a page of another server can't know it.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from sqlalchemy import select

from appliance.clock import Clock
from appliance.db.models import ApiToken, LoginSession, Server, User, UserState
from appliance.db.session import Database
from appliance.hub.sessions import IDLE

HEADER: Final = "X-Appliance-Lab-Key"
ARGUMENT: Final = "lab_key"
# The same in appliance/singleuser/messages.py, which imports nothing of the hub.
_PURPOSE: Final = b"messages in JupyterLab"
_LENGTH: Final = 64


def key_of(token_hash: str) -> str:
    """The key of the server whose token has this SHA-256."""
    return hmac.new(token_hash.encode(), _PURPOSE, hashlib.sha256).hexdigest()


class LabKeys:
    """Checks keys against the servers that run."""

    def __init__(self, *, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def fits(self, user: str, key: str) -> bool:
        """Whether it is the key of a server of this user's."""
        return user in self._owners(key, only=user)

    def owner(self, key: str) -> tuple[str, int] | None:
        """Whose server's pages have this key, and the row of the log-in that was used last.

        For pages on a host where no cookie of ours is; None too if the owner has logged out.
        """
        now = self._clock.now()
        for name in self._owners(key):
            query = (
                select(LoginSession.id)
                .join(User, User.id == LoginSession.user_id)
                .where(User.name == name)
                .where(LoginSession.expires > now, LoginSession.last_seen > now - IDLE)
                .order_by(LoginSession.last_seen.desc())
                .limit(1)
            )
            with self._db.reading() as connection:
                login_id = connection.scalar(query)
            if login_id is not None:
                return name, login_id
        return None

    def _owners(self, key: str, *, only: str = "") -> list[str]:
        if len(key) != _LENGTH or not key.isascii():
            return []
        query = (
            select(User.name, ApiToken.hash)
            .join(Server, Server.user_id == User.id)
            .join(ApiToken, ApiToken.server_id == Server.id)
            .where(User.state == UserState.ACTIVE)
        )
        if only:
            query = query.where(User.name == only)
        with self._db.reading() as connection:
            rows = connection.execute(query).all()
        return [name for name, hashed in rows if hmac.compare_digest(key_of(hashed), key)]
