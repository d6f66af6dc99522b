"""The two addresses of the OAuth provider: one for browsers, one for the servers they come from."""

from __future__ import annotations

from appliance.hub.oauth import OAuthProvider
from appliance.hub.oauth_values import Ask
from appliance.web.guards import login_needed, public
from appliance.web.handlers import ApiHandler, PageHandler
from appliance.web.parts import Pattern


class AuthorizeHandler(PageHandler):
    """Sends a browser back to its server with a code, asking its user first if need be."""

    oauth: OAuthProvider

    @login_needed
    async def get(self) -> None:
        self._answer(None)

    @login_needed
    async def post(self) -> None:
        self._answer(self.get_body_arguments("scopes"))

    def _answer(self, agreed: list[str] | None) -> None:
        # login_needed has seen to it that somebody is there.
        if self.principal is None:
            return
        answer = self.oauth.authorize(self.request.query, self.principal, agreed=agreed)
        if isinstance(answer, Ask):
            self.render_page(
                "authorize.html",
                description=answer.client.description,
                owner=answer.client.owner,
                scopes=answer.scopes,
                action=self.own_uri,
            )
        else:
            self.redirect(answer.location)


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
