"""The two addresses of the OAuth provider: one for browsers, one for the servers they come from."""

from __future__ import annotations

import re
from typing import Final

from appliance.access.words import in_words
from appliance.config.schema import Config
from appliance.hub.oauth import OAuthProvider
from appliance.hub.oauth_values import TOKEN_DAYS, Ask
from appliance.web.guards import login_needed, public
from appliance.web.handlers import ApiHandler, PageHandler
from appliance.web.parts import Pattern

_ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+")


class AuthorizeHandler(PageHandler):
    """Sends a browser back to its server with a code, asking its user first if need be."""

    config: Config
    oauth: OAuthProvider

    @login_needed
    async def get(self) -> None:
        self._answer(None)

    @login_needed
    async def post(self) -> None:
        if self.get_body_argument("answer", "") == "no" and self.principal:
            self.redirect(self.oauth.deny(self.request.query, self.principal).location)
        else:
            self._answer(self.get_body_arguments("scopes"))

    def _answer(self, agreed: list[str] | None) -> None:
        # login_needed has seen to it that somebody is there.
        if self.principal is None:
            return
        answer = self.oauth.authorize(self.request.query, self.principal, agreed=agreed)
        if isinstance(answer, Ask):
            self._ask(answer)
        else:
            self.redirect(answer.location)

    def _ask(self, ask: Ask) -> None:
        origin = _ORIGIN.match(ask.client.redirect_uri)
        if origin:
            # Browsers hold the redirect behind a form to the form's own policy.
            self.set_content_policy(forms_lead_to=origin[0])
        custom = {name: one.description for name, one in self.config.custom_scopes.items()}
        self.render_page(
            "authorize.html",
            client=ask.client,
            scopes=ask.scopes,
            wishes=in_words(ask.scopes, reader=self.user, custom=custom),
            where=origin[0] if origin else "",
            days=TOKEN_DAYS,
            action=self.own_uri,
        )


class TokenHandler(ApiHandler):
    """Gives a token for a code; who asks proves it by its secret in the body."""

    oauth: OAuthProvider

    async def prepare(self) -> None:
        self.check_body_size()

    @public
    async def post(self) -> None:
        body = self.request.body.decode(errors="replace")
        status, headers, answer = self.oauth.token(body)
        self.set_status(status)
        for name, value in headers.items():
            self.set_header(name, value)
        self.finish(answer)


handlers = [
    Pattern(r"/api/oauth2/authorize", AuthorizeHandler),
    Pattern(r"/api/oauth2/token", TokenHandler),
]
