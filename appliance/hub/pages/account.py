"""One's own account: name, language, mail address, and where one is logged in.

How one proves who one is has a page of its own (account_factors.py), and so has the password.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance import audit
from appliance.audit import Action
from appliance.errors import ApplianceError, BadRequest, NotFound, TooMany
from appliance.hub.browsers import in_words
from appliance.hub.profiles import Profiles
from appliance.hub.sessions import Sessions, SessionView
from appliance.native_auth.authenticator import LoginRefused, NativeAuthenticator
from appliance.native_auth.entering import EntryPage
from appliance.native_auth.letters import Letters
from appliance.native_auth.mail import Mailer
from appliance.texts import Text, say, say_many
from appliance.web.forms import FormError
from appliance.web.guards import login_needed, public
from appliance.web.handlers import PageHandler
from appliance.web.languages import NAMES
from appliance.web.parts import Pattern


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session, as the page lists it."""

    view: SessionView
    device: Text
    here: bool


class AccountPage(EntryPage):
    """What the pages of one's own account share."""

    authenticator: NativeAuthenticator
    profiles: Profiles
    sessions: Sessions

    @property
    def login_id(self) -> int:
        return (self.principal.login_id if self.principal else None) or 0

    @property
    def is_fresh(self) -> bool:
        """Whether the user has just logged in, and needn't enter the password again."""
        return self.sessions.is_fresh(self.login_id)

    async def prove(self, field: str, *, always: bool = False) -> None:
        """Raise LoginRefused or TooMany unless it is surely the user who sits there."""
        if always or not self.is_fresh:
            password = self.get_body_argument(field, "", strip=False)
            await self.authenticator.log_in(self.user, password, address=self.address)


def wrong_proof(error: ApplianceError, field: str) -> FormError:
    """What a form says when it was not the user's password, or something else was wrong."""
    if isinstance(error, LoginRefused):
        return FormError(field, "This is not the password you have now.", "", 403)
    return FormError.of(error, field="" if isinstance(error, TooMany) else field)


class AccountHandler(AccountPage):
    """The page, and what its forms do."""

    mailer: Mailer
    letters: Letters

    @login_needed
    async def get(self) -> None:
        self.show()

    @login_needed
    async def post(self) -> None:
        verb, _, which = self.get_body_argument("do", "").partition(" ")
        if verb == "profile":
            self._change()
        elif verb == "email":
            await self._set_email()
        elif verb == "end":
            self._end(which)
        elif verb == "end-others":
            self._end_others()
        else:
            raise BadRequest("cannot do this", why="there is no such action")

    def _change(self) -> None:
        try:
            self.profiles.change(
                self.user,
                full_name=self.get_body_argument("full_name", ""),
                language=self.get_body_argument("language", ""),
            )
        except BadRequest as wrong:
            self.show(FormError.of(wrong, field="full_name"))
            return
        self.principal = self.identify_cookie()  # in the new language
        self._done("Saved.")

    async def _set_email(self) -> None:
        email = self.get_body_argument("email", "").strip()
        try:
            await self.prove("email_proof")
            token = self.profiles.set_email(self.user, email) if self.mailer.is_set_up else ""
        except BadRequest as wrong:
            self.show(FormError.of(wrong, field="email"))
        except (LoginRefused, TooMany) as refused:
            self.show(wrong_proof(refused, "email_proof"))
        else:
            self._write_to(email, token)

    def _write_to(self, email: str, token: str) -> None:
        if not token:
            self._done("Saved.")
            return
        profile = self.profiles.get(self.user)
        letter = self.letters.confirm_address(
            email, name=self.user, token=token, language=profile.language or self.language
        )
        if self.mailer.post(letter):
            self._done(
                say("A link is on its way to {address}. Follow it to confirm.", address=email)
            )
        else:
            self.leave_note("bad", "No mail could be sent. Try again later.")
            self.redirect(self.hub_path("account"))

    def _end(self, which: str) -> None:
        try:
            self.sessions.end(self.user, int(which) if which.isdecimal() else 0)
        except NotFound:
            self._done("That session had ended already.")
            return
        audit.note(Action.END_SESSION, self.user)
        if which == str(self.login_id):
            self.principal = None
            self.redirect(self.hub_path("login"))
        else:
            self._done("That browser is logged out.")

    def _end_others(self) -> None:
        count = self.sessions.end_all(self.user, but=self.login_id)
        if count:
            audit.note(Action.END_SESSION, self.user, count=count)
        self._done(
            say_many(
                "One other browser is logged out.", "{count} other browsers are logged out.", count
            )
        )

    def _done(self, note: str) -> None:
        self.leave_note("good", note)
        self.redirect(self.hub_path("account"))

    def show(self, error: FormError | None = None) -> None:
        profile = self.profiles.get(self.user)
        typed = {name: self.get_body_argument(name, "")[:300] for name in ("full_name", "email")}
        self.render_page(
            "account.html",
            status=error.status if error else 200,
            profile=profile,
            typed=typed if error else {"full_name": profile.full_name, "email": profile.email},
            languages=NAMES,
            mail=self.mailer.is_set_up,
            fresh=self.is_fresh,
            factors=self.second_factor.state(profile.id),
            passkeys=self.offers_passkeys,
            sessions=[
                SessionRow(one, in_words(one.user_agent), one.id == self.login_id)
                for one in self.sessions.list_of(self.user)
            ],
            error=error,
        )


class EmailHandler(PageHandler):
    """Behind the link in a mail: shows that the address is one's own.

    Opening it changes nothing, because mail programs open links by themselves.
    """

    profiles: Profiles
    may_keep_password = True
    may_lack_factor = True

    @public
    async def get(self) -> None:
        self.render_page("account_email.html", token=self.get_query_argument("token", "")[:100])

    @public
    async def post(self) -> None:
        user = self.profiles.confirm_email(self.get_body_argument("token", ""))
        self.leave_note("good", say("The mail address of {name} is confirmed.", name=user))
        self.redirect(self.hub_path("account" if self.principal else "login"))


handlers = [
    Pattern(r"/account", AccountHandler),
    Pattern(r"/account/email", EmailHandler),
]
