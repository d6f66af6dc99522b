"""Join codes: who brings one may make an account, and is in the class that it is for.

A code is two words and five signs, 41 bits, so that it can be said and typed; guessing is slowed
down (joining.py). It follows from a random salt and a secret file of the hub, and the database has
a keyed hash of it: who reads the database alone can't tell any code, and teachers can show theirs
again.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.orm import Session

from appliance import audit
from appliance.audit import Action
from appliance.clock import Clock
from appliance.db.class_models import Invite, SchoolClass
from appliance.db.models import Group
from appliance.db.session import Database
from appliance.errors import BadRequest, NoSuchClass, NotAllowed, NotFound
from appliance.native_auth.code_words import WORDS
from appliance.texts import say

USES_MAX: Final = 10_000
NOTE_MAX: Final = 200
# What nobody could have typed isn't worth hashing.
_CODE_MAX: Final = 200
_SIGNS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
_SIGNS_IN_CODE: Final = 5
# Of one class, at the same time; those that are over count until they are forgotten.
_INVITES: Final = 200
_FORGET_AFTER: Final = timedelta(days=30)


class Expiry(StrEnum):
    """How long a code works, in the words that people choose from."""

    HOUR = "hour"
    TODAY = "today"
    WEEK = "week"
    TERM = "term"
    NEVER = "never"

    def after(self, now: datetime) -> datetime | None:
        """When it ends; a day ends by the machine's own time zone, a term after 20 weeks."""
        if self is Expiry.TODAY:
            tomorrow = now.astimezone() + timedelta(days=1)
            return tomorrow.replace(hour=0, minute=0, second=0, microsecond=0)
        lengths = {
            Expiry.HOUR: timedelta(hours=1),
            Expiry.WEEK: timedelta(weeks=1),
            Expiry.TERM: timedelta(weeks=20),
        }
        return now + lengths[self] if self in lengths else None


@dataclass(frozen=True, slots=True)
class InviteView:
    """A join code, as pages and API show it to who may make one."""

    number: int
    code: str
    """Empty if the hub has another secret by now, and the code works no more."""
    group: str | None
    note: str
    created: datetime
    created_by: str
    expires: datetime | None
    most_uses: int | None
    uses: int
    expired: bool

    @property
    def left(self) -> int | None:
        """How many may still use it; None means any number."""
        return None if self.most_uses is None else max(0, self.most_uses - self.uses)

    @property
    def works(self) -> bool:
        return bool(self.code) and not self.expired and self.left != 0


@dataclass(frozen=True, slots=True)
class Found:
    """What a code is for: a class, or the appliance alone."""

    number: int
    group_id: int | None
    group: str = ""
    title: str = ""
    must_approve: bool = False


