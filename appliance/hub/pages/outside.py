"""Requests that reach the hub for addresses outside of /hub/.

The proxy sends everything here that has no server of its own, such as the address of a server that
was stopped. The hub's log-in cookie is only sent below /hub/, so reading goes on there; writing,
which only scripts do, hears that the server is gone in the way that JupyterLab understands.
"""

from __future__ import annotations

import re
from typing import Any

from appliance.errors import NotFound, ProxyError
from appliance.hub.pages.not_running import not_running_message
from appliance.hub.services import Services
from appliance.web.failures import Failure, failure_of
from appliance.web.guards import public
from appliance.web.handlers import Handler, PageHandler
from appliance.web.parts import Web


class OutsideHandler(Handler):
    """Sends readers to the same path below /hub/; a missing slash after a user's name is added."""

    web: Web

    @public
    async def get(self) -> None:
        self.set_header("Cache-Control", "no-store")
        path = self._path_below_base()
        if path == "hub" or re.fullmatch(r"(user|services)/[^/?]+", path.partition("?")[0]):
            before, mark, query = path.partition("?")
            self.redirect(f"{self.web.base_url}{before}/{mark}{query}", permanent=True)
        else:
            self.redirect(f"{self.web.hub_url}{path}")

    async def head(self) -> None:
        await self.get()

    @public
    async def post(self) -> None:
        path = self._path_below_base()
        if not path.startswith("user/"):
            raise NotFound("cannot find what this request is for", why="nothing is at this address")
        self.reply({"status": 424, "message": not_running_message(self.web)}, status=424)

    put = patch = delete = post

    def _path_below_base(self) -> str:
        """Path and query below the base URL; leading slashes, which would name a host, are gone."""
        return self.own_uri.removeprefix(self.web.base_url).lstrip("/\\")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        exc_info = kwargs.get("exc_info")
        failure: Failure = failure_of(exc_info[1] if exc_info else None, status=status_code)
        self.reply({"status": failure.status, "message": failure.message}, status=failure.status)


class ServiceDownHandler(PageHandler):
    """Requests for a service that the proxy couldn't reach, or that there isn't."""

    services: Services

    async def prepare(self) -> None:
        """Nobody is identified: the log-in cookie doesn't come here."""

    @public
    async def get(self, name: str) -> None:
        service = self.services.find(name)
        if service is not None and service.url:
            raise ProxyError(
                f"cannot open the service {name}",
                why="it doesn't answer at this moment",
                mend="try again in a moment; if it stays, tell an admin (`appliance status`)",
            )
        if not self.is_read:
            raise NotFound("cannot find what this request is for", why="nothing is at this address")
        self.redirect(self.web.hub_url + self.own_uri.removeprefix(self.web.base_url))

    post = put = patch = delete = get

    @property
    def xsrf_value(self) -> str:
        """None: it would replace that of a user who is logged in."""
        return ""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        if self.request.headers.get("Accept", "").startswith("application/json"):
            exc_info = kwargs.get("exc_info")
            failure = failure_of(exc_info[1] if exc_info else None, status=status_code)
            body = {"status": failure.status, "message": failure.message}
            self.reply(body, status=failure.status)
            return
        super().write_error(status_code, **kwargs)
