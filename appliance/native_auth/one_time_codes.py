"""Codes of an authenticator app: six digits that change every half minute (TOTP, RFC 6238).

A code works once, and one step before and after its time, because clocks differ. The secret is
sealed in the database, so that a copy of it alone makes no codes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sqlalchemy import CursorResult, delete, update
from sqlalchemy.orm import Session

from appliance.clock import Clock
from appliance.db.factor_models import OneTimeCodes as Row
from appliance.db.session import Database
from appliance.errors import Conflict
from appliance.names import Username
from appliance.native_auth.sealing import Sealed, Sealer

STEP_SECONDS: Final = 30
_AROUND: Final = (0, -1, 1)
_CODE: Final = re.compile(r"[0-9]{6}")
# What the app shows above the code.
ISSUER: Final = "Hub Appliance"


@dataclass(frozen=True, slots=True)
class AppSecret:
    """What an app must know to make codes: as an address for its camera, and to be typed."""

    uri: str
    secret: str

    @property
    def in_groups(self) -> str:
        """The secret in groups of four, as people type it."""
        return " ".join(re.findall(".{1,4}", self.secret))


class OneTimeCodes:
    """Sets up apps and checks their codes."""

    def __init__(self, *, db: Database, clock: Clock, sealer: Sealer) -> None:
        self._db = db
        self._clock = clock
        self._sealer = sealer

    def begin(self, user_id: int) -> None:
        """A new secret, which counts when a first code has been entered; raises Conflict."""
        import pyotp

        secret = pyotp.random_base32()
        with self._db.session() as session:
            row = session.get(Row, user_id)
            if row is not None and row.confirmed is not None:
                raise Conflict(
                    "cannot set up an app",
                    why="one is set up already",
                    mend="switch its codes off first",
                )
            session.merge(
                Row(
                    user_id=user_id,
                    sealed=self._sealer.seal(secret, of=user_id),
                    confirmed=None,
                    last_step=0,
                )
            )

    def find_secret(self, user_id: int, user: Username, *, site: str) -> AppSecret | None:
        """The secret of an app that is being set up; never that of one that is in use."""
        import pyotp

        with self._db.session() as session:
            row = session.get(Row, user_id)
            if row is None or row.confirmed is not None:
                return None
            secret = self._open(row)
        if not secret:
            return None
        uri = pyotp.TOTP(secret).provisioning_uri(name=f"{user}@{site}", issuer_name=ISSUER)
        return AppSecret(uri, secret)

    def confirm(self, user_id: int, code: str) -> bool:
        """Enter the first code; from now on log-ins ask for one."""
        with self._db.session() as session:
            row = session.get(Row, user_id)
            if row is None or row.confirmed is not None:
                return False
            step = self._step_of(self._open(row), code)
            if step is None:
                return False
            row.confirmed, row.last_step = self._clock.now(), step
            return True

    def use(self, user_id: int, code: str) -> bool:
        """Whether the code is right now; it is so once, also of two that come at once."""
        with self._db.session() as session:
            row = session.get(Row, user_id)
            if row is None or row.confirmed is None:
                return False
            step = self._step_of(self._open(row), code)
            if step is None:
                return False
            result = session.execute(
                update(Row)
                .where(Row.user_id == user_id, Row.last_step < step)
                .values(last_step=step)
                .execution_options(synchronize_session=False)
            )
            return isinstance(result, CursorResult) and result.rowcount == 1

    def remove(self, session: Session, user_id: int) -> bool:
        """Ask for no more codes."""
        result = session.execute(delete(Row).where(Row.user_id == user_id))
        return isinstance(result, CursorResult) and result.rowcount > 0

    def _open(self, row: Row) -> str:
        try:
            return self._sealer.open(row.sealed, of=row.user_id)
        except Sealed:
            # The key file is another one. No code is right then; recovery codes are gone as well,
            # and an admin can reset the second factor.
            return ""

    def _step_of(self, secret: str, code: str) -> int | None:
        """The step in which the code is the right one, if it is now."""
        import pyotp

        typed = re.sub(r"[\s-]", "", code)
        if not secret or not _CODE.fullmatch(typed) or not typed.isascii():
            return None
        totp = pyotp.TOTP(secret, interval=STEP_SECONDS)
        now = int(self._clock.now().timestamp()) // STEP_SECONDS
        for away in _AROUND:
            if pyotp.utils.strings_equal(totp.generate_otp(now + away), typed):
                return now + away
        return None
