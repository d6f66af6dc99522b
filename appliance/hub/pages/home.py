"""The page "My server": its state, the buttons, what it uses, and the way to everything else."""

from __future__ import annotations

from appliance.config.schema import Config
from appliance.hub.pages.usage import UsageMeter
from appliance.hub.servers import Servers
from appliance.hub.users import Users
from appliance.names import ServerId
from appliance.web.guards import login_needed
from appliance.web.handlers import PageHandler
from appliance.web.parts import Pattern


class HomeHandler(PageHandler):
    """My server."""

    config: Config
    servers: Servers
    users: Users
    usage: UsageMeter

    @login_needed
    async def get(self) -> None:
        server = self.servers.view(ServerId(self.user))
        is_admin = self.principal is not None and self.principal.admin
        culling = self.config.culling
        self.render_page(
            "home.html",
            server=server,
            usage=await self.usage.of(server.server) if server.ready else None,
            front_end=self.config.servers.front_end,
            cull_after=culling.timeout if culling.enabled else 0,
            waiting=self.users.counts().waiting if is_admin else 0,
        )


class StopHandler(PageHandler):
    """Stops one's own server, or cancels its start."""

    servers: Servers

    @login_needed
    async def post(self) -> None:
        await self.servers.stop(ServerId(self.user), wait=2.0)
        self.redirect(self.hub_path("home"))


handlers = [Pattern(r"/home", HomeHandler), Pattern(r"/home/stop", StopHandler)]
