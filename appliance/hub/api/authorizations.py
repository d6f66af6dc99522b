"""What clients of old ask: whose token or cookie this is.

jupyterhub.services.auth asks `/user` today; jhub-client still asks here.
"""

from __future__ import annotations

from appliance.access.principal import Principal
from appliance.errors import NotAllowed, NotFound
from appliance.hub.api.info import OwnModel
from appliance.web.asker import LOGIN_COOKIE
from appliance.web.guards import public
from appliance.web.parts import Pattern


class _OwnerHandler(OwnModel):
    """Tells whose a secret is; only to who asks with a token, as nobody's page does."""

    def _reply_owner(self, owner: Principal | None) -> None:
        who = self.identified()
        if who.by_cookie:
            raise NotAllowed("cannot tell whose it is", why="ask with a token")
        if owner is None:
            raise NotFound("cannot tell whose it is", why="it is unknown, or has ended")
        self.reply(self.own_model(owner, scopes=who.scopes))


class TokenOwnerHandler(_OwnerHandler):
    """Whose a token is."""

    @public
    async def get(self, token: str) -> None:
        self._reply_owner(self.web.identify.by_token(token) if self.principal else None)


class CookieOwnerHandler(_OwnerHandler):
    """Whose a log-in cookie is."""

    @public
    async def get(self, cookie: str, value: str) -> None:
        known = self.principal is not None and cookie == LOGIN_COOKIE
        self._reply_owner(self.web.identify.by_cookie(value) if known else None)


class OldTokensHandler(OwnModel):
    """Where tokens were made long ago."""

    @public
    async def post(self) -> None:
        raise NotFound(
            "cannot make tokens here", why="JupyterHub 2 has moved this",
            mend=f"POST {self.web.hub_url}api/users/:user/tokens",
        )  # fmt: skip


handlers = [
    Pattern(r"/api/authorizations/token", OldTokensHandler),
    Pattern(r"/api/authorizations/token/(?P<token>[^/]+)", TokenOwnerHandler),
    Pattern(r"/api/authorizations/cookie/(?P<cookie>[^/]+)/(?P<value>[^/]+)", CookieOwnerHandler),
]
