"""Code in a kernel, over the websocket through the proxy, as a notebook in a browser sends it."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import AsyncGenerator
from typing import Any

from tornado.httpclient import HTTPRequest
from tornado.netutil import Resolver
from tornado.websocket import websocket_connect

from appliance.doctor.browser import Browser, Entrance, unverified


async def replies(
    browser: Browser, channels_url: str, code: str, seconds: float
) -> AsyncGenerator[dict[str, Any], None]:
    """What the kernel says to this code, message by message, until the connection ends.

    Raises OSError and tornado's HTTPClientError when there is no connection.
    """
    request = HTTPRequest(
        f"ws{channels_url.removeprefix('http')}",
        headers=browser.headers_for(channels_url),
        ssl_options=unverified() if channels_url.startswith("https") else None,
        request_timeout=seconds,
    )
    channels = await websocket_connect(request, resolver=_Here(entrance=browser.entrance))
    message = _execute_request(code)
    try:
        await channels.write_message(json.dumps(message))
        while (text := await channels.read_message()) is not None:
            found: dict[str, Any] = json.loads(text)
            if found.get("parent_header", {}).get("msg_id") == message["header"]["msg_id"]:
                yield found
    finally:
        channels.close()


class _Here(Resolver):
    """Every name leads to this machine's proxy."""

    def initialize(self, entrance: Entrance) -> None:
        self._entrance = entrance

    async def resolve(self, host: str, port: int, family: Any = 0) -> list[tuple[int, Any]]:
        entrance = self._entrance
        kind = socket.AF_INET6 if ":" in entrance.address else socket.AF_INET
        return [(kind, (entrance.address, entrance.port))]


def _execute_request(code: str) -> dict[str, Any]:
    header = {
        "msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "",
        "session": uuid.uuid4().hex, "version": "5.3",
    }  # fmt: skip
    content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
    return {
        "channel": "shell", "header": header, "parent_header": {}, "metadata": {},
        "content": content,
    }  # fmt: skip
