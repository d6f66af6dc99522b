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

from appliance.db.models import ApiToken, Server, User
from appliance.db.session import Database

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

    def __init__(self, *, db: Database) -> None:
        self._db = db

    def fits(self, user: str, key: str) -> bool:
        """Whether it is the key of a server of this user's."""
        if len(key) != _LENGTH or not key.isascii():
            return False
        query = (
            select(ApiToken.hash)
            .join(Server, Server.id == ApiToken.server_id)
            .join(User, User.id == Server.user_id)
            .where(User.name == user)
        )
        with self._db.reading() as connection:
            hashes = connection.scalars(query).all()
        return any(hmac.compare_digest(key_of(one), key) for one in hashes)
