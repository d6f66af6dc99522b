"""Which address leads where, as the hub's API tells it and as a proxy with a table needs it.

nginx finds servers by their sockets, so there its table is computed and nothing is ever to do. The
other implementation, for configurable-http-proxy, is in `chp_routes.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from appliance.errors import BadRequest
from appliance.hub.server_rows import ServerRows
from appliance.names import ServerId
from appliance.places import Places

Services = Callable[[], Mapping[str, str]]
"""The services that have an address, by name: where each listens."""


@dataclass(frozen=True, slots=True)
class Route:
    """A path with a slash at both ends, where it leads, and whose it is."""

    routespec: str
    target: str
    data: dict[str, Any]


class Routes(Protocol):
    """The proxy's routes; every method raises ProxyError when the proxy can't be told or asked."""

    async def listing(self) -> dict[str, Route]:
        """The hub's routes that the proxy has, by path."""
        ...

    async def check(self) -> None:
        """Bring the proxy's table in line with what runs."""
        ...

    async def move(self, *, api_url: str | None, api_token: str | None) -> None:
        """Use another proxy from now on, until the hub restarts; raises BadRequest if it can't."""
        ...

    async def fault(self) -> str:
        """What is wrong with the proxy at this moment, in a sentence; "" when nothing is."""
        ...

    async def run(self) -> None:
        """Keep the table in line for ever."""
        ...


@dataclass(frozen=True, slots=True)
class Targets:
    """Where routes lead."""

    hub: str
    server: Callable[[ServerId], str]
    service: Callable[[str], str]


class RouteTable:
    """The routes that there should be: the hub's, those of servers that are ready, services'."""

    def __init__(self, *, rows: ServerRows, base_url: str, services: Services) -> None:
        self.rows = rows
        self._base_url = base_url
        self._services = services

    def wanted(self, targets: Targets) -> dict[str, Route]:
        """Every route that there should be now, by path."""
        routes = [self.hub(targets)]
        routes += [
            self.of_server(view.server, targets) for view in self.rows.active() if view.ready
        ]
        routes += [
            Route(f"{self._base_url}services/{name}/", targets.service(name), {"service": name})
            for name in self._services()
        ]
        return {route.routespec: route for route in routes}

    def hub(self, targets: Targets) -> Route:
        return Route(self._base_url, targets.hub, {"hub": True})

    def of_server(self, server: ServerId, targets: Targets) -> Route:
        path = server.url_path(self._base_url)
        data = {"user": server.user, "server_name": server.name}
        return Route(path, targets.server(server), data)

    def pending(self) -> set[str]:
        """Paths of servers that are on their way: nobody knows yet whether they have a route."""
        return {view.url for view in self.rows.active() if view.pending}


class NginxRoutes:
    """For nginx: the sockets are the table."""

    def __init__(self, *, table: RouteTable, places: Places, services: Services) -> None:
        self._table = table
        self._targets = Targets(
            hub=_socket_url(places.hub_socket),
            server=lambda server: _socket_url(places.server_sockets / server.socket_path),
            service=lambda name: services()[name],
        )

    async def listing(self) -> dict[str, Route]:
        return self._table.wanted(self._targets)

    async def check(self) -> None:
        """Nothing can be amiss."""

    async def move(self, *, api_url: str | None, api_token: str | None) -> None:
        del api_url, api_token
        raise BadRequest(
            "cannot use another proxy",
            why="nginx is the proxy here, and it has no API",
            mend="appliance config set proxy.program configurable-http-proxy",
        )

    async def fault(self) -> str:
        return ""

    async def run(self) -> None:
        """There is nothing to do, for ever."""
        await asyncio.Event().wait()


def _socket_url(path: Path) -> str:
    return f"http+unix://{quote(str(path), safe='')}"
