"""The buttons of messages, questions and visits on the page "My server"."""

from __future__ import annotations

from typing import Final

from appliance.errors import ApplianceError, BadRequest
from appliance.hub.classroom.inbox import Inbox
from appliance.web.forms import told
from appliance.web.guards import login_needed
from appliance.web.handlers import PageHandler
from appliance.web.parts import Pattern

_VERBS: Final = frozenset({"seen", "act", "allow", "refuse", "end"})


class InboxHandler(PageHandler):
    """Does what a card's button says."""

    inbox: Inbox

    @login_needed
    async def get(self) -> None:
        self.redirect(self.hub_path("home"))

    @login_needed
    async def post(self) -> None:
        verb, *numbers = self.get_body_argument("do", "").split(" ")
        if verb not in _VERBS or not numbers or not all(_is_number(one) for one in numbers):
            raise BadRequest("cannot do this", why="the form is not one of ours")
        minutes = int(numbers[1]) if verb == "allow" and len(numbers) > 1 else None
        try:
            self.inbox.do(self.user, verb, int(numbers[0]), minutes=minutes)
        except ApplianceError as wrong:
            self.leave_note("bad", told(wrong))
        self.redirect(self.hub_path("home"))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 15


handlers = [
    Pattern(r"/messages", InboxHandler),
]
