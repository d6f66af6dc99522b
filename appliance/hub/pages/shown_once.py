"""What people are shown once: new passwords, links, tokens, on their way from form to page.

They can't be in a redirect's address or in a cookie, and they may not be stored: so they wait here,
in memory, for whoever made them, and are forgotten after half an hour or at a restart.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from appliance.clock import Clock
from appliance.hub.tokens import NewToken
from appliance.hub.users import Skipped
from appliance.names import Username

KEPT_FOR: Final = timedelta(minutes=30)
_MOST_OF_ONE: Final = 50


@dataclass(frozen=True, slots=True)
class Card:
    """A user and the password to hand out."""

    name: Username
    password: str
    full_name: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """New passwords, and the names that were left out."""

    cards: tuple[Card, ...]
    skipped: tuple[Skipped, ...] = ()
    back: str = "admin"
    """The page below /hub/ from which they come."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link with which a user chooses a password."""

    user: Username
    path: str
    expires: datetime


Thing = Sheet | Link | NewToken


@dataclass(frozen=True, slots=True)
class _Kept:
    owner: Username
    until: datetime
    thing: Thing


class ShownOnce:
    """Keeps sheets, links and tokens for their makers, for a while."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    def put(self, owner: Username, thing: Thing) -> str:
        """Keep it for the owner; returns the key to ask for it."""
        self._forget_old()
        # Whoever makes many pushes out their own, never an admin's sheet of passwords.
        own = [key for key, kept in self._kept.items() if kept.owner == owner]
        for key in own[: max(0, len(own) - _MOST_OF_ONE + 1)]:
            del self._kept[key]
        key = secrets.token_urlsafe(16)
        self._kept[key] = _Kept(owner, self._clock.now() + KEPT_FOR, thing)
        return key

    def find_sheet(self, key: str, owner: Username) -> Sheet | None:
        thing = self._find(key, owner)
        return thing if isinstance(thing, Sheet) else None

    def find_link(self, key: str, owner: Username) -> Link | None:
        thing = self._find(key, owner)
        return thing if isinstance(thing, Link) else None

    def take_token(self, key: str, owner: Username) -> NewToken | None:
        """A new token, which is forgotten by showing it."""
        thing = self._find(key, owner)
        if not isinstance(thing, NewToken):
            return None
        del self._kept[key]
        return thing

    def _find(self, key: str, owner: Username) -> Thing | None:
        self._forget_old()
        kept = self._kept.get(key)
        return kept.thing if kept and kept.owner == owner else None

    def _forget_old(self) -> None:
        now = self._clock.now()
        self._kept = {key: kept for key, kept in self._kept.items() if kept.until > now}
