"""A raw HTTP client and a small browser on it: exact paths, cookies, redirects, websockets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import io
import json
import os
import ssl
import struct
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Encrypted:
    """A port that is asked by HTTPS, for a host of that name."""

    address: tuple[str, int]
    context: ssl.SSLContext
    host: str = "hub.test"


Target = Path | tuple[str, int] | Encrypted


@dataclass(frozen=True)
class Reply:
    """An answer as it came."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")

    def every(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def json(self) -> Any:
        return json.loads(self.body)


async def connect(target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(target, Path):
        return await asyncio.open_unix_connection(str(target))
    if isinstance(target, Encrypted):
        address, context, host = target.address, target.context, target.host
        return await asyncio.open_connection(*address, ssl=context, server_hostname=host)
    return await asyncio.open_connection(*target)


async def send_raw(target: Target, data: bytes) -> Reply:
    """Send bytes as they are and read one answer; status 0 means closed without an answer."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        reader, writer = await connect(target)
        try:
            writer.write(data)
            await writer.drain()
            received = await reader.read(-1)
        except ConnectionError:
            received = b""
        finally:
            writer.close()
    return parse(received)


def parse(received: bytes) -> Reply:
    class Source:
        def makefile(self, *_: object) -> io.BytesIO:
            return io.BytesIO(received)

    response = http.client.HTTPResponse(Source())  # type: ignore[arg-type]
    try:
        response.begin()
    except http.client.BadStatusLine:
        return Reply(0, [], b"")
    return Reply(response.status, response.getheaders(), response.read())


def request_bytes(
    method: str, path: str, headers: Mapping[str, str], body: bytes = b"", *, host: str = "hub.test"
) -> bytes:
    head = {"Host": host, "Connection": "close", **headers}
    if body:
        head["Content-Length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


async def send(
    target: Target,
    path: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> Reply:
    """Send one request with exactly this path."""
    return await send_raw(target, request_bytes(method, path, headers or {}, body))


@dataclass
class Browser:
    """Keeps cookies by their path, as browsers do."""

    target: Target
    cookies: dict[tuple[str, str], str] = field(default_factory=dict)
    host: str = "hub.test"

    def cookie_header(self, path: str) -> str:
        plain = path.partition("?")[0]
        sent = {
            name: value for (name, scope), value in self.cookies.items() if plain.startswith(scope)
        }
        return "; ".join(f"{name}={value}" for name, value in sent.items())

    def cookie(self, name: str, path: str = "") -> str:
        """A cookie's value: the one that is sent to a path, or any."""
        found = [
            value
            for (key, scope), value in self.cookies.items()
            if key == name and (not path or path.startswith(scope))
        ]
        return found[0] if found else ""

    async def get(self, path: str, **headers: str) -> Reply:
        return await self.ask("GET", path, headers=headers)

    async def post(self, path: str, value: object) -> Reply:
        headers = {"Content-Type": "application/json", "X-XSRFToken": self.cookie("_xsrf", path)}
        return await self.ask("POST", path, headers=headers, body=json.dumps(value).encode())

    async def ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        names = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        cookies = self.cookie_header(path)
        if cookies:
            names["Cookie"] = cookies
        reply = await send_raw(
            self.target, request_bytes(method, path, names, body, host=self.host)
        )
        for line in reply.every("Set-Cookie"):
            self._keep(line)
        return reply

    def _keep(self, line: str) -> None:
        for name, morsel in SimpleCookie(line).items():
            key = (name, morsel["path"] or "/")
            if morsel.value and morsel["max-age"] != "0":
                self.cookies[key] = morsel.value
            else:
                self.cookies.pop(key, None)

    async def follow(self, path: str, *, hops: int = 8) -> tuple[str, Reply]:
        """Go where redirects lead; returns the last address and its answer."""
        reply = await self.get(path)
        while reply.status in {301, 302, 303, 307} and hops:
            path = reply.header("Location")
            assert path.startswith("/"), f"redirected to another site: {path}"
            reply = await self.get(path)
            hops -= 1
        return path, reply

    @contextlib.asynccontextmanager
    async def websocket(self, path: str, **headers: str) -> AsyncIterator[WebSocket]:
        """Open a websocket, or raise ConnectionRefusedError with the status."""
        reader, writer = await connect(self.target)
        head = {
            "Host": self.host,
            "Origin": f"http://{self.host}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-Fetch-Mode": "websocket",
            "Cookie": self.cookie_header(path),
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"GET {path} HTTP/1.1", *(f"{n}: {v}" for n, v in head.items() if v)]
        try:
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), TIMEOUT_SECONDS)
            status = answer.split(b" ", 2)[1].decode()
            if status != "101":
                raise ConnectionRefusedError(status)
            yield WebSocket(reader, writer)
        finally:
            writer.close()


@dataclass
class WebSocket:
    """Just enough of RFC 6455: masked text out, whole frames in."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, value: object) -> None:
        data = json.dumps(value).encode()
        mask = os.urandom(4)
        length = len(data)
        head = (
            bytes([0x81, 0x80 | length])
            if length < 126
            else b"\x81\xfe" + struct.pack(">H", length)
        )
        self.writer.write(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))
        await self.writer.drain()

    async def receive(self) -> tuple[int, bytes]:
        """The next frame's opcode and data; pings are left to the caller."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            first, second = await self.reader.readexactly(2)
            length = second & 0x7F
            if length == 126:
                (length,) = struct.unpack(">H", await self.reader.readexactly(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", await self.reader.readexactly(8))
            return first & 0x0F, await self.reader.readexactly(length)

    async def receive_json(self) -> Any:
        while True:
            opcode, data = await self.receive()
            if opcode == 1:
                return json.loads(data)
            assert opcode in {9, 10}, f"closed: {data!r}"
