"""Messages: what a teacher says to a student or a class, an admin to everybody, the hub to one.

A message is there until it is read, or its time is over. It is plain text, and no student can send
one.
"""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Select, delete, func, or_, select
from sqlalchemy.orm import Session

from appliance import audit
from appliance.audit import Action
from appliance.clock import Clock
from appliance.db.class_models import Message, MessageSeen, Teaching
from appliance.db.models import Group, Membership, User, UserState
from appliance.db.session import Database
from appliance.errors import BadRequest, NoSuchClass, NotFound, TooMany
from appliance.hub.classroom.streams import Streams
from appliance.names import Username
from appliance.texts import say

LONGEST: Final = 2000
HOURS: Final = 12
MOST_HOURS: Final = 24 * 14
NOBODY: Final = ""
"""The sender of what the hub itself says."""
_SHOWN: Final = 20
_USERS_AT_ONCE: Final = 1000
_IN_A_WHILE: Final = 30
_WHILE_SECONDS: Final = 600.0
_NOTICE_AGAIN: Final = timedelta(minutes=1)

_ANY: Final = select(Message.id).limit(1)


Act = Callable[[Username, str], None]
"""What a notice's button does: called with the user and the offer's value; raises ApplianceError
with what to tell the user."""


@dataclass(frozen=True, slots=True)
class Offer:
    """The button of a notice: something that the hub does, or a page of the hub's to open."""

    label: str
    """A literal, or made by `say`."""
    action: str = ""
    """A name that was given to `Messages.on_action`."""
    value: str = ""
    """What the action is called with besides the user, such as the name of a server."""
    page: str = ""
    """Without an action: a path below the hub's address, such as "home"."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that somebody hasn't read."""

    id: int
    sender: str
    sender_name: str
    """What people call the sender."""
    title: str
    """Of a notice; empty means the usual one."""
    text: str
    created: datetime
    expires: datetime
    offer: Offer | None


@dataclass(frozen=True, slots=True)
class Sent:
    """A message as its sender sees it: to the class, or to one student."""

    id: int
    sender: str
    user: str
    """The receiver; empty means the whole class."""
    text: str
    created: datetime
    expires: datetime
    seen: int
    of: int
    """How many are to read it."""


