"""The tables of what proves who somebody is, besides the password."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from appliance.db.models import CASCADE, Table


class OneTimeCodes(Table):
    """A user's secret for codes of an authenticator app (TOTP), sealed with a key of the hub's."""

    __tablename__ = "one_time_codes"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete=CASCADE), primary_key=True)
    sealed: Mapped[str] = mapped_column(String(255))
    confirmed: Mapped[datetime | None]
    """Since when log-ins ask for a code; null while the user hasn't entered a first one."""
    last_step: Mapped[int] = mapped_column(default=0)
    """The time step of the code used last: a code works once."""


class RecoveryCode(Table):
    """A code that works once in place of the authenticator app."""

    __tablename__ = "recovery_codes"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete=CASCADE), index=True)


class Passkey(Table):
    """A key that a user's device keeps (WebAuthn); we know its public half alone."""

    __tablename__ = "passkeys"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete=CASCADE), index=True)
    credential: Mapped[str] = mapped_column(String(1400), unique=True)
    """The credential's id, base64url."""
    public: Mapped[str] = mapped_column(String(4000))
    """The attested credential data, base64url."""
    sign_count: Mapped[int] = mapped_column(default=0)
    name: Mapped[str] = mapped_column(String(100), default="")
    created: Mapped[datetime]
    last_used: Mapped[datetime | None]
