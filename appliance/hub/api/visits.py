"""Visits: asking to open a student's server, answering, ending."""

from __future__ import annotations

from typing import Any, Literal

from appliance.clock import stamp
from appliance.hub.api.handler import Body, HubApiHandler
from appliance.hub.api.messages import OwnInbox
from appliance.hub.classroom.visits import MINUTES, Visits, VisitView
from appliance.web.guards import needs_scope, public
from appliance.web.parts import Pattern


class NewVisit(Body):
    """Which of the user's servers to open; "" is the default one."""

    server: str = ""


class Answer(Body):
    """What the owner says, or that one side ends it."""

    do: Literal["allow", "refuse", "end"]
    minutes: int = MINUTES


class VisitListHandler(OwnInbox):
    """Who visits one, and whom one visits."""

    visits: Visits

    @public
    async def get(self) -> None:
        user = self.reader()
        found = [*self.visits.of_owner(user), *self.visits.of_visitor(user)]
        self.reply([visit_model(one) for one in found])


class VisitHandler(OwnInbox):
    """One visit; both sides may end it, the owner alone may allow it."""

    visits: Visits

    @public
    async def post(self, visit: str) -> None:
        body = self.parse_body(Answer)
        user, number = self.reader(), int(visit)
        if body.do == "end":
            done = self.visits.end(user, number)
        else:
            done = self.visits.answer(user, number, allow=body.do == "allow", minutes=body.minutes)
        self.reply(visit_model(done))


class UserVisitsHandler(HubApiHandler):
    """Asks a user to open a server."""

    visits: Visits

    @needs_scope("admin:users", "classroom")
    async def post(self, user: str) -> None:
        body = self.parse_body(NewVisit)
        server = self.known_server(user, body.server)
        visitor = self.identified().username
        self.reply(visit_model(self.visits.ask(visitor, server)), status=201)


def visit_model(one: VisitView) -> dict[str, Any]:
    return {
        "id": one.id, "visitor": one.visitor, "user": one.owner, "server": one.server.name,
        "state": str(one.state), "asked": stamp(one.asked), "until": stamp(one.until),
    }  # fmt: skip


handlers = [
    Pattern(r"/api/appliance/visits", VisitListHandler),
    Pattern(r"/api/appliance/visits/(?P<visit>\d{1,15})", VisitHandler),
    Pattern(r"/api/appliance/users/(?P<user>[^/]+)/visits", UserVisitsHandler),
]
