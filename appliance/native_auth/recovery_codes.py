"""Recovery codes: ten that one prints, each of which works once in place of the second factor.

Only keyed hashes are stored. A code has 49 random bits, as generated passwords have.
"""

from __future__ import annotations

import re
from typing import Final

from sqlalchemy import CursorResult, delete, func, insert, select
from sqlalchemy.orm import Session

from appliance.db.factor_models import RecoveryCode as Row
from appliance.db.session import Database
from appliance.native_auth import passwords
from appliance.native_auth.sealing import Sealer

HOW_MANY: Final = 10
_LONGEST: Final = 100


class RecoveryCodes:
    """Makes, counts and uses up recovery codes."""

    def __init__(self, *, db: Database, sealer: Sealer) -> None:
        self._db = db
        self._sealer = sealer

    def make(self, user_id: int) -> tuple[str, ...]:
        """New codes, which are never shown again; older ones end."""
        codes = tuple(passwords.generate() for _ in range(HOW_MANY))
        with self._db.session() as session:
            self.remove(session, user_id)
            session.execute(
                insert(Row),
                [{"hash": self._hash(user_id, code), "user_id": user_id} for code in codes],
            )
        return codes

    def use(self, user_id: int, code: str) -> bool:
        """Whether it is one of the user's, which it then no longer is."""
        if not 0 < len(code) <= _LONGEST:
            return False
        with self._db.session() as session:
            result = session.execute(
                delete(Row).where(Row.hash == self._hash(user_id, code), Row.user_id == user_id)
            )
            return isinstance(result, CursorResult) and result.rowcount == 1

    def count(self, user_id: int) -> int:
        with self._db.session() as session:
            return session.scalar(select(func.count()).where(Row.user_id == user_id)) or 0

    def remove(self, session: Session, user_id: int) -> None:
        session.execute(delete(Row).where(Row.user_id == user_id))

    def _hash(self, user_id: int, code: str) -> str:
        # However it is typed: with blanks, in capitals, without the hyphens.
        plain = re.sub(r"[\s-]", "", code.lower())
        return self._sealer.hash("recovery", f"{user_id}\0{plain}")
