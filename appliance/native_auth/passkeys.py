"""Passkeys (WebAuthn): keys that people's devices keep, of which we know the public half.

One is bound to this host's name and says whose it is, so nobody types anything, and nobody can be
lured into giving it to another site. The device has made sure of its user (by a finger, a face or a
PIN), so a passkey alone is two factors. Used after the password, it is the second one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import CursorResult, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from appliance.clock import Clock
from appliance.db.factor_models import Passkey as Row
from appliance.db.models import User, UserState
from appliance.db.session import Database
from appliance.errors import BadRequest, NotAllowed, NotFound
from appliance.names import Username
from appliance.native_auth.half_way import HalfWay
from appliance.native_auth.sealing import Sealer
from appliance.native_auth.webauthn import Ceremony, Known, Site, WebAuthn

log = logging.getLogger(__name__)

MOST: Final = 20
NAME_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class PasskeyView:
    """A passkey, as its owner's page shows it."""

    id: int
    name: str
    created: datetime
    last_used: datetime | None


@dataclass(frozen=True, slots=True)
class _Begun:
    """A challenge that was sent, and for whom; `user_id` is None where anybody may answer."""

    ceremony: Ceremony
    user_id: int | None


class Passkeys:
    """Registers, uses, names and removes passkeys."""

    def __init__(self, *, db: Database, clock: Clock, sealer: Sealer) -> None:
        self._db = db
        self._clock = clock
        self._sealer = sealer
        self._registering: HalfWay[_Begun] = HalfWay(clock=clock)
        self._answering: HalfWay[_Begun] = HalfWay(clock=clock)

    # Registering

    def begin_registration(self, user_id: int, user: Username, site: Site) -> dict[str, Any]:
        """What the browser needs to make one; `key` comes back with the answer."""
        known = self._known(user_id)
        if len(known) >= MOST:
            raise BadRequest(
                "cannot add a passkey",
                why="there are too many already",
                mend="remove one that you no longer use",
            )
        options, ceremony = WebAuthn(site).ask_for_new(
            handle=self._handle(user_id), name=user, known=known
        )
        key = self._registering.put(_Begun(ceremony, user_id), owner=f"user:{user_id}")
        return {"key": key, "options": options}

    def finish_registration(
        self, user_id: int, key: str, answer: object, name: str, site: Site
    ) -> PasskeyView:
        """Keep the public half of a new passkey; raises BadRequest."""
        begun = self._registering.take(key)
        if begun is None or begun.user_id != user_id:
            raise _too_late()
        made = WebAuthn(site).check_new(begun.ceremony, answer)
        row = Row(
            user_id=user_id, credential=made.credential, public=made.public,
            sign_count=made.sign_count, name=_clean(name), created=self._clock.now(),
        )  # fmt: skip
        try:
            with self._db.session() as session:
                session.add(row)
                session.flush()
                return _view(row)
        except IntegrityError as err:
            raise BadRequest("cannot add this passkey", why="it is known already") from err

    # Logging in

    def begin(self, site: Site, *, network: str, user_id: int | None = None) -> dict[str, Any]:
        """What the browser needs to answer with a passkey: anybody's, or one of a user's."""
        known = [] if user_id is None else self._known(user_id)
        options, ceremony = WebAuthn(site).ask_for_known(known, alone=user_id is None)
        key = self._answering.put(_Begun(ceremony, user_id), owner=network)
        return {"key": key, "options": options}

    def finish(
        self, key: str, answer: object, site: Site, *, user_id: int | None = None
    ) -> Username:
        """Who has answered; raises NotAllowed."""
        begun = self._answering.take(key)
        if begun is None or begun.user_id != user_id:
            raise _too_late()
        webauthn = WebAuthn(site)
        credential = webauthn.credential_of(answer)
        with self._db.session() as session:
            found = session.execute(
                select(Row, User)
                .join(User, User.id == Row.user_id)
                .where(Row.credential == credential)
            ).one_or_none()
            if found is None or (user_id is not None and found[0].user_id != user_id):
                raise NotAllowed(
                    "cannot log in",
                    why="this passkey isn't known here",
                    mend="use another one, or log in another way",
                )
            row, user = found
            known = Known(row.credential, row.public)
            handle = self._handle(row.user_id)
            count = webauthn.check_known(begun.ceremony, answer, known, handle=handle)
            self._count_up(session, row, count)
            if user.state != UserState.ACTIVE:
                raise NotAllowed(
                    "cannot log in",
                    why="the account is not active",
                    mend="ask your teacher or an admin",
                )
            return Username(user.name)

    def _count_up(self, session: Session, row: Row, count: int) -> None:
        """A copy of a device's key is found out by its counter, where the device has one."""
        if (count or row.sign_count) and count <= row.sign_count:
            log.warning("passkey %d of user %d: its counter went back", row.id, row.user_id)
            raise NotAllowed(
                "cannot log in",
                why="this passkey seems to have been copied",
                mend="log in another way, and remove it from your account",
            )
        session.execute(
            update(Row).where(Row.id == row.id).values(
                sign_count=count, last_used=self._clock.now()
            )
        )  # fmt: skip

    # Looking after them

    def list_of(self, user_id: int) -> list[PasskeyView]:
        with self._db.session() as session:
            rows = session.scalars(select(Row).where(Row.user_id == user_id).order_by(Row.id))
            return [_view(row) for row in rows]

    def count(self, user_id: int) -> int:
        with self._db.session() as session:
            return session.scalar(select(func.count()).where(Row.user_id == user_id)) or 0

    def rename(self, user_id: int, passkey_id: int, name: str) -> None:
        with self._db.session() as session:
            self._own(session, user_id, passkey_id).name = _clean(name)

    def remove_one(self, user_id: int, passkey_id: int) -> None:
        with self._db.session() as session:
            session.delete(self._own(session, user_id, passkey_id))

    def remove(self, session: Session, user_id: int) -> bool:
        """Remove all of a user's."""
        result = session.execute(delete(Row).where(Row.user_id == user_id))
        return isinstance(result, CursorResult) and result.rowcount > 0

    def _own(self, session: Session, user_id: int, passkey_id: int) -> Row:
        row = session.get(Row, passkey_id)
        if row is None or row.user_id != user_id:
            raise NotFound("cannot find this passkey", why="it is removed, or isn't yours")
        return row

    def _known(self, user_id: int) -> list[Known]:
        with self._db.session() as session:
            rows = session.scalars(select(Row).where(Row.user_id == user_id))
            return [Known(row.credential, row.public) for row in rows]

    def _handle(self, user_id: int) -> bytes:
        """What the device keeps as the user's id: says nothing about who it is."""
        return self._sealer.digest("passkey-user", str(user_id))


def _view(row: Row) -> PasskeyView:
    return PasskeyView(row.id, row.name, row.created, row.last_used)


def _clean(name: str) -> str:
    words = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    return words[:NAME_MAX] or "Passkey"


def _too_late() -> NotAllowed:
    return NotAllowed(
        "cannot use this passkey",
        why="it took too long, or was tried twice",
        mend="try again",
    )
