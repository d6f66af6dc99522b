"""The pages of accounts with passwords: log in, log out, change one's password.

Logging out by GET is allowed, because JupyterLab's menu and JupyterHub's clients do just that, but
only for a navigation that doesn't come from another site; anything else is asked first.
"""

from __future__ import annotations

from appliance.errors import BadRequest, TooMany
from appliance.names import Username
from appliance.native_auth.authenticator import LoginRefused, NativeAuthenticator, Refusal
from appliance.native_auth.entering import EntryPage
from appliance.texts import say
from appliance.web.failures import XsrfRefused
from appliance.web.forms import FormError
from appliance.web.guards import login_needed, public
from appliance.web.handlers import PageHandler
from appliance.web.languages import localized
from appliance.web.parts import Arrivals, Pattern, TakesCodes

_ADVICE = {
    Refusal.WAITING: say("you can log in as soon as an admin has let you in"),
    Refusal.LOCKED: say("ask your teacher or an admin"),
}
_CHECK_BOTH = say("check both; passwords tell capitals from small letters")


class LoginHandler(EntryPage):
    """The log-in page: the same words for an unknown name and a wrong password."""

    authenticator: NativeAuthenticator
    joining: TakesCodes
    seconds_to_log_in: float | None = None
    """How long it took until it was known who it is; the answer may wait for a server."""

    @public
    async def get(self) -> None:
        if self.principal:
            self.redirect(self.next_path() or self.hub_path(""))
        else:
            self._show(self.get_query_argument("username", "")[:200])

    @public
    async def post(self) -> None:
        name = self.get_body_argument("username", "")[:200]
        password = self.get_body_argument("password", "", strip=False)
        try:
            user = await self.authenticator.log_in(name, password, address=self.address)
        except LoginRefused as refused:
            advice = _ADVICE.get(refused.reason, _CHECK_BOTH)
            self._show(name, FormError.of(refused, mend=advice))
        except TooMany as refused:
            self.set_header("Retry-After", str(refused.retry_after_seconds))
            self._show(name, FormError.of(refused))
        else:
            self.seconds_to_log_in = self.request.request_time()
            if not self.lead_to_second_step(user, goal=self.next_path() or ""):
                self.redirect(await self.let_in(user))

    async def on_xsrf_refused(self, refusal: XsrfRefused) -> None:
        error = FormError("", "This page was open for too long.", "Log in again.", 403)
        self._show(self.get_body_argument("username", "")[:200], error)

    def _show(self, username: str, error: FormError | None = None) -> None:
        self.render_page(
            "login.html",
            status=error.status if error else 200,
            username=username,
            error=error,
            next_url=self.next_path() or "",
            signup_mode=self.authenticator.mode,
            passkeys=self.offers_passkeys,
            takes_codes=self.joining.takes_codes,
        )


class LogoutHandler(PageHandler):
    """Ends the session, and with it what was opened by it; servers go on running."""

    may_keep_password = True

    @public
    async def get(self) -> None:
        if self.principal and self.comes_from_elsewhere:
            self.render_page("logout.html")
        else:
            self._leave()

    @public
    async def post(self) -> None:
        self._leave()

    def _leave(self) -> None:
        was_here = self.principal is not None
        self.log_out()
        if was_here:
            self.leave_note("good", "You are logged out.")
        self.redirect(self.hub_path("login"))


class PasswordHandler(PageHandler):
    """Changes one's own password; the other sessions end, this one is renewed."""

    authenticator: NativeAuthenticator
    arrivals: Arrivals
    may_keep_password = True
    may_lack_factor = True

    @login_needed
    async def get(self) -> None:
        self._show()

    @login_needed
    async def post(self) -> None:
        field = "password"
        is_first = bool(self.principal and self.principal.must_change_password)
        new = self.get_body_argument("password", "", strip=False)
        old = self.get_body_argument("old", "", strip=False)
        try:
            await self._change(self.user, old, new)
        except LoginRefused:
            error = FormError("old", "This is not the password you have now.", "", 403)
            self._show(error)
        except BadRequest as wrong:
            self._show(FormError.of(wrong, field=field))
        except TooMany as refused:
            self.set_header("Retry-After", str(refused.retry_after_seconds))
            self._show(FormError.of(refused))
        else:
            if self.principal and is_first:
                await self.arrivals.at_sign_up(self.principal)

    async def _change(self, user: Username, old: str, new: str) -> None:
        if self.principal and self.principal.must_change_password:
            # The one from the card was typed a moment ago; twice is a nuisance on a phone.
            await self.authenticator.choose_first(user, new)
        else:
            await self.authenticator.change_password(user, old, new, address=self.address)
        self.principal = None  # all sessions have ended, this one too
        note = localized(say("Your password is changed."))
        self.enter(user, note, self.next_path() or self.hub_path("home"))

    def _show(self, error: FormError | None = None) -> None:
        self.render_page(
            "password.html",
            status=error.status if error else 200,
            error=error,
            must_change=bool(self.principal and self.principal.must_change_password),
            next_url=self.next_path() or "",
            rules=self.authenticator.rules,
        )


handlers = [
    Pattern(r"/login", LoginHandler),
    Pattern(r"/logout", LogoutHandler),
    Pattern(r"/password", PasswordHandler),
]
