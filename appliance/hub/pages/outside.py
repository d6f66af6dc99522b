"""Requests that reach the hub for addresses outside of /hub/.

The proxy sends everything here that has no server of its own, such as the address of a server that
was stopped. The hub's log-in cookie is only sent below /hub/, so reading goes on there; writing,
which only scripts do, hears that the server is gone in the way that JupyterLab understands.
"""

from __future__ import annotations

import re
from typing import Any

from appliance.errors import NotFound
from appliance.hub.pages.not_running import not_running_message
from appliance.web.failures import Failure, failure_of
from appliance.web.guards import public
from appliance.web.handlers import Handler
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
