"""The page with one's API tokens: those one made, and the apps that one has let in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from appliance.access.words import in_words
from appliance.config.schema import Config
from appliance.errors import BadRequest, NotFound
from appliance.hub.pages.shown_once import ShownOnce
from appliance.hub.tokens import Tokens, TokenView
from appliance.web.formats import duration
from appliance.web.forms import FormError
from appliance.web.guards import login_needed
from appliance.web.handlers import PageHandler
from appliance.web.parts import Pattern

_HOUR: Final = 3600
_DAY: Final = 24 * _HOUR
_LIFETIMES: Final = (_HOUR, _DAY, 7 * _DAY, 30 * _DAY, 365 * _DAY)
_USUAL: Final = 30 * _DAY
_NOTE_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Choice:
    """How long a new token may live: seconds, or "" for as long as nobody revokes it."""

    value: str
    label: str


@dataclass(frozen=True, slots=True)
class Row:
    """One token, or all that an app has."""

    ids: tuple[str, ...]
    title: str
    allows: list[str]
    created: datetime
    last_activity: datetime | None
    expires: datetime | None


class TokenPage(PageHandler):
    """What the page and its forms share."""

    config: Config
    tokens: Tokens
    shown_once: ShownOnce

    def show(self, *, key: str = "", error: FormError | None = None) -> None:
        """The page, with a token just made or after a mistake in the form."""
        views = list(reversed(self.tokens.list_of(self.user)))
        held = self.principal.scopes.listed() if self.principal else []
        self.render_page(
            "tokens.html",
            status=error.status if error else 200,
            new=self.shown_once.take_token(key, self.user) if key else None,
            own=[self._row(view.note, [view]) for view in views if view.own],
            apps=self._apps([view for view in views if view.by_oauth]),
            choices=choices(self.tokens.max_age_seconds),
            held=[(self._short(scope), self._words([scope])[0]) for scope in held],
            typed={name: self.get_argument(name, "") for name in ("note", "expires_in", "scopes")},
            usual=str(_USUAL),
            error=error,
        )

    def _apps(self, views: Sequence[TokenView]) -> list[Row]:
        names = dict.fromkeys(view.oauth_client for view in views)
        return [self._row(name, [v for v in views if v.oauth_client == name]) for name in names]

    def _row(self, title: str, views: Sequence[TokenView]) -> Row:
        expires = [view.expires for view in views]
        return Row(
            ids=tuple(view.api_id for view in views),
            title=title,
            allows=self._words([scope for view in views for scope in view.written]),
            created=min(view.created for view in views),
            last_activity=max((v.last_activity for v in views if v.last_activity), default=None),
            expires=None if None in expires else max(one for one in expires if one),
        )

    def _short(self, scope: str) -> str:
        """The scope as people write it for themselves."""
        return (
            scope.removesuffix(f"={self.user}") if scope.endswith(f"!user={self.user}") else scope
        )

    def _words(self, scopes: Sequence[str]) -> list[str]:
        custom = {name: one.description for name, one in self.config.custom_scopes.items()}
        return in_words(scopes, reader=self.user, custom=custom)


class TokensHandler(TokenPage):
    """Lists tokens and makes new ones."""

    @login_needed
    async def get(self) -> None:
        self.show(key=self.get_query_argument("new", ""))

    @login_needed
    async def post(self) -> None:
        error = self._mistake()
        if error:
            self.show(error=error)
            return
        lifetime = self.get_body_argument("expires_in", "")
        scopes = re.split(r"[\s,]+", self.get_body_argument("scopes", ""))
        try:
            made = self.tokens.create(
                self.user,
                note=self.get_body_argument("note", ""),
                expires_in=int(lifetime) if lifetime else None,
                scopes=[scope for scope in scopes if scope] or None,
            )
        except BadRequest as wrong:
            self.show(error=FormError.of(wrong, field="scopes"))
        else:
            self.redirect(self.hub_path(f"token?new={self.shown_once.put(self.user, made)}"))

    def _mistake(self) -> FormError | None:
        """What browsers keep people from sending."""
        if len(self.get_body_argument("note", "")) > _NOTE_MAX:
            return FormError("note", "This is too long to find it again.", "", 400)
        offered = {one.value for one in choices(self.tokens.max_age_seconds)}
        if self.get_body_argument("expires_in", "") not in offered:
            return FormError("expires_in", "Choose one from the list.", "", 400)
        return None


class RevokeHandler(TokenPage):
    """Ends a token, or all that an app has."""

    @login_needed
    async def post(self) -> None:
        ended = 0
        for token_id in self.get_body_arguments("id")[:1000]:
            try:
                ended += self.tokens.revoke(self.user, token_id)
            except NotFound:
                continue  # gone by itself, or with the one before it
        if ended:
            self.leave_note("good", "Revoked: whoever has it can do nothing with it any more.")
        else:
            self.leave_note("warn", "That token was gone already.")
        self.redirect(self.hub_path("token"))


def choices(longest: int | None) -> list[Choice]:
    """The lifetimes to choose from, none of them longer than the longest."""
    allowed = [seconds for seconds in _LIFETIMES if longest is None or seconds <= longest]
    if longest is not None and longest not in allowed:
        allowed.append(longest)
    found = [Choice(str(seconds), _label(seconds)) for seconds in allowed]
    return found if longest is not None else [*found, Choice("", "Until I revoke it")]


def _label(seconds: int) -> str:
    return "1 year" if seconds == 365 * _DAY else duration(seconds)


handlers = [
    Pattern(r"/token", TokensHandler),
    Pattern(r"/token/revoke", RevokeHandler),
]
