"""What a hub says that can't start for now: who asks meanwhile hears why, and doesn't wait in line.

systemd holds the sockets, so requests would wait there until the proxy loses patience.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from html import escape
from http import HTTPStatus
from importlib import resources
from typing import Final

from appliance.errors import ApplianceError

# Read now: the disk may fail later.
_PAGE: Final = resources.files("appliance.hub").joinpath("cannot_start.html").read_text("utf-8")
# How messages write commands.
_COMMAND: Final = re.compile(r"`([^`]+)`")
_CODE: Final = r"<code>\1</code>"
_STATUS: Final = HTTPStatus.SERVICE_UNAVAILABLE
_REQUEST_BYTES: Final = 65536
_REQUEST_SECONDS: Final = 0.5


def excuse(error: ApplianceError, sockets: Mapping[str, socket.socket], *, seconds: float) -> None:
    """Refuse every request with the reason, for so long."""
    page, data = _page(error), _data(error)
    until = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for listener in sockets.values():
            listener.settimeout(0)
            selector.register(listener, selectors.EVENT_READ)
        while (left := until - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                with suppress(OSError):
                    _refuse(key.fileobj, page, data)  # type: ignore[arg-type]


def _refuse(listener: socket.socket, page: bytes, data: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(_REQUEST_SECONDS)
        request = connection.recv(_REQUEST_BYTES)
        connection.sendall(page if b"text/html" in request else data)
        connection.shutdown(socket.SHUT_WR)
        # What isn't read would make the other end lose the answer.
        while connection.recv(_REQUEST_BYTES):
            pass


def _page(error: ApplianceError) -> bytes:
    """Like the one that the proxy has for a hub that is away; the hub's own need the database."""
    words = [f"{error.what[:1].upper()}{error.what[1:]}.", f"Why: {error.why}." * bool(error.why),
             f"What can be done: {error.mend}." * bool(error.mend)]  # fmt: skip
    text = "".join(f"<p>{_COMMAND.sub(_CODE, escape(word))}</p>\n" for word in words if word)
    return _answer("text/html; charset=utf-8", _PAGE.replace("WORDS", text))


def _data(error: ApplianceError) -> bytes:
    message = f"{error.what}: {error.why}" if error.why else error.what
    said = {"status": _STATUS, "message": message, "mend": error.mend}
    return _answer("application/json", json.dumps(said))


def _answer(kind: str, text: str) -> bytes:
    body = text.encode()
    head = (
        f"HTTP/1.1 {_STATUS} {_STATUS.phrase}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\nRetry-After: 5\r\nCache-Control: no-store\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
