"""Where people land: the hub's root, and links that mean "my server, whoever I am"."""

from __future__ import annotations

from urllib.parse import quote

from appliance.web.guards import login_needed
from appliance.web.handlers import PageHandler
from appliance.web.parts import Pattern


class RootHandler(PageHandler):
    """The hub's root.

    Users go on to their notebooks in one step, as in JupyterHub; admins, who have other things to
    do here, to the page from which they reach both.
    """

    @login_needed
    async def get(self) -> None:
        is_admin = self.principal is not None and self.principal.admin
        self.redirect(self.hub_path("home" if is_admin else "spawn"))


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
