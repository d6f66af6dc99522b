"""One's own second factor: an app's codes, recovery codes, passkeys.

Who must have one and has none is led here after logging in. Recovery codes are in the answer to the
form that made them, and nowhere else.
"""

from __future__ import annotations

from appliance import audit
from appliance.audit import Action
from appliance.errors import ApplianceError, BadRequest, Conflict, NotFound, TooMany
from appliance.hub.pages.account import AccountPage, wrong_proof
from appliance.hub.profiles import Profile
from appliance.native_auth.authenticator import LoginRefused
from appliance.native_auth.second_step import PasskeyPage
from appliance.web.forms import FormError
from appliance.web.guards import login_needed
from appliance.web.parts import Pattern
from appliance.web.qr_codes import qr_svg


class FactorPage(AccountPage):
    """What the page and its forms share."""

    may_lack_factor = True

    @property
    def profile(self) -> Profile:
        return self.profiles.get(self.user)

    def show(self, *, codes: tuple[str, ...] = (), error: FormError | None = None) -> None:
        """The page; with new recovery codes, or after a mistake."""
        profile = self.profile
        secret = self.second_factor.codes.find_secret(profile.id, profile.name, site=self.site.host)
        self.render_page(
            "account_factors.html",
            status=error.status if error else 200,
            factors=self.second_factor.state(profile.id),
            required=self.second_factor.is_required(profile.name),
            secret=secret,
            qr=qr_svg(secret.uri) if secret else "",
            codes=codes,
            passkeys=self.second_factor.passkeys.list_of(profile.id),
            offers_passkeys=self.offers_passkeys,
            fresh=self.is_fresh,
            next_url=self.next_path() or "",
            error=error,
        )

    def back(self, note: str = "") -> None:
        if note:
            self.leave_note("good", note)
        self.redirect(self.hub_path("account/second-factor"))


class FactorHandler(FactorPage):
    """The page, and what its forms do."""

    @login_needed
    async def get(self) -> None:
        self.show()

    @login_needed
    async def post(self) -> None:
        verb = self.get_body_argument("do", "")
        acts = {
            "begin": self._begin,
            "confirm": self._confirm,
            "off": self._switch_off,
            "codes": self._make_codes,
        }
        if verb not in acts:
            raise BadRequest("cannot do this", why="there is no such action")
        try:
            await acts[verb]()
        except (LoginRefused, TooMany) as refused:
            self.show(error=wrong_proof(refused, f"{verb}_proof"))
        except Conflict as wrong:
            self.show(error=FormError.of(wrong))

    async def _begin(self) -> None:
        await self.prove("begin_proof")
        self.second_factor.codes.begin(self.profile.id)
        query = f"?{self.request.query}" if self.request.query else ""
        self.redirect(self.hub_path(f"account/second-factor{query}#app"))

    async def _confirm(self) -> None:
        user_id = self.profile.id
        if not self.second_factor.codes.confirm(user_id, self.get_body_argument("code", "")[:20]):
            self.show(
                error=FormError(
                    "code", "This is not the code that the app should show now.",
                    "Wait for the next one; the time of your phone must be right.", 403,
                )
            )  # fmt: skip
            return
        audit.note(Action.ADD_FACTOR, self.user, kind="app")
        self._refresh()
        self.show(codes=self.second_factor.recovery.make(user_id))

    async def _switch_off(self) -> None:
        await self.prove("off_proof", always=True)
        self.second_factor.switch_codes_off(self.user)
        self.back("Log-ins ask for no code of an app any more.")

    async def _make_codes(self) -> None:
        recovery, user_id = self.second_factor.recovery, self.profile.id
        await self.prove("codes_proof", always=recovery.count(user_id) > 0)
        audit.note(Action.ADD_FACTOR, self.user, kind="recovery codes")
        self.show(codes=recovery.make(user_id))

    def _refresh(self) -> None:
        """Who has just set up what was missing may do everything again, from this page on."""
        self.principal = self.identify_cookie()


class PasskeyHandler(FactorPage):
    """Names and removes passkeys."""

    @login_needed
    async def post(self) -> None:
        verb, _, which = self.get_body_argument("do", "").partition(" ")
        passkeys, user_id = self.second_factor.passkeys, self.profile.id
        number = int(which) if which.isdecimal() and len(which) < 10 else 0
        field = f"remove_proof_{number}"
        try:
            if verb == "rename":
                name = self.get_body_argument(f"name_{number}", "")
                passkeys.rename(user_id, number, name)
            elif verb == "remove":
                await self.prove(field, always=True)
                passkeys.remove_one(user_id, number)
                audit.note(Action.REMOVE_FACTOR, self.user, kind="passkey")
            else:
                raise BadRequest("cannot do this", why="there is no such action")
        except NotFound:
            self.back("That passkey was removed already.")
        except (LoginRefused, TooMany) as refused:
            self.show(error=wrong_proof(refused, field))
        else:
            self.back("Saved." if verb == "rename" else "The passkey is removed.")


class NewPasskeyPage(FactorPage, PasskeyPage):
    """What the script's two requests share."""


class BeginHandler(NewPasskeyPage):
    """A challenge for a new passkey."""

    @login_needed
    async def post(self) -> None:
        try:
            self.check_offered()
            password = self.body().get("password")
            await self.prove_with(password if isinstance(password, str) else "")
            passkeys = self.second_factor.passkeys
            self.reply(passkeys.begin_registration(self.profile.id, self.user, self.site))
        except ApplianceError as error:
            self.refuse(error)

    async def prove_with(self, password: str) -> None:
        if not self.is_fresh:
            await self.authenticator.log_in(self.user, password, address=self.address)


class FinishHandler(NewPasskeyPage):
    """Keeps a new passkey."""

    @login_needed
    async def post(self) -> None:
        try:
            self.check_offered()
            body = self.body()
            self.second_factor.passkeys.finish_registration(
                self.profile.id, str(body.get("key", ""))[:100], body.get("answer"),
                str(body.get("name", "")), self.site,
            )  # fmt: skip
        except ApplianceError as error:
            self.refuse(error)
        else:
            audit.note(Action.ADD_FACTOR, self.user, kind="passkey")
            self.reply({"location": self.hub_path("account/second-factor#passkeys")})


handlers = [
    Pattern(r"/account/second-factor", FactorHandler),
    Pattern(r"/account/passkeys", PasskeyHandler),
    Pattern(r"/account/passkeys/begin", BeginHandler),
    Pattern(r"/account/passkeys/finish", FinishHandler),
]