class Messages:
    """All messages."""

    def __init__(self, *, db: Database, clock: Clock, streams: Streams) -> None:
        self._db = db
        self._clock = clock
        self._streams = streams
        self._sent: dict[str, deque[float]] = {}
        self._actions: dict[str, Act] = {}

    # Sending

    def send(
        self,
        text: str,
        *,
        sender: str,
        group: str = "",
        users: Sequence[str] = (),
        hours: int = HOURS,
        unlimited: bool = False,
    ) -> None:
        """Send to a class, to some users, or with neither to everybody.

        Whether the sender may is for the caller to know. Raises BadRequest, NotFound or TooMany.
        """
        text = checked(text)
        if not 1 <= hours <= MOST_HOURS:
            raise BadRequest(
                "cannot send the message", why=say("it can last 1 to {most} hours", most=MOST_HOURS)
            )
        if len(users) > _USERS_AT_ONCE:
            raise BadRequest("cannot send the message", why="it is for too many users at once")
        if not unlimited:
            self._check_pace(sender)
        now = self._clock.now()
        until = now + timedelta(hours=hours)
        with self._db.session() as session:
            for group_id, user_id in _receivers(session, group, users):
                session.add(
                    Message(
                        group_id=group_id, user_id=user_id, sender=sender, text=text,
                        created=now, expires=until,
                    )
                )  # fmt: skip
        audit.note(Action.SEND_MESSAGE, *(users or [group or "everybody"]), characters=len(text))
        self._streams.tell(users or None)

    def notice(self, user: str, text: str) -> None:
        """What the hub tells a user by itself; the same within a minute is told once."""
        now = self._clock.now()
        with self._db.session() as session:
            user_id = session.scalar(select(User.id).where(User.name == user))
            if user_id is None:
                return
            again = select(Message.id).where(
                Message.user_id == user_id,
                Message.sender == NOBODY,
                Message.text == text,
                Message.created > now - _NOTICE_AGAIN,
            )
            if session.scalar(again.limit(1)) is not None:
                return
            session.add(
                Message(
                    user_id=user_id, sender=NOBODY, text=text, created=now,
                    expires=now + timedelta(hours=HOURS),
                )
            )  # fmt: skip
        self._streams.tell([user])

    def tell(
        self,
        user: str,
        text: str,
        *,
        topic: str,
        title: str = "",
        offer: Offer | None = None,
        lasts: timedelta = timedelta(hours=HOURS),
    ) -> None:
        """Show a user a notice of the hub's own, in JupyterLab and on the page "My server".

        It is there until it is read, its button was pressed, it is withdrawn, or `lasts` is over.
        `topic` says what it is about, in up to 40 characters: a user has one notice of a topic, and
        a later one takes its place, read or not. The very same again changes nothing, so that a
        check may tell it each time and a user who has read it isn't told twice. `text`, `title`
        (empty: "Your server") and the offer's label are literals or made by `say`; everybody reads
        them in their own language. A user whom nobody knows is told nothing.
        """
        now = self._clock.now()
        button = _button(offer)
        with self._db.session() as session:
            user_id = session.scalar(select(User.id).where(User.name == user))
            if user_id is None:
                return
            before = session.scalars(_notices(user_id, topic)).all()
            if any(
                (one.text, one.title, one.button) == (text, title, button) and one.expires > now
                for one in before
            ):
                return
            for one in before:
                session.delete(one)
            session.add(
                Message(
                    user_id=user_id, sender=NOBODY, title=str(title), text=str(text), topic=topic,
                    button=button, created=now, expires=now + lasts,
                )
            )  # fmt: skip
        self._streams.tell([user])

    def withdraw(self, user: str, topic: str) -> None:
        """Take back what `tell` told a user about a topic; that there is nothing is no error."""
        with self._db.session() as session:
            user_id = session.scalar(select(User.id).where(User.name == user))
            before = session.scalars(_notices(user_id, topic)).all() if user_id else ()
            for one in before:
                session.delete(one)
        if before:
            self._streams.tell([user])

    def on_action(self, name: str, act: Act) -> None:
        """Say what the offers with that action do."""
        self._actions[name] = act

    def act(self, user: Username, message_id: int) -> None:
        """The user pressed a notice's button; raises NotFound for a notice that isn't theirs."""
        with self._db.reading() as connection:
            query = (
                select(Message.button)
                .join(User, User.id == Message.user_id)
                .where(
                    Message.id == message_id,
                    User.name == user,
                    Message.sender == NOBODY,
                    Message.expires > self._clock.now(),
                )
            )
            offer = _offer(connection.scalar(query))
        act = self._actions.get(offer.action) if offer else None
        if offer is None or act is None:
            raise NotFound("cannot do this", why="the message isn't yours, or its time is over")
        act(user, offer.value)
        # Where the act has not withdrawn it.
        with suppress(NotFound):
            self.mark_seen(user, message_id)

    def _check_pace(self, sender: str) -> None:
        now = self._clock.monotonic()
        times = self._sent.setdefault(sender, deque())
        while times and times[0] <= now - _WHILE_SECONDS:
            times.popleft()
        if len(times) >= _IN_A_WHILE:
            raise TooMany(
                "cannot send the message",
                why="you sent many messages in the last minutes",
                mend="wait a moment; one message can go to the whole class",
                retry_after_seconds=int(times[0] + _WHILE_SECONDS - now) + 1,
            )
        times.append(now)

    # Reading

    def unread(self, user: str) -> list[Incoming]:
        """What a user hasn't read yet, oldest first."""
        if not self._db.remembered("messages", self._are_any):
            return []
        with self._db.reading() as connection:
            user_id = connection.scalar(select(User.id).where(User.name == user))
            if user_id is None:
                return []
            query = (
                select(Message, User.full_name)
                .outerjoin(User, User.name == Message.sender)
                .where(
                    Message.expires > self._clock.now(),
                    Message.sender != user,
                    _is_for(user_id),
                    ~_has_seen(user_id),
                )
                .order_by(Message.id)
                .limit(_SHOWN)
            )
            return [
                Incoming(
                    row.id, row.sender, row.full_name or row.sender, row.title, row.text,
                    row.created, row.expires, _offer(row.button),
                )
                for row in connection.execute(query)
            ]  # fmt: skip

    def _are_any(self) -> bool:
        with self._db.reading() as connection:
            return connection.scalar(_ANY) is not None

    def mark_seen(self, user: str, message_id: int) -> None:
        """The user has read it; raises NotFound for a message that isn't theirs."""
        with self._db.session() as session:
            user_id = session.scalar(select(User.id).where(User.name == user))
            query = select(Message.id).where(Message.id == message_id, _is_for(user_id or 0))
            if user_id is None or session.scalar(query) is None:
                raise NotFound("cannot find the message", why="it isn't yours, or its time is over")
            session.merge(MessageSeen(message_id=message_id, user_id=user_id))
        self._streams.tell([user])

    def sent_to_class(self, group: str, *, limit: int = 10) -> list[Sent]:
        """What was said to a class and to single students by its teachers, newest first."""
        with self._db.reading() as connection:
            group_id = connection.scalar(select(Group.id).where(Group.name == group))
            members = select(Membership.user_id).where(Membership.group_id == group_id)
            teachers = (
                select(User.name)
                .join(Teaching, Teaching.user_id == User.id)
                .where(Teaching.group_id == group_id)
            )
            seen = (
                select(func.count())
                .select_from(MessageSeen)
                .where(MessageSeen.message_id == Message.id)
                .scalar_subquery()
            )
            query = (
                select(Message, User.name.label("to"), seen.label("seen"))
                .outerjoin(User, User.id == Message.user_id)
                .where(
                    Message.expires > self._clock.now(),
                    or_(
                        Message.group_id == group_id,
                        Message.user_id.in_(members) & Message.sender.in_(teachers),
                    ),
                )
                .order_by(Message.id.desc())
                .limit(limit)
            )
            readers = connection.scalar(_readers(group_id)) or 0
            return [
                Sent(
                    row.id, row.sender, row.to or "", row.text, row.created, row.expires,
                    row.seen, 1 if row.to else readers,
                )
                for row in connection.execute(query)
            ]  # fmt: skip

    def purge(self) -> None:
        """Delete what is over, and let those who still look at it know."""
        with self._db.session() as session:
            gone = session.scalars(
                delete(Message).where(Message.expires <= self._clock.now()).returning(Message.id)
            ).all()
        if gone:
            self._streams.tell()


