"""Pages at whose end somebody is logged in, if need be after a second step."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from appliance.names import Username
from appliance.native_auth.half_way import LIFETIME_SECONDS
from appliance.native_auth.second_factor import SecondFactor
from appliance.native_auth.webauthn import Site
from appliance.web.handlers import PageHandler
from appliance.web.parts import Arrivals

TICKET_COOKIE: Final = "appliance-second-step"


class EntryPage(PageHandler):
    """Lets people in, or leads them to the second step."""

    second_factor: SecondFactor
    arrivals: Arrivals

    def lead_to_second_step(self, user: Username, *, goal: str = "") -> bool:
        """Go to the second step if there is one for who has just given the password."""
        if not self.second_factor.is_asked(user):
            return False
        self._set_ticket(self.second_factor.begin(user), max_age=round(LIFETIME_SECONDS))
        query = f"?next={quote(goal, safe='')}" if goal else ""
        self.redirect(self.hub_path(f"login/second{query}"))
        return True

    async def let_in(self, user: Username) -> str:
        """Begin a session; returns where to go on to."""
        self._set_ticket("", max_age=0)
        self.log_in(user)
        goal = self.next_path()
        if self.principal:
            goal = await self.arrivals.at_log_in(self.principal, goal)
        return goal or self.hub_path("")

    @property
    def ticket(self) -> str:
        """The key of the log-in under way."""
        return next(iter(self._cookie_values(TICKET_COOKIE)), "")

    @property
    def site(self) -> Site:
        return Site(f"{self.request.protocol}://{self.request.host}")

    @property
    def offers_passkeys(self) -> bool:
        return self.second_factor.has_passkeys and self.site.has_passkeys

    def _set_ticket(self, key: str, *, max_age: int) -> None:
        if not key and not self.ticket:
            return
        self.set_cookie(
            TICKET_COOKIE, key, path=self.hub_path("login"), max_age=max_age,
            httponly=True, secure=self.is_https, samesite="Lax",
        )  # fmt: skip
