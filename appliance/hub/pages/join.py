"""Signing up, joining a class by a code, and waiting to be let in.

Who isn't logged in makes an account with the code; who is logged in confirms, because a link alone
must not put anybody into a class. The waiting page asks how it stands, and goes on by itself.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlencode

from appliance.db.models import UserState
from appliance.errors import ApplianceError, BadRequest, Conflict, NotAllowed, TooMany
from appliance.hub.classroom.invites import Found
from appliance.hub.classroom.joining import Joining
from appliance.hub.users import Users
from appliance.names import Username, parse_full_name, parse_username
from appliance.native_auth.authenticator import NativeAuthenticator
from appliance.native_auth.signup import SignUp, SignUps
from appliance.native_auth.waiting import COOKIE, LIFETIME, Stage, Standing, WaitingTickets
from appliance.texts import say
from appliance.web.failures import XsrfRefused
from appliance.web.forms import FormError
from appliance.web.guards import login_needed, public
from appliance.web.handlers import PageHandler
from appliance.web.languages import localized
from appliance.web.parts import Arrivals, Pattern

_CODE_MAX: Final = 200
_NO_CODE: Final = "-"
"""What is looked up, in vain, where a code must be and there is none."""


class SignupPage(PageHandler):
    """What the forms for new accounts share."""

    authenticator: NativeAuthenticator
    sign_ups: SignUps
    joining: Joining
    waiting_tickets: WaitingTickets
    arrivals: Arrivals

    async def make_account(self, code: str, found: Found | None = None) -> None:
        """Make the account that the form asks for, and go on; or show the form again."""
        field = "username"
        try:
            user = self.sign_ups.check_name(self.get_body_argument("username", ""))
            field = "full_name"
            full_name = parse_full_name(self.get_body_argument("full_name", ""))
            field = "password"
            password = self.get_body_argument("password", "", strip=False)
            self.authenticator.check_new_password(password, user)
            field = "code" if code and found is None else ""
            made = await self._sign_up(user, password, full_name, code)
        except (BadRequest, Conflict, NotAllowed, TooMany) as error:
            if isinstance(error, TooMany):
                self.set_header("Retry-After", str(error.retry_after_seconds))
                field = ""
            elif isinstance(error, Conflict):
                field = "username"
            self.show_form(FormError.of(error, field=field), found=found, code=code)
        else:
            await self._go_on(made)

    async def _sign_up(self, user: Username, password: str, full_name: str, code: str) -> SignUp:
        if code:
            return await self.joining.sign_up(
                user, password, code=code, full_name=full_name, address=self.address
            )
        return await self.sign_ups.sign_up(
            user, password, full_name=full_name, address=self.address
        )

    async def _go_on(self, made: SignUp) -> None:
        if made.state is UserState.WAITING:
            self.set_cookie(
                COOKIE, self.waiting_tickets.make(made.name), path=self.web.hub_url,
                max_age=int(LIFETIME.total_seconds()),
                httponly=True, secure=self.is_https, samesite="Lax",
            )  # fmt: skip
            self.redirect(self.hub_path(f"signup/waiting?{urlencode({'username': made.name})}"))
            return
        note = say("Welcome, {name}. Your account is ready.", name=made.name)
        self.enter(made.name, localized(note), self.hub_path("home"))
        if self.principal:
            await self.arrivals.at_sign_up(self.principal)

    def show_form(
        self, error: FormError | None = None, *, found: Found | None = None, code: str = ""
    ) -> None:
        """The form, after a mistake with what was typed."""
        self.render_page(
            "signup.html",
            status=error.status if error else 200,
            username=self.get_body_argument("username", "")[:200],
            full_name=self.get_body_argument("full_name", "")[:300],
            code="" if code == _NO_CODE else code,
            asks_for_code=self.sign_ups.mode == "code" and found is None,
            joins=found.title if found else "",
            must_wait=self.sign_ups.mode == "approval" if found is None else found.must_approve,
            action=self.request.path,
            error=error,
            rules=self.authenticator.rules,
            takes_codes=found is None and self.joining.takes_codes,
        )


class SignupHandler(SignupPage):
    """Makes an account, or says why there are none to be had here."""

    @public
    async def get(self) -> None:
        if self.principal:
            self.redirect(self.hub_path("home"))
        elif self.sign_ups.mode == "closed":
            self._show_closed()
        else:
            self.show_form()

    @public
    async def post(self) -> None:
        if self.sign_ups.mode == "closed":
            self._show_closed(status=403)
            return
        code = ""
        if self.sign_ups.mode == "code":
            code = self.get_body_argument("code", "")[:_CODE_MAX] or _NO_CODE
        await self.make_account(code)

    async def on_xsrf_refused(self, refusal: XsrfRefused) -> None:
        error = FormError("", "This page was open for too long.", "Send the form again.", 403)
        self.show_form(error, code=self.get_body_argument("code", "")[:_CODE_MAX])

    def _show_closed(self, status: int = 200) -> None:
        self.render_page("signup_closed.html", status=status, takes_codes=self.joining.takes_codes)


class JoinHandler(PageHandler):
    """Asks for a code."""

    @public
    async def get(self) -> None:
        code = self.get_query_argument("code", "").strip()[:_CODE_MAX]
        if code:
            self.redirect(self.hub_path(f"join/{quote(code, safe='')}"))
        else:
            self.render_page("join.html", code="", error=None)


class JoinCodeHandler(SignupPage):
    """Joins by a code: with a new account, or with the one that is logged in."""

    users: Users

    @public
    async def get(self, code: str) -> None:
        if self.principal:
            await self._confirm(code)
        else:
            found = self._found(code)
            if found:
                self.show_form(found=found, code=code)

    @public
    async def post(self, code: str) -> None:
        if self.principal:
            await self._join(code)
        else:
            found = self._found(code)
            if found:
                await self.make_account(code, found)

    @login_needed
    async def _confirm(self, code: str) -> None:
        try:
            standing = self.joining.standing(self.users.get(self.user), code)
        except (NotAllowed, TooMany) as error:
            self._show_refusal(error, code)
        else:
            self.render_page("join_confirm.html", standing=standing, code=code)

    @login_needed
    async def _join(self, code: str) -> None:
        try:
            standing = await self.joining.join(self.users.get(self.user), code)
        except (Conflict, NotAllowed, TooMany) as error:
            self._show_refusal(error, code)
            return
        title = standing.found.title
        if standing.already:
            note = say("You were in “{title}” already.", title=title)
        else:
            note = say("You are in “{title}” now.", title=title)
        self.leave_note("good", localized(note))
        self.redirect(self.hub_path("home"))

    async def on_xsrf_refused(self, refusal: XsrfRefused) -> None:
        if self.principal is None:
            code = self.path_kwargs["code"]
            found = self._found(code)
            if found:
                error = FormError("", "This page was open for too long.", "Send it again.", 403)
                self.show_form(error, found=found, code=code)

    def _found(self, code: str) -> Found | None:
        """What the code is for; None after the page that says why it doesn't work."""
        try:
            return self.joining.look(code, address=self.address)
        except (NotAllowed, TooMany) as error:
            self._show_refusal(error, code)
            return None

    def _show_refusal(self, error: ApplianceError, code: str) -> None:
        if isinstance(error, TooMany):
            self.set_header("Retry-After", str(error.retry_after_seconds))
        told = FormError.of(error, field="code")
        self.render_page("join.html", status=told.status, code=code[:_CODE_MAX], error=told)


