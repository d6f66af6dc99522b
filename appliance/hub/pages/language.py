"""Choosing a language for this browser, on pages where nobody is logged in yet."""

from __future__ import annotations

from typing import Final

from appliance.errors import BadRequest
from appliance.web import languages
from appliance.web.guards import public
from appliance.web.handlers import PageHandler
from appliance.web.parts import Pattern

_DAYS: Final = 365


class LanguageHandler(PageHandler):
    """Keeps the choice in a cookie; what is kept in an account goes before it."""

    may_keep_password = True

    @public
    async def post(self) -> None:
        code = self.get_body_argument("language", "")
        if code not in languages.NAMES:
            raise BadRequest("cannot choose this language", why="there are no pages in it")
        self.set_cookie(
            languages.COOKIE, code, path=self.web.hub_url, expires_days=_DAYS,
            httponly=True, secure=self.is_https, samesite="Lax",
        )  # fmt: skip
        self.redirect(self.next_path() or self.hub_path("login"))


handlers = [Pattern(r"/language", LanguageHandler)]
