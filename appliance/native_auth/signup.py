"""Signing up: who may make an account, under which name, and who waits to be let in.

Signing up under a taken name says so, whether its account is active or waiting, because a student
who picks a taken name must learn it; the throttle makes that a slow way to list names. A name that
reads like a teacher's is nobody's yet, so it is given, and whoever lets people in is told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import exists, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from appliance import audit
from appliance.audit import Action
from appliance.clock import Clock
from appliance.config.name_patterns import matches
from appliance.config.schema import Signup, SignupMode
from appliance.db.class_models import Teaching
from appliance.db.models import Departure, Password, Rename, User, UserState
from appliance.db.session import Database
from appliance.errors import Conflict, NotAllowed
from appliance.names import (
    CHECK_USERS,
    RESERVED,
    Username,
    likeness,
    parse_full_name,
    parse_username,
)
from appliance.native_auth.authenticator import NativeAuthenticator
from appliance.native_auth.throttle import Throttle, network_of
from appliance.texts import say

log = logging.getLogger(__name__)


class Admission(Protocol):
    """What lets somebody sign up whatever the mode, such as the join code of a class."""

    @property
    def must_wait(self) -> bool:
        """Whether everybody waits, whatever the name."""

    def admit(self, session: Session, user: User) -> bool:
        """Do what it promises within the commit that makes the account; whether the user waits.

        Raises NotAllowed if it can't any more, and then there is no account either.
        """


@dataclass(frozen=True, slots=True)
class SignUp:
    """A new account, and whether it may log in already."""

    name: Username
    state: UserState


class SignUps:
    """Makes accounts for visitors."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        authenticator: NativeAuthenticator,
        throttle: Throttle,
        settings: Signup,
        privileged: Collection[str] = (),
    ) -> None:
        """`privileged` are names to which the configuration gives rights: who signs up under one
        waits for approval, whatever the mode."""
        self._db = db
        self._clock = clock
        self._authenticator = authenticator
        self._throttle = throttle
        self._settings = settings
        self._privileged = privileged
        self._followers: list[Callable[[Username], None]] = []

    def follow(self, follower: Callable[[Username], None]) -> None:
        """Tell somebody of each account that waits for approval."""
        self._followers.append(follower)

    @property
    def mode(self) -> SignupMode:
        return self._settings.mode

    async def sign_up(
        self,
        name: str,
        password: str,
        *,
        full_name: str = "",
        admission: Admission | None = None,
        address: str = "",
    ) -> SignUp:
        """Make an account; raises BadRequest, NotAllowed, Conflict for a taken name, or TooMany."""
        if admission is None:
            self._check_mode()
        user = self.check_name(name)
        called = parse_full_name(full_name)
        self._authenticator.check_new_password(password, user)
        self._throttle.attempt([f"signup:{network_of(address)}"])
        hashed = await self._authenticator.hash_for(password, user)
        state = self._insert(user, hashed, called, admission)
        log.info("user %s signed up from %s: %s", user, network_of(address), state)
        audit.note(Action.SIGN_UP, user, user=user, state=state.value)
        if state is UserState.WAITING:
            for follower in self._followers:
                follower(user)
        return SignUp(user, state)

    def check_name(self, name: str) -> Username:
        """The canonical name, if people may sign up under it; raises BadRequest or NotAllowed."""
        user = parse_username(name)
        allowed = self._settings.allowed_names
        what = say("cannot make the account {name!r}", name=user)
        if allowed and not matches(user, allowed):
            raise NotAllowed(
                what,
                why="names like this one can't sign up here",
                mend=say("use a name of the form {patterns}", patterns=_listed(allowed)),
            )
        if user in CHECK_USERS or matches(user, self._settings.refused_names):
            raise NotAllowed(
                what, why="names like this one can't sign up here", mend="choose another name"
            )
        return user

    def taken_for(self, names: Iterable[str]) -> dict[str, str]:
        """For each name one with rights over others that it could be taken for, or ""."""
        with self._db.session() as session:
            holders = self._holders(session)
        return {name: _like(name, holders) for name in names}

    def _check_mode(self) -> None:
        if self.mode is SignupMode.CLOSED:
            raise NotAllowed(
                "cannot sign up here", why="sign-up is closed", mend="ask an admin for an account"
            )
        if self.mode is SignupMode.CODE:
            raise NotAllowed(
                "cannot sign up", why="the join code is wrong", mend="ask your teacher for the code"
            )

    def _insert(
        self, user: Username, hashed: str, full_name: str, admission: Admission | None
    ) -> UserState:
        now = self._clock.now()
        taken = Conflict(
            say("cannot make the account {name!r}", name=user),
            why="the name is taken",
            mend="choose another name; if it is yours, log in or ask an admin",
        )
        try:
            with self._db.session() as session:
                if session.get(Departure, user) or session.get(Rename, user):
                    raise taken
                must_wait = self._must_wait(session, user)
                row = User(name=user, state=UserState.WAITING, created=now, full_name=full_name)
                row.password = Password(hash=hashed, changed=now)
                session.add(row)
                session.flush()
                if admission is not None:
                    waits = admission.admit(session, row)
                    must_wait = must_wait or admission.must_wait
                else:
                    waits = self.mode is SignupMode.APPROVAL
                waits = waits and not matches(user, self._settings.approved_names)
                state = UserState.WAITING if must_wait or waits else UserState.ACTIVE
                row.state = state
        except IntegrityError as err:
            raise taken from err
        return state

    def _must_wait(self, session: Session, user: Username) -> bool:
        return user in self._privileged or bool(_like(user, self._holders(session)))

    def _holders(self, session: Session) -> list[str]:
        """The names with rights over others, and those that nobody may have."""
        teaches = exists().where(Teaching.user_id == User.id).correlate(User)
        found = session.scalars(select(User.name).where(or_(User.admin.is_(True), teaches)))
        return [*self._privileged, *found, *RESERVED]


def _like(name: str, others: Iterable[str]) -> str:
    mine = likeness(name)
    return next((one for one in others if one != name and likeness(one) == mine), "")


def _listed(patterns: Collection[str]) -> str:
    return ", ".join(sorted(patterns))