class WaitingPage(PageHandler):
    """What the waiting page and its questions share."""

    waiting_tickets: WaitingTickets
    arrivals: Arrivals

    def standing(self) -> Standing | None:
        """How it stands with whoever signed up in this browser."""
        held = (self.waiting_tickets.read(one) for one in self._cookie_values(COOKIE))
        return next((one for one in held if one), None)

    def forget_ticket(self) -> None:
        self.clear_cookie(COOKIE, path=self.web.hub_url)


class WaitingHandler(WaitingPage):
    """Tells somebody who has just signed up what happens next, and lets them in when it is time."""

    @public
    async def get(self) -> None:
        standing = self.standing()
        try:
            name = standing.name if standing else self._asked_name()
        except BadRequest:
            self.redirect(self.hub_path("signup"))
            return
        stage = standing.stage if standing else Stage.WAITING
        if stage is Stage.ENTERED:
            self.forget_ticket()
            self.redirect(self.hub_path(f"login?{urlencode({'username': name})}"))
            return
        self.render_page(
            "signup_waiting.html", username=name, stage=stage, follows=standing is not None
        )

    @public
    async def post(self) -> None:
        standing = self.standing()
        if standing is None or standing.stage is Stage.WAITING:
            await self.get()
            return
        self.forget_ticket()
        if standing.stage is Stage.APPROVED:
            note = say("Welcome, {name}. You have been let in.", name=standing.name)
            self.enter(standing.name, localized(note), self.hub_path("home"))
            if self.principal:
                await self.arrivals.at_sign_up(self.principal)
        elif standing.stage is Stage.GONE:
            self.render_page(
                "signup_waiting.html", username=standing.name, stage=Stage.GONE, follows=False
            )
        else:
            self.redirect(self.hub_path(f"login?{urlencode({'username': standing.name})}"))

    def _asked_name(self) -> Username:
        return parse_username(self.get_query_argument("username", ""))


class StageHandler(WaitingPage):
    """How it stands, for the waiting page's script."""

    @public
    async def get(self) -> None:
        standing = self.standing()
        self.reply({"stage": standing.stage.value if standing else None})


handlers = [
    Pattern(r"/signup", SignupHandler),
    Pattern(r"/signup/waiting", WaitingHandler),
    Pattern(r"/signup/waiting/stage", StageHandler),
    Pattern(r"/join", JoinHandler),
    Pattern(r"/join/(?P<code>[^/]+)", JoinCodeHandler),
]
