"""Stopping servers that nobody uses, after telling whoever could still use them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from appliance.clock import Clock
from appliance.errors import ApplianceError, NotFound
from appliance.hub.activity import Activity
from appliance.hub.classroom.messages import Messages, Offer
from appliance.hub.culling.keeps import Keeps
from appliance.hub.culling.outlook import Outlook, Outlooks
from appliance.hub.culling.processor import ProcessorUse
from appliance.hub.culling.rules import Rules
from appliance.hub.servers import Servers
from appliance.names import ServerId, Username, parse_server_name
from appliance.texts import say

log = logging.getLogger(__name__)

ACTION: Final = "keep-running"
# Soon enough after a start of the hub to see what servers use before the first is due.
_FIRST_LOOK_SECONDS: Final = 30.0
_SHORTEST_PAUSE: Final = 1.0


class Culler:
    """Looks for idle servers now and then, and stops them one after the other."""

    def __init__(
        self,
        *,
        servers: Servers,
        activity: Activity,
        rules: Rules,
        outlooks: Outlooks,
        keeps: Keeps,
        messages: Messages,
        clock: Clock,
        on_end: Callable[[str], None],
    ) -> None:
        self._servers = servers
        self._activity = activity
        self._rules = rules
        self._outlooks = outlooks
        self._keeps = keeps
        self._messages = messages
        self._clock = clock
        self._on_end = on_end
        self._warned: set[ServerId] = set()
        settings = rules.settings
        self._processor = (
            ProcessorUse(clock=clock, activity=activity, percent=settings.cpu)
            if settings.cpu is not None and not settings.busy_kernels
            else None
        )
        self._changed = asyncio.Event()
        messages.on_action(ACTION, self._keep_running)

    async def run(self) -> None:
        """Cull for ever, if anybody's servers are to be stopped."""
        interval = self._rules.settings.interval
        await asyncio.sleep(min(interval, _FIRST_LOOK_SECONDS))
        while True:
            pause = float(interval)
            if self._rules.stops_anybody:
                pause = min(pause, await self.once())
            self._keeps.purge()
            await asyncio.sleep(pause)

    async def once(self) -> float:
        """Stop every server that has been idle for too long, and warn of those that soon will be.

        The answer is after how many seconds the next one is due.
        """
        await self._look_at_processor()
        ready = [view.server for view in self._servers.active() if view.ready]
        outlooks = self._outlooks.of_all(ready)
        self._warned.intersection_update(outlooks)
        due = float(self._rules.settings.interval)
        for server, outlook in outlooks.items():
            left = outlook.idle_left
            if left is None:
                self._take_back(server)
            elif left < 0:
                await self._stop(server)
            else:
                self._tell(server, outlook)
                due = min(due, left if outlook.is_near else left - outlook.warning)
        return max(_SHORTEST_PAUSE, due + 0.1)

    async def _look_at_processor(self) -> None:
        if self._processor is None:
            return
        try:
            self._processor.look(await self._servers.usage())
        except ApplianceError as err:
            log.warning("cannot tell what servers use: %s", err)

    async def _stop(self, server: ServerId) -> None:
        log.info("server %s: idle for %d s, stopping it", server, self._idle(server))
        moment = f"{self._clock.now().astimezone():%H:%M}"
        try:
            await self._servers.stop(server)
        except ApplianceError as err:
            log.warning("cannot stop the idle server %s: %s", server, err)
            return
        self._on_end("idle")
        self._warned.discard(server)
        text = say(
            "Your server was stopped at {time}, since nobody used it. Your files are there.",
            time=moment,
        )
        if server.name:
            text = say(
                "Your server {name} was stopped at {time}, since nobody used it. Your files are "
                "there.",
                name=server.name,
                time=moment,
            )
        self._messages.tell(server.user, text, topic=_topic(server))

    def _idle(self, server: ServerId) -> float:
        return self._activity.idle_seconds(server) or 0.0

    def _tell(self, server: ServerId, outlook: Outlook) -> None:
        """Warn once; take it back when somebody uses the server after all."""
        if not outlook.is_near:
            self._take_back(server)
            return
        if server in self._warned or outlook.idle_left is None:
            return
        self._warned.add(server)
        left = timedelta(seconds=outlook.idle_left)
        moment = f"{(self._clock.now() + left).astimezone():%H:%M}"
        text = say("Nobody uses your server: it is stopped at {time}.", time=moment)
        if server.name:
            text = say(
                "Nobody uses your server {name}: it is stopped at {time}.",
                name=server.name,
                time=moment,
            )
        self._messages.tell(
            server.user, text, topic=_topic(server), lasts=left + timedelta(minutes=1),
            offer=Offer("Keep it running", action=ACTION, value=server.name),
        )  # fmt: skip

    def _take_back(self, server: ServerId) -> None:
        if server in self._warned:
            self._warned.discard(server)
            self._messages.withdraw(server.user, _topic(server))

    def _keep_running(self, user: Username, name: str) -> None:
        """What the button of the warning does: it counts as use, at this moment."""
        server = ServerId(user, parse_server_name(name))
        if self._activity.idle_seconds(server) is None:
            raise NotFound(
                "cannot keep the server running", why="it is stopped", mend="start it again"
            )
        self._activity.used(server)
        # So that the next warning is told, even if it reads the same.
        self._warned.discard(server)
        self._messages.withdraw(server.user, _topic(server))


def _topic(server: ServerId) -> str:
    return f"idle {server.name}".strip()
