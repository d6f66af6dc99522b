"""Accounts with passwords: logging in, changing passwords.

For names that don't exist, accounts without a password or still waiting, and wrong passwords, a
log-in does the same work and says the same; the reason goes to the log alone.
"""

from __future__ import annotations

import hmac
import logging
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session, joinedload

from appliance import audit
from appliance.audit import Action, Outcome
from appliance.clock import Clock
from appliance.config.schema import Passwords, Signup, SignupMode
from appliance.db.models import (
    ApiToken,
    Fact,
    LoginSession,
    OAuthCode,
    OneTimeLink,
    Password,
    User,
    UserState,
)
from appliance.db.session import Database
from appliance.errors import BadRequest, NotAllowed, NotFound, TooMany
from appliance.names import Username, parse_username
from appliance.native_auth import passwords
from appliance.native_auth.hashing import MIN_COST, Hasher, calibrate
from appliance.native_auth.throttle import Throttle, keys_for_login, network_of

log = logging.getLogger(__name__)

_COST_FACT: Final = "password-hash-cost"


class Refusal(StrEnum):
    """Why a log-in was refused; for the log, and for pages only WAITING and LOCKED."""

    UNKNOWN = "unknown user"
    NO_PASSWORD = "no password set"  # noqa: S105 - a reason, not a password
    WRONG = "wrong password"
    WAITING = "waiting for approval"
    LOCKED = "locked out"


class LoginRefused(NotAllowed):
    """A log-in failed. WAITING and LOCKED are only told to who gave the right password."""

    def __init__(self, reason: Refusal) -> None:
        if reason is Refusal.WAITING:
            super().__init__("cannot log in yet", why="your account waits for an admin's approval")
        elif reason is Refusal.LOCKED:
            super().__init__("cannot log in", why="your account is locked")
        else:
            super().__init__("cannot log in", why="the name or the password is wrong")
        self.reason = reason


class NativeAuthenticator:
    """Knows accounts by name and password."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        hasher: Hasher,
        throttle: Throttle,
        signup: Signup,
        rules: Passwords,
    ) -> None:
        self._db = db
        self._clock = clock
        self._hasher = hasher
        self._throttle = throttle
        self._signup = signup
        self.rules = rules

    @property
    def mode(self) -> SignupMode:
        return self._signup.mode

    async def log_in(self, name: str, password: str, *, address: str = "") -> Username:
        """The user whose password it is; raises LoginRefused or TooMany."""
        try:
            user, data = parse_username(name), passwords.normalise(password)
        except BadRequest:
            # What no account can have still costs an attempt and a hash.
            user, data = Username(""), b"\1"
        keys = keys_for_login(user, address)
        found = self._account(user)
        if found.must_change:
            data = passwords.normalise(passwords.as_generated(password))
        try:
            self._throttle.attempt(keys, unless_known=f"known:{user} {network_of(address)}")
        except TooMany:
            audit.note(Action.LOG_IN, *found.told(user), outcome=Outcome.THROTTLED)
            raise
        right = await self._hasher.check(data, found.hash)
        refusal = found.refusal if found.refusal and (right or not found.hash) else None
        if refusal or not right:
            reason = refusal or Refusal.WRONG
            told = found.told(user)
            log.info(
                "log-in of %r from %s refused: %s", *(told or ("?",)), network_of(address), reason
            )
            audit.note(Action.LOG_IN, *told, outcome=Outcome.REFUSED, why=reason.value)
            raise LoginRefused(reason)
        self._throttle.succeeded(keys, remember=f"known:{user} {network_of(address)}")
        if found.hash and not found.must_change and self._hasher.is_outdated(found.hash):
            await self._rehash(user, data, found.hash)
        log.info("user %s gave the right password from %s", user, network_of(address))
        return user

    async def change_password(
        self, user: Username, old: str, new: str, *, address: str = ""
    ) -> None:
        """Change one's own password, which ends all sessions; raises LoginRefused or BadRequest."""
        data = passwords.check_new(new, user, self.rules)
        if hmac.compare_digest(passwords.normalise(old), data):
            raise BadRequest(
                "cannot use this password",
                why="it is the one you have now",
                mend="choose another one; three or four words make a good password",
            )
        await self.log_in(user, old, address=address)
        await self._store(user, data, must_change=False)
        audit.note(Action.CHANGE_PASSWORD, user)

    async def choose_first(self, user: Username, new: str) -> None:
        """One's own password in the place of a generated one, with which one has just come in."""
        data = passwords.check_new(new, user, self.rules)
        found = self._account(user)
        if not found.must_change:
            raise BadRequest(
                "cannot change the password so",
                why="the one that you have is your own",
                mend="give the one that you have, too",
            )
        typed = passwords.as_generated(new).encode()
        if await self._hasher.check(typed, found.hash):
            raise BadRequest(
                "cannot use this password",
                why="it is the one you have now",
                mend="choose another one; three or four words make a good password",
            )
        await self._store(user, data, must_change=False)
        audit.note(Action.CHANGE_PASSWORD, user)

    async def set_password(self, user: Username, new: str, *, must_change: bool = False) -> None:
        """Set a user's password without asking for the old one; ends the user's sessions."""
        await self._store(user, passwords.check_new(new, user, self.rules), must_change=must_change)
        audit.note(Action.SET_PASSWORD, user, generated=False)

    async def generate_for(self, user: Username) -> str:
        """Give a user a generated password, to be changed at the first log-in."""
        password, hashed = await self.hash_generated()
        self._put(user, hashed, must_change=True)
        audit.note(Action.SET_PASSWORD, user, generated=True)
        return password

    async def hash_generated(self) -> tuple[str, str]:
        """A generated password and its hash; 49 random bits need no more than the least cost."""
        password = passwords.generate()
        return password, await self._hasher.hash(password.encode(), cost=MIN_COST)

    def must_change(self, user: Username) -> bool:
        """Whether the user's password was made by somebody else, who may know it still."""
        with self._db.session() as session:
            row = _find(session, user)
            return bool(row and row.password and row.password.must_change)

    def check_new_password(self, password: str, user: Username) -> None:
        """Raise BadRequest if the password is not good enough."""
        passwords.check_new(password, user, self.rules)

    def close(self) -> None:
        self._hasher.close()

    def _account(self, user: Username) -> _Account:
        with self._db.session() as session:
            row = _find(session, user)
            if row is None:
                return _Account(None, Refusal.UNKNOWN)
            if row.password is None:
                return _Account(None, Refusal.NO_PASSWORD)
            return _Account(
                row.password.hash,
                _REFUSED.get(row.state),
                must_change=row.password.must_change,
            )

    async def _store(self, user: Username, data: bytes, *, must_change: bool) -> None:
        self._put(user, await self._hasher.hash(data), must_change=must_change)

    def _put(self, user: Username, hashed: str, *, must_change: bool) -> None:
        with self._db.session() as session:
            row = _find(session, user)
            if row is None:
                raise NotFound(f"cannot set the password of {user!r}", why="no such user")
            put_password(session, row, hashed, now=self._clock.now(), must_change=must_change)
        log.info("password of %s set", user)

    async def hash_for(self, password: str, user: Username) -> str:
        """The hash of a new password; raises BadRequest if it isn't good enough."""
        return await self._hasher.hash(passwords.check_new(password, user, self.rules))

    async def _rehash(self, user: Username, data: bytes, old: str) -> None:
        hashed = await self._hasher.hash(data)
        with self._db.session() as session:
            row = _find(session, user)
            if row and row.password and row.password.hash == old:
                row.password.hash = hashed


