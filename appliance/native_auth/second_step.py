"""The second step's page, and logging in with a passkey.

Scripts of these pages send and get JSON, for a passkey is nothing that a form can send.
"""

from __future__ import annotations

import json

from appliance.errors import ApplianceError, BadRequest, NotAllowed, TooMany
from appliance.native_auth.entering import EntryPage
from appliance.native_auth.second_factor import WrongCode
from appliance.native_auth.throttle import network_of
from appliance.web.failures import LoginNeeded, XsrfRefused, failure_of
from appliance.web.forms import FormError, told
from appliance.web.guards import public
from appliance.web.languages import localized
from appliance.web.parts import Pattern


class SecondStepHandler(EntryPage):
    """Asks for what proves it besides the password."""

    @public
    async def get(self) -> None:
        self._show()

    @public
    async def post(self) -> None:
        code = self.get_body_argument("code", "")[:100]
        recovery = self.get_body_argument("recovery", "")[:100]
        try:
            user = self.second_factor.finish(self.ticket, code=code, recovery=recovery)
        except WrongCode as refused:
            self._show(FormError.of(refused, field="code" if code else "recovery"))
        except TooMany as refused:
            self.set_header("Retry-After", str(refused.retry_after_seconds))
            self._show(FormError.of(refused))
        except LoginNeeded:
            self._again()
        else:
            self.redirect(await self.let_in(user))

    async def on_xsrf_refused(self, refusal: XsrfRefused) -> None:
        if self.second_factor.find(self.ticket) is not None:
            self._show(
                FormError("", "This page was open for too long.", "Enter the code again.", 403)
            )

    def _show(self, error: FormError | None = None) -> None:
        ticket = self.second_factor.find(self.ticket)
        if ticket is None:
            self._again()
            return
        factors = self.second_factor.state(ticket.user_id)
        self.render_page(
            "second_step.html",
            status=error.status if error else 200,
            username=ticket.user,
            factors=factors,
            passkeys=self.offers_passkeys and factors.passkeys > 0,
            next_url=self.next_path() or "",
            error=error,
        )

    def _again(self) -> None:
        """The first step again: the ticket's time or tries are over, or there never was one."""
        self.leave_note("warn", "Please log in again: the second step took too long.")
        self.redirect(self.hub_path("login"))


class PasskeyPage(EntryPage):
    """What the scripts' two requests share."""

    def body(self) -> dict[str, object]:
        try:
            sent = json.loads(self.request.body or b"{}")
        except (ValueError, RecursionError) as err:
            raise BadRequest("cannot read the request", why="it isn't JSON") from err
        if not isinstance(sent, dict):
            raise BadRequest("cannot read the request", why="it isn't an object")
        return sent

    def refuse(self, error: ApplianceError) -> None:
        """Answer with a sentence for the page."""
        if isinstance(error, TooMany):
            self.set_header("Retry-After", str(error.retry_after_seconds))
        self.reply({"error": localized(told(error))}, status=failure_of(error).status)

    def check_offered(self) -> None:
        if not self.offers_passkeys:
            raise NotAllowed(
                "cannot use passkeys here",
                why="they are switched off, or the address has no https",
                mend="log in with your password",
            )


class PasskeyBeginHandler(PasskeyPage):
    """A challenge for any passkey, or after the password for one of the user's own."""

    @public
    async def post(self) -> None:
        try:
            self.check_offered()
            self.reply(
                self.second_factor.passkeys.begin(
                    self.site, network=network_of(self.address), user_id=self._user_id()
                )
            )
        except ApplianceError as error:
            self.refuse(error)

    def _user_id(self) -> int | None:
        if not self.body().get("second"):
            return None
        ticket = self.second_factor.find(self.ticket)
        if ticket is None:
            raise LoginNeeded
        return ticket.user_id


class PasskeyFinishHandler(PasskeyPage):
    """Checks the answer and begins a session."""

    @public
    async def post(self) -> None:
        try:
            self.check_offered()
            body = self.body()
            key, answer = str(body.get("key", ""))[:100], body.get("answer")
            passkeys, site = self.second_factor.passkeys, self.site
            if body.get("second"):
                user = self.second_factor.finish_by_passkey(
                    self.ticket,
                    lambda user_id: passkeys.finish(key, answer, site, user_id=user_id),
                )
            else:
                user = passkeys.finish(key, answer, site)
        except ApplianceError as error:
            self.refuse(error)
        else:
            self.reply({"location": await self.let_in(user)})


handlers = [
    Pattern(r"/login/second", SecondStepHandler),
    Pattern(r"/login/passkey", PasskeyBeginHandler),
    Pattern(r"/login/passkey/finish", PasskeyFinishHandler),
]
