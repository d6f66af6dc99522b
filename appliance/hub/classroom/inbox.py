"""What a user is to see now: unread messages, who asks to open a server, whose visit goes on.

The page "My server" and JupyterLab show the same cards, in the user's language; a card has all its
text and its buttons with it, so that a browser needs to know nothing of what they mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from appliance.hub.classroom.messages import NOBODY, Incoming, Messages
from appliance.hub.classroom.visits import Visits, VisitState, VisitView
from appliance.names import Username
from appliance.texts import say, say_many

_ROOT: Final = "root"
# How long a student may let a teacher in, in minutes.
_CHOICES: Final = (30, 90)
_OF_MESSAGES: Final = frozenset({"seen", "act"})


@dataclass(frozen=True, slots=True)
class Button:
    """Something to do about a card; `path` and `body` are the API's."""

    label: str
    verb: str
    number: int
    minutes: int = 0
    is_main: bool = False
    page: str = ""
    """A page of the hub's that is opened instead of asking the API."""

    @property
    def path(self) -> str:
        if self.verb in _OF_MESSAGES:
            return f"appliance/messages/{self.number}/{self.verb}"
        return f"appliance/visits/{self.number}"

    @property
    def body(self) -> dict[str, Any]:
        if self.verb in _OF_MESSAGES:
            return {}
        return {"do": self.verb, **({"minutes": self.minutes} if self.minutes else {})}


@dataclass(frozen=True, slots=True)
class Card:
    """One thing to see."""

    key: str
    kind: str
    """message, notice, question or visit."""
    title: str
    text: str
    moment: datetime
    buttons: tuple[Button, ...]
    can_hide: bool = False
    """Whether it may be put out of sight without doing anything."""


class Inbox:
    """Joins messages and visits."""

    def __init__(self, *, messages: Messages, visits: Visits) -> None:
        self._messages = messages
        self._visits = visits

    def cards(self, user: str) -> list[Card]:
        """What a user is to see, questions first."""
        visits = [self._of_visit(one) for one in self._visits.of_owner(user)]
        return [*visits, *self._of_messages(user)]

    def do(self, user: Username, verb: str, number: int, *, minutes: int | None = None) -> None:
        """What a button of a card does."""
        if verb == "seen":
            self._messages.mark_seen(user, number)
        elif verb == "act":
            self._messages.act(user, number)
        elif verb == "end":
            self._visits.end(user, number)
        else:
            more = {} if minutes is None else {"minutes": minutes}
            self._visits.answer(user, number, allow=verb == "allow", **more)

    def _of_messages(self, user: str) -> Iterator[Card]:
        for one in self._messages.unread(user):
            is_notice = one.sender == NOBODY
            yield Card(
                key=f"m{one.id}",
                kind="notice" if is_notice else "message",
                title=_title(one),
                text=one.text,
                moment=one.created,
                buttons=tuple(_buttons(one)),
            )

    @staticmethod
    def _of_visit(one: VisitView) -> Card:
        if one.state is VisitState.GRANTED:
            return Card(
                key=f"v{one.id}+",
                kind="visit",
                title=say("{name} may open your server", name=one.visitor_name),
                text="What you have open there can be seen and changed until the visit ends.",
                moment=one.until,
                buttons=(Button("End the visit now", "end", one.id),),
                can_hide=True,
            )
        allow = (
            Button(
                say_many("Allow for {count} minute", "Allow for {count} minutes", count),
                "allow",
                one.id,
                minutes=count,
            )
            for count in _CHOICES
        )
        return Card(
            key=f"v{one.id}",
            kind="question",
            title=say("{name} asks to open your server", name=one.visitor_name),
            text="Who opens your server can see and change your files there, "
            "until the time is over or you end it.",
            moment=one.until,
            buttons=(*allow, Button("Don't allow", "refuse", one.id)),
        )


def _buttons(message: Incoming) -> Iterator[Button]:
    """What the notice offers, and the one that every message has."""
    offer = message.offer
    if offer is not None:
        yield Button(offer.label, "act", message.id, is_main=True, page=offer.page)
    yield Button("Got it", "seen", message.id, is_main=offer is None)


def _title(message: Incoming) -> str:
    """Who says it."""
    if message.sender == NOBODY:
        return message.title or "Your server"
    # By the command line, on the machine itself.
    if message.sender == _ROOT:
        return "The administrator"
    return message.sender_name
