"""Where people land: the hub's root, and links that mean "my server, whoever I am"."""

from __future__ import annotations

from urllib.parse import quote

from appliance.hub.arrival import Arrivals
from appliance.web.guards import login_needed
from appliance.web.handlers import PageHandler
from appliance.web.parts import Pattern


class RootHandler(PageHandler):
    """The hub's root: everybody goes on to where most want to go."""

    arrivals: Arrivals

    @login_needed
    async def get(self) -> None:
        self.redirect(self.arrivals.front_of(self.principal))


class UserRedirectHandler(PageHandler):
    """Links for everybody, such as nbgitpuller's, that go on to the reader's own server."""

    @login_needed
    async def get(self, path: str) -> None:
        query = f"?{self.request.query}" if self.request.query else ""
        goal = f"{self.web.base_url}user/{self.user}/{path}{query}"
        self.redirect(self.hub_path(f"spawn/{quote(self.user)}?next={quote(goal, safe='')}"))


handlers = [
    Pattern(r"/?", RootHandler),
    Pattern(r"/user-redirect(?:/(?P<path>.*))?", UserRedirectHandler),
]
