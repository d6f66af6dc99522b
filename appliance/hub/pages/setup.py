"""The page behind a set-up link: its holder chooses a password and is logged in.

Opening the page uses nothing up, because mail programs and messengers open links by themselves;
only sending the form does.
"""

from __future__ import annotations

from appliance.errors import BadRequest, NotFound
from appliance.hub.classroom.people import People
from appliance.hub.links import Links
from appliance.hub.users import Users
from appliance.native_auth.authenticator import NativeAuthenticator
from appliance.native_auth.entering import EntryPage
from appliance.texts import say
from appliance.web.forms import FormError
from appliance.web.guards import public
from appliance.web.languages import localized
from appliance.web.parts import Pattern


class SetupHandler(EntryPage):
    """Chooses a password by a set-up link."""

    authenticator: NativeAuthenticator
    links: Links
    people: People
    users: Users
    may_keep_password = True
    may_lack_factor = True

    @public
    async def get(self) -> None:
        self._show(self.get_query_argument("token", ""))

    @public
    async def post(self) -> None:
        token = self.get_body_argument("token", "")
        password = self.get_body_argument("password", "", strip=False)
        try:
            user = await self.links.use(token, password)
        except NotFound:
            self.render_page("setup_expired.html", status=404)
        except BadRequest as wrong:
            self._show(token, FormError.of(wrong, field="password"))
        else:
            # By the link somebody is let in, too, who waited for it in a class.
            for group in self.web.groups_of(user):
                await self.people.changed(group, joined=[user])
            if self.lead_to_second_step(user):
                return
            note = say("Welcome, {name}. Your password is set.", name=user)
            self.enter(user, localized(note), self.hub_path("home"))
            if self.principal:
                await self.arrivals.at_sign_up(self.principal)

    def _show(self, token: str, error: FormError | None = None) -> None:
        user = self.links.find_user(token) if token else None
        person = self.users.find(user) if user else None
        if person is None:
            self.render_page("setup_expired.html", status=404)
            return
        self.render_page(
            "setup.html",
            status=error.status if error else 200,
            username=person.name,
            admin=person.admin,
            token=token,
            error=error,
            rules=self.authenticator.rules,
        )


handlers = [Pattern(r"/setup", SetupHandler)]
