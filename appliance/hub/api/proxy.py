"""The proxy's routes, as JupyterHub's API lists and checks them."""

from __future__ import annotations

from pydantic import Field

from appliance.errors import BadRequest
from appliance.hub.api.handler import Body
from appliance.hub.api.paging import PagedHandler
from appliance.hub.routes import Routes
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern


class OtherProxy(Body):
    """Where another proxy's API is, and its token."""

    api_url: str | None = Field(None, max_length=1024)
    auth_token: str | None = Field(None, max_length=1024)


class ProxyHandler(PagedHandler):
    """The table of routes."""

    routes: Routes

    @needs_scope("proxy")
    async def get(self) -> None:
        part = self.part()
        routes = sorted((await self.routes.listing()).items())
        shown = {
            path: {"routespec": route.routespec, "target": route.target, "data": route.data}
            for path, route in routes[part.offset : part.offset + part.limit]
        }
        self.reply_part(part, shown, len(routes))

    @needs_scope("proxy")
    async def post(self) -> None:
        await self.routes.check()
        self.reply_empty()

    @needs_scope("proxy")
    async def patch(self) -> None:
        body = self.parse_body(OtherProxy)
        if body.api_url is None and body.auth_token is None:
            raise BadRequest(
                "cannot read the request", why="it has neither an api_url nor an auth_token"
            )
        await self.routes.move(api_url=body.api_url, api_token=body.auth_token)
        self.reply_empty()


handlers = [Pattern(r"/api/proxy", ProxyHandler)]