class Invites:
    """All join codes."""

    def __init__(self, *, db: Database, clock: Clock, secret: bytes) -> None:
        self._db = db
        self._clock = clock
        self._secret = secret

    def list_of(self, group: str | None) -> list[InviteView]:
        """Those of a class, or those for the appliance alone; the newest first."""
        return self._views(_of(group))

    def get(self, group: str | None, number: int) -> InviteView:
        found = self._views(_of(group), Invite.id == number)
        if not found:
            raise NotFound("cannot find the join code", why="there is none of this number")
        return found[0]

    def any_works(self) -> bool:
        """Whether there is a code that somebody could bring."""

        def look() -> bool:
            query = select(Invite.id).where(self._is_open()).limit(1)
            with self._db.reading() as connection:
                return connection.scalar(query) is not None

        return self._db.remembered("invites", look)

    def make(
        self,
        group: str | None,
        *,
        by: str,
        expiry: Expiry = Expiry.WEEK,
        most_uses: int | None = None,
        note: str = "",
    ) -> InviteView:
        """A new code; raises BadRequest, or NotFound for a group that is no class."""
        if most_uses is not None and not 1 <= most_uses <= USES_MAX:
            raise BadRequest(
                "cannot make the join code",
                why=say("it must be for 1 to {most} people", most=USES_MAX),
            )
        now, salt, said = self._clock.now(), secrets.token_hex(16), parse_note(note)
        with self._db.session() as session:
            row = Invite(
                hash=self._hash(self._code(salt)), salt=salt, group_id=_class_id(session, group),
                note=said, created=now, created_by=by, expires=expiry.after(now),
                most_uses=most_uses, uses=0,
            )  # fmt: skip
            self._check_room(session, row.group_id)
            session.add(row)
            session.flush()
            number = row.id
        audit.note(Action.MAKE_INVITE, group or "", invite=number, expires=expiry, uses=most_uses)
        return self.get(group, number)

    def revoke(self, group: str | None, number: int) -> None:
        """Take a code back; raises NotFound."""
        query = delete(Invite).where(_of(group), Invite.id == number)
        with self._db.session() as session:
            if not session.execute(query.returning(Invite.id)).all():
                raise NotFound("cannot find the join code", why="there is none of this number")
        audit.note(Action.REVOKE_INVITE, group or "", invite=number)

    def find(self, code: str) -> Found | None:
        """What a code is for; None for one that there isn't.

        Raises NotAllowed for one that doesn't work now; nothing is used up.
        """
        plain = plain_code(code)
        if not plain:
            return None
        with self._db.session() as session:
            row = session.scalar(select(Invite).where(Invite.hash == self._hash(plain)))
            if row is None:
                return None
            school_class = self._check_works(session, row)
            group = session.get(Group, row.group_id) if school_class else None
        if school_class is None or group is None:
            return Found(row.id, None)
        title = school_class.title or group.name
        return Found(row.id, group.id, group.name, title, school_class.must_approve)

    def use(self, session: Session, number: int) -> bool:
        """Count one use within somebody's commit; whether newcomers wait to be let in.

        Raises NotAllowed if it doesn't work any more: of two who bring the last use at once, one
        gets in.
        """
        row = session.get(Invite, number)
        if row is None:
            raise refused("it was taken back")
        school_class = self._check_works(session, row)
        session.execute(update(Invite).where(Invite.id == number).values(uses=Invite.uses + 1))
        return school_class is not None and school_class.must_approve

    def purge(self) -> None:
        """Forget codes that expired long ago; until then who brings one learns why it fails."""
        before = self._clock.now() - _FORGET_AFTER
        with self._db.session() as session:
            session.execute(delete(Invite).where(Invite.expires < before))

    def _check_works(self, session: Session, row: Invite) -> SchoolClass | None:
        """The class that a code is for, None for one for accounts alone; raises NotAllowed."""
        if row.expires is not None and row.expires <= self._clock.now():
            raise refused("it has expired")
        if row.most_uses is not None and row.uses >= row.most_uses:
            raise refused("as many people as it was made for have used it")
        if row.group_id is None:
            return None
        school_class = session.get(SchoolClass, row.group_id)
        if school_class is None:
            raise refused("it was taken back")
        if school_class.frozen:
            raise NotAllowed(
                "cannot use this join code now",
                why="nobody can join at the moment",
                mend="ask your teacher, and try it again later",
            )
        return school_class

    def _is_open(self) -> ColumnElement[bool]:
        expires = or_(Invite.expires.is_(None), Invite.expires > self._clock.now())
        return expires & or_(Invite.most_uses.is_(None), Invite.uses < Invite.most_uses)

    def _check_room(self, session: Session, group_id: int | None) -> None:
        same = Invite.group_id.is_(None) if group_id is None else Invite.group_id == group_id
        if len(session.scalars(select(Invite.id).where(same)).all()) >= _INVITES:
            raise BadRequest(
                "cannot make the join code",
                why=say("there are {count} codes already", count=_INVITES),
                mend="take back those that nobody needs",
            )

    def _views(self, *where: ColumnElement[bool]) -> list[InviteView]:
        query = (
            select(Invite, Group.name)
            .outerjoin(Group, Group.id == Invite.group_id)
            .where(*where)
            .order_by(Invite.id.desc())
        )
        with self._db.session() as session:
            return [self._view(row, name) for row, name in session.execute(query)]

    def _view(self, row: Invite, group: str | None) -> InviteView:
        code = self._code(row.salt)
        return InviteView(
            number=row.id,
            code=code if self._hash(code) == row.hash else "",
            group=group,
            note=row.note,
            created=row.created,
            created_by=row.created_by,
            expires=row.expires,
            most_uses=row.most_uses,
            uses=row.uses,
            expired=row.expires is not None and row.expires <= self._clock.now(),
        )

    def _code(self, salt: str) -> str:
        """The code that belongs to a salt."""
        digest = self._sign("code", salt)
        words = "-".join(WORDS[byte] for byte in digest[:2])
        number, signs = int.from_bytes(digest[2:18], "big"), ""
        for _ in range(_SIGNS_IN_CODE):
            number, which = divmod(number, len(_SIGNS))
            signs += _SIGNS[which]
        return f"{words}-{signs}"

    def _hash(self, code: str) -> str:
        return self._sign("hash", plain_code(code)).hex()

    def _sign(self, what: str, text: str) -> bytes:
        return hmac.new(self._secret, f"invite {what}\0{text}".encode(), hashlib.sha256).digest()


def plain_code(code: str) -> str:
    """A code without what people may type as they like: capitals, blanks, dashes."""
    if len(code) > _CODE_MAX:
        return ""
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKC", code).lower())


def parse_note(text: str) -> str:
    """What a code is for, as its maker remembers it; raises BadRequest."""
    note = " ".join(unicodedata.normalize("NFC", text).split())
    if len(note) > NOTE_MAX or not note.isprintable():
        raise BadRequest(
            "cannot use this note",
            why=say("it must be one line of up to {most} characters", most=NOTE_MAX),
        )
    return note


def refused(why: str) -> NotAllowed:
    """Why a code that there is, or was, isn't honoured; it says nothing of the class."""
    return NotAllowed("cannot use this join code", why=why, mend="ask your teacher for a new one")


def _of(group: str | None) -> ColumnElement[bool]:
    if group is None:
        return Invite.group_id.is_(None)
    return Invite.group_id.in_(select(Group.id).where(Group.name == group))


def _class_id(session: Session, group: str | None) -> int | None:
    if group is None:
        return None
    query = (
        select(Group.id)
        .join(SchoolClass, SchoolClass.group_id == Group.id)
        .where(Group.name == group)
    )
    found = session.scalar(query)
    if found is None:
        raise NoSuchClass(group)
    return found