def _notices(user_id: int, topic: str) -> Select[Message]:
    """What the hub told a user about a topic."""
    return select(Message).where(
        Message.user_id == user_id, Message.sender == NOBODY, Message.topic == topic
    )


def _button(offer: Offer | None) -> dict[str, str] | None:
    """An offer as it is kept, in English."""
    if offer is None:
        return None
    return {
        "label": str(offer.label),
        "action": offer.action,
        "value": offer.value,
        "page": offer.page,
    }


def _offer(button: dict[str, str] | None) -> Offer | None:
    return Offer(**button) if button else None


def checked(text: str) -> str:
    """A message's text as it is kept: plain, with line breaks; raises BadRequest."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not text:
        raise BadRequest("cannot send the message", why="it is empty", mend="write something")
    if len(text) > LONGEST:
        raise BadRequest(
            "cannot send the message",
            why=say(
                "it has {length} characters, and {most} is the most",
                length=len(text),
                most=LONGEST,
            ),
            mend="make it shorter, or put it into a file that you hand out",
        )
    if any(
        (unicodedata.category(one) in _UNPRINTABLE and one not in "\n\t")
        or unicodedata.bidirectional(one) in _TURNING
        for one in text
    ):
        raise BadRequest("cannot send the message", why="it has characters that can't be shown")
    return text


# Control characters and halves of surrogate pairs.
_UNPRINTABLE: Final[Collection[str]] = frozenset({"Cc", "Cs"})
# What has a line read in another order than it is written; marks between words are fine.
_TURNING: Final[Collection[str]] = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF"})


def _receivers(
    session: Session, group: str, users: Sequence[str]
) -> list[tuple[int | None, int | None]]:
    if group and not users:
        group_id = session.scalar(select(Group.id).where(Group.name == group))
        if group_id is None:
            raise NoSuchClass(group)
        return [(group_id, None)]
    if not users:
        return [(None, None)]
    rows = session.execute(select(User.name, User.id).where(User.name.in_(list(users))))
    found = {row.name: row.id for row in rows}
    missing = set(users) - set(found)
    if missing:
        raise NotFound(say("cannot find the user {name!r}", name=min(missing)[:60]))
    return [(None, user_id) for user_id in found.values()]


def _is_for(user_id: int) -> ColumnElement[bool]:
    groups = select(Membership.group_id).where(Membership.user_id == user_id)
    to_all = Message.user_id.is_(None) & Message.group_id.is_(None)
    return or_(Message.user_id == user_id, Message.group_id.in_(groups), to_all)


def _has_seen(user_id: int) -> ColumnElement[bool]:
    return (
        select(MessageSeen.user_id)
        .where(MessageSeen.message_id == Message.id, MessageSeen.user_id == user_id)
        .exists()
    )


def _readers(group_id: int | None) -> Select[int]:
    """How many of a class read what is said to it."""
    return (
        select(func.count())
        .select_from(Membership)
        .join(User, User.id == Membership.user_id)
        .where(Membership.group_id == group_id, User.state == UserState.ACTIVE)
    )
