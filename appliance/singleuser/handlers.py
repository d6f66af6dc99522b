"""The three pages of logging in and out; what they decide is in the identity provider."""

from __future__ import annotations

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import JupyterHandler
from tornado import web

from .hub import HubRefusedError, HubUnavailableError, may_use

BEGIN_AGAIN = "this log-in was not begun in this browser, or took too long; open %s again"


class LoginHandler(JupyterHandler):  # type: ignore[misc]
    """`…/login`: on to the hub, for those who come here by an old link."""

    @allow_unauthenticated  # type: ignore[untyped-decorator]
    def get(self) -> None:
        next_url = self.get_query_argument("next", "")
        self.redirect(self.identity_provider.begin_login(self, next_url))


class LogoutHandler(JupyterHandler):  # type: ignore[misc]
    """`…/logout`: forget the browser here, and let the hub end its whole session."""

    @allow_unauthenticated  # type: ignore[untyped-decorator]
    def get(self) -> None:
        identity = self.identity_provider
        identity.hub.forget(identity.token_in_cookie(self))
        identity.clear_login_cookie(self)
        self.redirect(f"{identity.hub_address}logout")


class CallbackHandler(JupyterHandler):  # type: ignore[misc]
    """`…/oauth_callback`: the browser is back from the hub with a code."""

    @allow_unauthenticated  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        identity = self.identity_provider
        error = self.get_query_argument("error", "")
        if error == "access_denied":
            # The visitor said so: there is nothing to explain, and nothing to see here.
            self.redirect(f"{identity.hub_address}home")
            return
        if error:
            why = self.get_query_argument("error_description", error)
            raise web.HTTPError(403, "the hub did not log you in: %s", why)
        login = identity.end_login(self, self.get_query_argument("state", ""))
        if login is None:
            raise web.HTTPError(400, BEGIN_AGAIN, identity.appliance.prefix)
        token = await self._token(login.verifier)
        identity.keep_token(self, token)
        self.redirect(login.next_url)

    async def _token(self, verifier: str) -> str:
        identity = self.identity_provider
        try:
            token = await identity.hub.exchange(
                self.get_query_argument("code", ""), verifier=verifier
            )
            person = await identity.hub.find_person(token)
        except HubRefusedError as err:
            raise web.HTTPError(403, "the hub did not log you in: %s", err) from err
        except HubUnavailableError as err:
            raise web.HTTPError(502, "the hub does not answer; try again in a moment") from err
        if person is None or not may_use(person, identity.appliance.access_scopes):
            raise web.HTTPError(403, "you may not use the server of %s", identity.appliance.user)
        return str(token)
