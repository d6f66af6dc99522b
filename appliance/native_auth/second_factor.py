"""The second step of a log-in: an app's code, a recovery code or a passkey, after the password.

It is asked for once an app is set up, or where a role demands it. Between the two steps there is no
session: only a ticket, in memory, for some minutes and tries, that ends when the password changes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, exists, select
from sqlalchemy.orm import Session

from appliance import audit
from appliance.audit import Action, Outcome
from appliance.clock import Clock
from appliance.db.factor_models import OneTimeCodes as AppRow
from appliance.db.factor_models import Passkey as PasskeyRow
from appliance.db.models import Password, User, UserState
from appliance.db.session import Database
from appliance.errors import NotAllowed, NotFound, TooMany
from appliance.names import Username
from appliance.native_auth.half_way import HalfWay
from appliance.native_auth.one_time_codes import OneTimeCodes
from appliance.native_auth.passkeys import Passkeys
from appliance.native_auth.recovery_codes import RecoveryCodes
from appliance.native_auth.sealing import Sealer
from appliance.native_auth.throttle import Throttle
from appliance.web.failures import LoginNeeded

log = logging.getLogger(__name__)

_TRIES: Final = 10


class WrongCode(NotAllowed):
    """The second step failed."""

    def __init__(self, *, of_app: bool = False) -> None:
        mend = "wait for the next code of your app, and check the time of your phone"
        super().__init__(
            "cannot log in",
            why="the code is wrong, or was used already",
            mend=mend if of_app else "",
        )


@dataclass(frozen=True, slots=True)
class Factors:
    """What somebody has set up besides the password."""

    app: bool
    passkeys: int
    recovery_codes: int

    @property
    def any(self) -> bool:
        return self.app or self.passkeys > 0


@dataclass(slots=True)
class Ticket:
    """Somebody gave the right password, and has yet to take the second step."""

    user: Username
    user_id: int
    hash: str
    """The hash of that password: with another one, the ticket is worth nothing."""
    tries: int = 0


class SecondFactor:
    """Knows who must take a second step, and takes it with them."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        throttle: Throttle,
        sealer: Sealer,
        is_required: Callable[[Username], bool],
        has_passkeys: bool = True,
    ) -> None:
        """`is_required` tells whether a role of the user's demands a second factor."""
        self._db = db
        self._throttle = throttle
        self._is_required = is_required
        self.codes = OneTimeCodes(db=db, clock=clock, sealer=sealer)
        self.recovery = RecoveryCodes(db=db, sealer=sealer)
        self.passkeys = Passkeys(db=db, clock=clock, sealer=sealer)
        self.has_passkeys = has_passkeys
        """Whether the configuration lets people use passkeys."""
        self._tickets: HalfWay[Ticket] = HalfWay(clock=clock)

    # What is set up

    def state(self, user_id: int) -> Factors:
        with self._db.session() as session:
            row = session.get(AppRow, user_id)
            app = row is not None and row.confirmed is not None
        return Factors(app, self.passkeys.count(user_id), self.recovery.count(user_id))

    def is_asked(self, user: Username) -> bool:
        """Whether the password alone doesn't let the user in."""
        app, passkey = self._has(user)
        return app or (passkey and self._is_required(user))

    def is_missing(self, user: Username) -> bool:
        """Whether the user must set one up before anything else."""
        return not any(self._has(user)) and self._is_required(user)

    def is_required(self, user: Username) -> bool:
        return self._is_required(user)

    def reset(self, user: Username) -> bool:
        """Forget all that is set up, for who lost it; whether there was anything."""
        with self._db.session() as session:
            user_id = _id_of(session, user)
            had_app = self.codes.remove(session, user_id)
            had_passkeys = self.passkeys.remove(session, user_id)
            self.recovery.remove(session, user_id)
        self._throttle.forgive(user)
        self._tickets.forget(lambda ticket: ticket.user == user)
        log.info("second factors of %s reset", user)
        audit.note(Action.RESET_FACTORS, user)
        return had_app or had_passkeys

    def switch_codes_off(self, user: Username) -> None:
        """Ask for no codes of an app any more; recovery codes go too, if nothing else is left."""
        with self._db.session() as session:
            user_id = _id_of(session, user)
            self.codes.remove(session, user_id)
            if not session.scalar(select(exists().where(PasskeyRow.user_id == user_id))):
                self.recovery.remove(session, user_id)
        audit.note(Action.REMOVE_FACTOR, user, kind="app")

    # Between the steps

    def begin(self, user: Username) -> str:
        """A ticket for who has just given the right password."""
        with self._db.session() as session:
            user_id, hashed = session.execute(
                select(User.id, Password.hash)
                .join(Password, Password.user_id == User.id)
                .where(User.name == user)
            ).one()
        return self._tickets.put(Ticket(user, user_id, hashed), owner=user)

    def find(self, key: str) -> Ticket | None:
        """Whose second step it is, if the ticket is still good."""
        ticket = self._tickets.find(key)
        if ticket is None:
            return None
        with self._db.session() as session:
            hashed = session.scalar(
                select(Password.hash)
                .join(User, User.id == Password.user_id)
                .where(
                    User.id == ticket.user_id,
                    User.name == ticket.user,
                    User.state == UserState.ACTIVE,
                )
            )
        return ticket if hashed == ticket.hash else None

    def finish(self, key: str, *, code: str = "", recovery: str = "") -> Username:
        """Take the second step by a code; raises WrongCode, TooMany, or LoginNeeded."""
        ticket = self._try(key)
        kind = "second" if code else "recovery"
        throttled = [f"{kind}:{ticket.user}"]
        try:
            self._throttle.attempt(throttled)
        except TooMany:
            audit.note(Action.LOG_IN, ticket.user, outcome=Outcome.THROTTLED, step=2)
            raise
        if code:
            is_right = self.codes.use(ticket.user_id, code)
        else:
            is_right = self.recovery.use(ticket.user_id, recovery)
        if not is_right:
            raise self._refused(ticket, of_app=bool(code))
        self._throttle.succeeded(throttled)
        return self._leave(key, ticket)

    def finish_by_passkey(self, key: str, prove: Callable[[int], Username]) -> Username:
        """Take it by a passkey, which `prove` checks for the user of that id."""
        ticket = self._try(key)
        try:
            user = prove(ticket.user_id)
        except NotAllowed as err:
            raise self._refused(ticket) from err
        if user != ticket.user:
            raise self._refused(ticket)
        return self._leave(key, ticket)

    def _try(self, key: str) -> Ticket:
        ticket = self.find(key)
        if ticket is None or ticket.tries >= _TRIES:
            self._tickets.take(key)
            raise LoginNeeded
        ticket.tries += 1
        return ticket

    def _leave(self, key: str, ticket: Ticket) -> Username:
        if self._tickets.take(key) is None:
            raise LoginNeeded
        log.info("user %s took the second step", ticket.user)
        return ticket.user

    def _refused(self, ticket: Ticket, *, of_app: bool = False) -> WrongCode:
        log.info("second step of %s refused", ticket.user)
        audit.note(Action.LOG_IN, ticket.user, outcome=Outcome.REFUSED, why="wrong second factor")
        return WrongCode(of_app=of_app)

    def _has(self, user: Username) -> tuple[bool, bool]:
        """Whether the user has an app, and a passkey."""
        with self._db.session() as session:
            row = session.execute(_HAS, {"user": user}).one_or_none()
        return (bool(row[0]), bool(row[1])) if row else (False, False)


def has_factor(session: Session, user_id: int) -> bool:
    """Whether the user has set up anything besides the password."""
    return bool(
        session.scalar(
            select(
                exists().where(AppRow.user_id == user_id, AppRow.confirmed.is_not(None))
                | exists().where(PasskeyRow.user_id == user_id)
            )
        )
    )


def _id_of(session: Session, user: Username) -> int:
    found = session.scalar(select(User.id).where(User.name == user))
    if found is None:
        raise NotFound(f"cannot find the user {user!r}", why="no such user")
    return found


# Made once: each log-in asks it.
_HAS: Final = select(
    exists().where(AppRow.user_id == User.id, AppRow.confirmed.is_not(None)),
    exists().where(PasskeyRow.user_id == User.id),
).where(User.name == bindparam("user"))
