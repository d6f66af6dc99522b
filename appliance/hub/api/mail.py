"""Mail: whether it can be sent, and a test."""

from __future__ import annotations

from pydantic import Field

from appliance.clock import stamp
from appliance.hub.api.handler import Body, HubApiHandler
from appliance.native_auth.letters import Letters
from appliance.native_auth.mail import Mailer
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern


class Receiver(Body):
    """Whom to write to."""

    address: str = Field(max_length=254)


class MailHandler(HubApiHandler):
    """How mail is doing."""

    mailer: Mailer

    @needs_scope("read:hub")
    async def get(self) -> None:
        failure = self.mailer.failure
        self.reply(
            {
                "set_up": self.mailer.is_set_up,
                "failure": {"at": stamp(failure.at), "why": failure.why} if failure else None,
            }
        )


class MailTestHandler(HubApiHandler):
    """Sends one mail, and answers when the mail server has taken it."""

    mailer: Mailer
    letters: Letters

    @needs_scope("admin:users")
    async def post(self) -> None:
        body = self.parse_body(Receiver)
        await self.mailer.send(self.letters.trial(body.address))
        self.reply({})


handlers = [
    Pattern(r"/api/appliance/mail", MailHandler),
    Pattern(r"/api/appliance/mail/test", MailTestHandler),
]
