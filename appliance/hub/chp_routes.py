"""Keeping configurable-http-proxy's table of routes in line with what runs.

Every route leads to our nginx, which knows the way on and keeps users' servers and the hub apart.
So people reach all they may as soon as the hub's own route is there; the others tell the proxy, and
whoever reads its table, whose each address is and when it was last used.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from appliance.clock import Clock, stamp
from appliance.config.schema import Config, ProxyProgram
from appliance.errors import BadRequest, NotFound, ProxyError
from appliance.hub.routes import NginxRoutes, Route, Routes, RouteTable, Services, Targets
from appliance.hub.server_rows import ServerRows, ServerView
from appliance.hub.states import ServerState
from appliance.names import ServerId
from appliance.places import Places
from appliance.proxy.chp import ChpClient, ChpRoute, own_target

log = logging.getLogger(__name__)

CHECK_SECONDS: Final = 60.0
"""Between two looks at the whole table: how long a proxy that was restarted may lack routes."""
_AWAY_SECONDS: Final = 5.0
_ACTIVITY_SECONDS: Final = 300.0
# The proxy stamps a route when it is added, which is no activity of anybody's.
_STAMP_OF_ADDING: Final = timedelta(seconds=2)


def make_routes(
    config: Config, places: Places, *, rows: ServerRows, clock: Clock, services: Services
) -> Routes:
    """The routes of the proxy that the settings name."""
    table = RouteTable(rows=rows, base_url=config.base_url, services=services)
    if config.proxy.program is ProxyProgram.NGINX:
        return NginxRoutes(table=table, places=places, services=services)
    secret = config.proxy.api_token
    client = ChpClient(config.proxy.api_url, secret.get_secret_value() if secret else None)
    routes = ChpRoutes(table=table, client=client, target=own_target(config), clock=clock)
    rows.follow(routes.changed)
    return routes


class ChpRoutes:
    """For configurable-http-proxy: its table, told over its API."""

    def __init__(self, *, table: RouteTable, client: ChpClient, target: str, clock: Clock) -> None:
        self._table = table
        self._client = client
        self._clock = clock
        self._targets = Targets(
            hub=target, server=lambda _server: target, service=lambda _name: target
        )
        self._one_at_a_time = asyncio.Lock()
        self._changed: dict[ServerId, None] = {}
        self._wake = asyncio.Event()
        self._added: dict[str, datetime] = {}
        self._next_activity = 0.0
        self._said = ""

    def changed(self, server: ServerId, state: ServerState) -> None:
        """A server became ready, or is no longer: `run` tells the proxy; nobody waits for it."""
        if state is not ServerState.STARTING:
            self._changed[server] = None
            self._wake.set()

    async def listing(self) -> dict[str, Route]:
        return {
            path: Route(path, route.target, {**route.data, **_activity(route)})
            for path, route in (await self._client.routes()).items()
            if route.ours
        }

    async def check(self) -> None:
        async with self._one_at_a_time:
            await self._check()

    async def move(self, *, api_url: str | None, api_token: str | None) -> None:
        old = self._client
        new = ChpClient(
            old.api_url if api_url is None else api_url,
            old.api_token if api_token is None else api_token,
        )
        if new.api_url != old.api_url and old.api_token is not None and api_token is None:
            # Whoever listens there would hear it, and could lead everybody where they like.
            raise BadRequest(
                "cannot use the other proxy",
                why="its token is missing, and that of this proxy is nobody else's",
                mend="send its auth_token along",
            )
        self._client = new
        log.info("the proxy's API is at %s now", self._client.api_url)
        await self.check()

    async def fault(self) -> str:
        try:
            table = await self._client.routes(retry=False)
            if await self._client.is_open():
                return (
                    f"configurable-http-proxy's API at {self._client.api_url} obeys anybody: "
                    "start it with a CONFIGPROXY_AUTH_TOKEN"
                )
        except ProxyError as err:
            return f"{err.what}: {err.why}"
        hub = self._table.hub(self._targets)
        if not _is_same(hub, table.get(hub.routespec)):
            return "configurable-http-proxy has no route to the hub; it gets one within a minute"
        return ""

    async def run(self) -> None:
        due = 0.0
        while True:
            now = self._clock.monotonic()
            try:
                if now >= due:
                    due = now + CHECK_SECONDS
                    await self.check()
                    self._say("")
                elif self._changed:
                    await self._settle()
            except ProxyError as err:
                # The next look at the whole table mends whatever was not told.
                due = self._clock.monotonic() + _AWAY_SECONDS
                self._say(str(err))
            if not self._changed:
                self._wake.clear()
            await _wait(self._wake, due - self._clock.monotonic())

    def _say(self, fault: str) -> None:
        """Once, not with every attempt."""
        if fault and fault != self._said:
            log.error("%s", fault)
        elif self._said and not fault:
            log.info("configurable-http-proxy has its routes again")
        self._said = fault

    async def _settle(self) -> None:
        """Tell the proxy of the servers that changed."""
        async with self._one_at_a_time:
            changed = list(self._changed)
            self._changed.clear()
            await _all(self._tell(server) for server in changed)

    async def _tell(self, server: ServerId) -> None:
        view = self._table.rows.view(server)
        route = self._table.of_server(server, self._targets)
        if view.ready:
            await self._add(route)
        elif view.state is not ServerState.STARTING:
            await self._remove(route.routespec)

    async def _check(self) -> None:
        table = await self._client.routes()
        # Only now: what became ready while the proxy answered is in it.
        self._changed.clear()
        wanted, kept = self._table.wanted(self._targets), self._table.pending()
        wrong = [route for path, route in wanted.items() if not _is_same(route, table.get(path))]
        stale = [
            path
            for path, route in table.items()
            if route.ours and path not in wanted and path not in kept
        ]
        if wrong or stale:
            log.info("routes: %d to add, %d to delete", len(wrong), len(stale))
        await _all(
            [*(self._add(route) for route in wrong), *(self._remove(path) for path in stale)]
        )
        await self._note_activity(table)

    async def _add(self, route: Route) -> None:
        await self._client.add(route.routespec, route.target, route.data)
        self._added[route.routespec] = self._clock.now()

    async def _remove(self, path: str) -> None:
        self._added.pop(path, None)
        await self._client.remove(path)

    async def _note_activity(self, table: dict[str, ChpRoute]) -> None:
        """What the proxy saw moves what the API tells, only forwards.

        It is no news for the culler: the proxy counts an open page that only asks for news, the
        servers themselves don't.
        """
        now = self._clock.monotonic()
        if now < self._next_activity:
            return
        self._next_activity = now + _ACTIVITY_SECONDS
        for view in self._table.rows.active():
            seen = self._seen(view, table.get(view.url))
            if seen is None:
                continue
            try:
                self._table.rows.note_activity(view.server.user, seen, {view.server.name: seen})
            except NotFound:  # its user was removed meanwhile
                log.debug("the user of %s is gone", view.server)
            # Each is a commit; others get their turn in between.
            await asyncio.sleep(0)

    def _seen(self, view: ServerView, route: ChpRoute | None) -> datetime | None:
        """When the proxy saw something of a server's that the hub doesn't know of."""
        if route is None or route.last_activity is None or not view.ready:
            return None
        seen = min(route.last_activity, self._clock.now())
        added = self._added.get(route.path)
        if added is not None and seen < added + _STAMP_OF_ADDING:
            return None
        return seen if view.last_activity is None or seen > view.last_activity else None


def _is_same(route: Route, found: ChpRoute | None) -> bool:
    return (
        found is not None
        and found.ours
        and found.target == route.target
        and route.data.items() <= found.data.items()
    )


def _activity(route: ChpRoute) -> dict[str, Any]:
    moment = route.last_activity
    return {"last_activity": stamp(moment)} if moment else {}


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do everything at once; the first failure ends the rest."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except* ProxyError as errors:
        raise errors.exceptions[0] from None


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            await event.wait()
    except TimeoutError:
        return
