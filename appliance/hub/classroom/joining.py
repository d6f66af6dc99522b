"""Joining by a code: newcomers sign up with it, people with an account confirm.

Guesses are slowed down by network, or by user for who is logged in; a code that is known isn't a
guess, even if it doesn't work any more. What the configuration calls `signup.code` is a code too.
"""

from __future__ import annotations

import hmac
import logging
import re
import unicodedata
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from appliance import audit
from appliance.audit import Action, Outcome
from appliance.config.schema import JOIN_CODE_MIN, Signup, SignupMode
from appliance.db.class_models import Teaching
from appliance.db.models import Membership, User, UserState
from appliance.db.session import Database
from appliance.errors import Conflict, NotAllowed
from appliance.hub.classroom.invites import Found, Invites
from appliance.hub.classroom.people import People
from appliance.hub.classroom.rights import Rights
from appliance.hub.users import Person
from appliance.native_auth.signup import SignUp, SignUps
from appliance.native_auth.throttle import Throttle, network_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """How somebody with an account stands to what a code is for."""

    found: Found
    member: bool = False
    teaches: bool = False

    @property
    def already(self) -> bool:
        return self.member or self.teaches


class Joining:
    """Honours join codes."""

    def __init__(
        self,
        *,
        db: Database,
        settings: Signup,
        invites: Invites,
        sign_ups: SignUps,
        people: People,
        rights: Rights,
        throttle: Throttle,
    ) -> None:
        self._db = db
        self._settings = settings
        self._invites = invites
        self._sign_ups = sign_ups
        self._people = people
        self._rights = rights
        self._throttle = throttle

    @property
    def takes_codes(self) -> bool:
        """Whether anybody could have a code that works."""
        return self._settings.mode is SignupMode.CODE or self._invites.any_works()

    def look(self, code: str, *, address: str = "", user: str = "") -> Found:
        """What a code is for; raises NotAllowed saying why it doesn't work, or TooMany."""
        key = f"code:user {user}" if user else f"code:{network_of(address)}"
        self._throttle.attempt([key])
        try:
            found = self._invites.find(code)
        except NotAllowed:
            self._throttle.succeeded([key])
            raise
        if found is None and self._is_configured(code):
            found = Found(0, None)
        if found is None:
            log.info("a join code from %s is unknown", user or network_of(address))
            action = Action.JOIN_CLASS if user else Action.SIGN_UP
            audit.note(action, outcome=Outcome.REFUSED, why="wrong join code")
            raise NotAllowed(
                "cannot use this join code",
                why="there is no such code",
                mend="look at it again; capitals, blanks and dashes don't matter",
            )
        self._throttle.succeeded([key])
        return found

    async def sign_up(
        self, name: str, password: str, *, code: str, full_name: str = "", address: str = ""
    ) -> SignUp:
        """Make an account by a code; raises what `look` and SignUps.sign_up do."""
        found = self.look(code, address=address)
        risky = bool(found.group) and self._rights.gives_power(found.group)
        admission = _Admission(self._invites, found, must_wait=risky) if found.number else _Open()
        made = await self._sign_ups.sign_up(
            name, password, full_name=full_name, admission=admission, address=address
        )
        if found.number:
            audit.note(Action.JOIN_CLASS, found.group, user=made.name, users=[made.name],
                invite=found.number)  # fmt: skip
        if found.group and made.state is UserState.ACTIVE:
            await self._people.changed(found.group, joined=[made.name])
        return made

    def standing(self, person: Person, code: str) -> Standing:
        """What a code would do for somebody with an account; raises NotAllowed or TooMany."""
        found = self.look(code, user=person.name)
        with self._db.session() as session:
            standing = _standing(session, found, person)
        if found.group and not standing.already:
            self._check_may_join(person, found)
        return standing

    async def join(self, person: Person, code: str) -> Standing:
        """Make somebody a member; one who is in it already, or teaches it, changes nothing.

        Raises Conflict for a code without a class, NotAllowed, or TooMany.
        """
        found = self.standing(person, code).found
        if not found.group:
            raise Conflict(
                "cannot use this join code",
                why="it is for new accounts, and you have one",
                mend="go on to your server",
            )
        with self._db.session() as session:
            standing = _standing(session, found, person)
            if not standing.already:
                self._invites.use(session, found.number)
                session.add(Membership(group_id=found.group_id, user_id=person.id))
        if not standing.already:
            log.info("user %s joined the class %r", person.name, found.group)
            audit.note(Action.JOIN_CLASS, found.group, users=[person.name], invite=found.number)
            await self._people.changed(found.group, joined=[person.name])
        return standing

    def _check_may_join(self, person: Person, found: Found) -> None:
        if person.admin:
            raise NotAllowed(
                "cannot join this class",
                why="its teachers would have rights on your account, and you are an admin",
                mend="open the class from the page “Classes”, or use an account of its own",
            )
        if self._rights.gives_power(found.group):
            raise NotAllowed(
                "cannot join this class",
                why="its members have rights that only admins may give",
                mend="ask an admin to add you",
            )

    def _is_configured(self, code: str) -> bool:
        secret = self._settings.code
        if self._settings.mode is not SignupMode.CODE or secret is None:
            return False
        given, wanted = _squeezed(code), _squeezed(secret.get_secret_value())
        return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())


def _squeezed(code: str) -> str:
    """A code of the configuration without capitals, and blanks and dashes if enough is left."""
    plain = unicodedata.normalize("NFKC", code).strip().lower()
    short = re.sub(r"[\s-]", "", plain)
    return short if len(short) >= JOIN_CODE_MIN else plain


class _Open:
    """The admission by the configuration's own code."""

    must_wait = False

    def admit(self, session: Session, user: User) -> bool:
        return False


class _Admission:
    """The admission by a code of a teacher or an admin."""

    def __init__(self, invites: Invites, found: Found, *, must_wait: bool) -> None:
        self._invites = invites
        self._found = found
        self.must_wait = must_wait

    def admit(self, session: Session, user: User) -> bool:
        waits = self._invites.use(session, self._found.number)
        if self._found.group_id is not None:
            session.add(Membership(group_id=self._found.group_id, user_id=user.id))
        return waits


def _standing(session: Session, found: Found, person: Person) -> Standing:
    def has(table: type[Membership] | type[Teaching]) -> bool:
        query = select(table.user_id).where(
            table.group_id == found.group_id, table.user_id == person.id
        )
        return session.scalar(query) is not None

    return Standing(found, member=has(Membership), teaches=has(Teaching))
