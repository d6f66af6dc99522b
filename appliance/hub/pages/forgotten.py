"""The page for a forgotten password: asks for a link by mail, or says whom to ask.

Its answer is the same for names that there are and for others.
"""

from __future__ import annotations

from appliance.errors import TooMany
from appliance.hub.forgotten import Forgotten
from appliance.web.failures import XsrfRefused
from appliance.web.forms import FormError
from appliance.web.guards import public
from appliance.web.handlers import PageHandler
from appliance.web.parts import Pattern


class ForgottenHandler(PageHandler):
    """Takes a user name or a mail address."""

    forgotten: Forgotten

    @public
    async def get(self) -> None:
        self._show()

    @public
    async def post(self) -> None:
        if not self.forgotten.is_possible:
            self._show()
            return
        try:
            self.forgotten.ask(self.get_body_argument("who", ""), address=self.address)
        except TooMany as refused:
            self.set_header("Retry-After", str(refused.retry_after_seconds))
            self._show(FormError.of(refused))
        else:
            self._show(sent=True)

    async def on_xsrf_refused(self, refusal: XsrfRefused) -> None:
        self._show(FormError("", "This page was open for too long.", "Send the form again.", 403))

    def _show(self, error: FormError | None = None, *, sent: bool = False) -> None:
        self.render_page(
            "forgotten.html",
            status=error.status if error else 200,
            possible=self.forgotten.is_possible,
            who=self.get_argument("who", "")[:254],
            sent=sent,
            error=error,
        )


handlers = [Pattern(r"/forgot", ForgottenHandler)]
