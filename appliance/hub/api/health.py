"""What was found about the appliance and its machine, and the account of `appliance doctor`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from appliance import __version__
from appliance.access.principal import Kind
from appliance.clock import stamp
from appliance.errors import NotAllowed
from appliance.hub.api.handler import Body, HubApiHandler
from appliance.hub.check_user import CheckUser
from appliance.hub.health import Health
from appliance.names import CHECK_NEIGHBOUR, CHECK_USER, CHECK_USERS
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern


class FindingsHandler(HubApiHandler):
    """Every topic with how it is, why, and what mends it."""

    health: Health
    started: datetime

    @needs_scope("read:hub")
    async def get(self) -> None:
        self.reply(
            {
                "version": __version__,
                "started": stamp(self.started),
                "severity": self.health.worst,
                "findings": [asdict(one) for one in self.health.findings()],
            }
        )


class Wanted(Body):
    """Which of the accounts; the neighbour is the one that the other tries to get at."""

    neighbour: bool = False


class CheckUserHandler(HubApiHandler):
    """Opens and closes the accounts by which the log-in is checked; for root on the machine."""

    check_user: CheckUser

    @needs_scope("admin:users")
    async def post(self) -> None:
        self._check_root()
        wanted = Wanted() if self.json_body() is None else self.parse_body(Wanted)
        opened = await self.check_user.open(CHECK_NEIGHBOUR if wanted.neighbour else CHECK_USER)
        self.reply({"name": opened.name, "password": opened.password}, status=201)

    @needs_scope("admin:users")
    async def delete(self) -> None:
        self._check_root()
        for name in sorted(CHECK_USERS):
            await self.check_user.close(name)
        self.reply_nothing()

    def _check_root(self) -> None:
        if self.identified().kind is not Kind.ROOT:
            raise NotAllowed(
                "cannot check the log-in",
                why="only root on the machine may",
                mend="sudo appliance doctor",
            )


handlers = [
    Pattern(r"/api/appliance/health", FindingsHandler),
    Pattern(r"/api/appliance/check-user", CheckUserHandler),
]
