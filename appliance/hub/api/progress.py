"""Starts of servers as they go on, as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Final

from tornado.iostream import StreamClosedError

from appliance.hub.api.handler import HubApiHandler
from appliance.hub.api.server_paths import DEFAULT, NAMED
from appliance.hub.progress import Event
from appliance.web.guards import needs_scope
from appliance.web.languages import translate
from appliance.web.parts import Pattern

_KEEP_ALIVE_SECONDS: Final = 8.0


class ProgressHandler(HubApiHandler):
    """A start as it goes on, as server-sent events; pages ask for them in their language."""

    _language = ""

    @needs_scope("read:servers")
    async def get(self, user: str, server: str) -> None:
        events = self.servers.progress(self.known_server(user, server))
        self._language = self.get_query_argument("language", "")
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-cache")
        # nginx would hold events back until a buffer is full.
        self.set_header("X-Accel-Buffering", "no")
        try:
            await self._send("\n\n")
            await self._stream(events)
        except StreamClosedError:
            return  # whoever listened has left, and the start goes on

    async def _stream(self, events: AsyncIterator[Event]) -> None:
        following = asyncio.ensure_future(anext(events, None))
        try:
            while True:
                done, _ = await asyncio.wait({following}, timeout=_KEEP_ALIVE_SECONDS)
                if not done:
                    await self._send("\n\n")
                    continue
                event = following.result()
                if event is None:
                    return
                told = {**event, "message": translate(self._language, event["message"])}
                await self._send(f"data: {json.dumps(told)}\n\n")
                following = asyncio.ensure_future(anext(events, None))
        finally:
            following.cancel()

    async def _send(self, text: str) -> None:
        self.write(text)
        await self.flush()


handlers = [
    Pattern(rf"/api{DEFAULT}/progress", ProgressHandler),
    Pattern(rf"/api{NAMED}/progress", ProgressHandler),
]