_REFUSED: Final[dict[str, Refusal]] = {
    UserState.WAITING: Refusal.WAITING,
    UserState.LOCKED: Refusal.LOCKED,
}


@dataclass(frozen=True, slots=True)
class _Account:
    hash: str | None
    refusal: Refusal | None
    must_change: bool = False
    """Its password is a generated one, for which a cheap hash is good enough."""

    def told(self, user: Username) -> tuple[str, ...]:
        """The name for logs, if it is anybody's: people type passwords where the name belongs."""
        return () if self.refusal is Refusal.UNKNOWN else (user,)


def _find(session: Session, user: str) -> User | None:
    return session.scalar(select(User).where(User.name == user).options(joinedload(User.password)))


def put_password(
    session: Session, user: User, hashed: str, *, now: datetime, must_change: bool
) -> None:
    """Store a password hash and end what the old password had opened.

    Sessions, tokens, codes for tokens and set-up links end; single-user servers and their own
    tokens go on.
    """
    if user.password is None:
        user.password = Password(hash=hashed, changed=now, must_change=must_change)
    else:
        user.password.hash = hashed
        user.password.changed = now
        user.password.must_change = must_change
    session.execute(
        delete(ApiToken).where(ApiToken.user_id == user.id, ApiToken.server_id.is_(None))
    )
    session.execute(delete(OAuthCode).where(OAuthCode.user_id == user.id))
    session.execute(delete(LoginSession).where(LoginSession.user_id == user.id))
    # A link by which a mail address is shown to be one's own has nothing to do with it.
    session.execute(
        delete(OneTimeLink).where(OneTimeLink.user_id == user.id, OneTimeLink.purpose != "email")
    )


def known_cost(db: Database) -> int:
    """The cost of password hashes: measured once on this machine, then kept."""
    with db.session() as session:
        fact = session.get(Fact, _COST_FACT)
    if fact and fact.value.isdecimal():
        return max(MIN_COST, int(fact.value))
    cost = calibrate()
    with db.session() as session:
        session.merge(Fact(key=_COST_FACT, value=str(cost)))
    log.info("password hashes: cost %d", cost)
    return cost
