"""HTTP/1.1 and websockets over asyncio, as little as a class of browsers needs.

The class shares its processors with what it measures, so what isn't read is counted and dropped as
it comes, and nothing is parsed twice.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

_NO_BODY: Final = frozenset({204, 304})


class ConnectionFailed(Exception):
    """The other side hung up before the answer was there."""


@dataclass(slots=True)
class Answer:
    """An answer; the body only where it was asked for."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    size: int = 0

    def header(self, name: str) -> str:
        """A header by its name in lower case, or nothing."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def text(self) -> str:
        """The body as text, unpacked."""
        packed = self.header("content-encoding") == "gzip"
        return (gzip.decompress(self.body) if packed else self.body).decode(errors="replace")


@dataclass(slots=True)
class BodyReader:
    """Finds the end of a body by its length, by its chunks, or by the connection's end."""

    left: int | None
    """Bytes to come of the body or of the chunk; None: until the connection ends."""
    chunked: bool = False
    finished: bool = False
    _line: bytes = b""

    @classmethod
    def of(cls, method: str, answer: Answer) -> BodyReader:
        if method == "HEAD" or answer.status in _NO_BODY:
            return cls(0, finished=True)
        if answer.header("transfer-encoding") == "chunked":
            return cls(0, chunked=True)
        length = answer.header("content-length")
        return cls(int(length) if length else None, finished=length == "0")

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return what of the data is body, and what comes after the body."""
        if not self.chunked:
            if self.left is None:
                return data, b""
            taken, rest = data[: self.left], data[self.left :]
            self.left -= len(taken)
            self.finished = self.left == 0
            return taken, rest
        return self._feed_chunks(data)

    def _feed_chunks(self, data: bytes) -> tuple[bytes, bytes]:
        pieces: list[bytes] = []
        while data and not self.finished:
            if self.left:
                taken, data = data[: self.left], data[self.left :]
                self.left -= len(taken)
                pieces.append(taken)
                continue
            end = data.find(b"\n")
            if end < 0:
                self._line += data
                return b"".join(pieces), b""
            line, data = (self._line + data[:end]).strip(), data[end + 1 :]
            self._line = b""
            if self.left is None:
                # The empty line after the last chunk; trailers are read over.
                self.finished = not line
            elif line:
                # "0" is the last chunk.
                self.left = int(line.partition(b";")[0], 16) or None
        return b"".join(pieces), data


def parse_head(head: bytes) -> Answer:
    """The status and the headers, names in lower case."""
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = [line.split(":", 1) for line in lines if ":" in line]
    return Answer(
        status=int(first.split(" ", 2)[1]),
        headers=[(name.strip().lower(), value.strip()) for name, value in headers],
    )


class Connection(asyncio.Protocol):
    """One connection that is kept for the next request, as long as the other side keeps it."""

    def __init__(self) -> None:
        self.usable = True
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: Answer | None = None
        self._reader: BodyReader | None = None
        self._method = ""
        self._done: asyncio.Future[Answer] | None = None
        self._sink: Callable[[bytes], object] | None = None
        self.on_frames: Callable[[bytes], object] | None = None
        self.on_end: Callable[[], object] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.usable = False
        if self.on_end:
            self.on_end()
        if self._done and not self._done.done():
            if self._reader and self._reader.left is None and not self._reader.chunked:
                self._finish()
            else:
                self._done.set_exception(ConnectionFailed(str(error or "closed")))

    def send(self, data: bytes) -> None:
        assert self._transport
        self._transport.write(data)

    def close(self) -> None:
        self.usable = False
        if self._transport:
            self._transport.close()

    async def ask(
        self, method: str, request: bytes, sink: Callable[[bytes], object] | None
    ) -> Answer:
        """Send a request and wait for the end of its answer; the sink gets the body's pieces."""
        self._method, self._sink = method, sink
        self._answer = self._reader = None
        self._received = b""
        self._done = asyncio.get_running_loop().create_future()
        self.send(request)
        try:
            return await self._done
        finally:
            if not self._done.done() or self._done.cancelled():
                self.close()

    def data_received(self, data: bytes) -> None:
        if self.on_frames:
            self.on_frames(data)
            return
        if self._done is None or self._done.done():
            return
        if self._answer is None or self._reader is None:
            self._received += data
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return
            self._answer = parse_head(self._received[:end])
            self._reader = BodyReader.of(self._method, self._answer)
            data, self._received = self._received[end + 4 :], b""
            if self._answer.status == 101:
                self._received = data
                self._finish()
                return
        body, _ = self._reader.feed(data)
        self._answer.size += len(body)
        if self._sink and body:
            self._sink(body)
        if self._reader.finished:
            self._finish()

    def _finish(self) -> None:
        assert self._done
        assert self._answer
        if self._answer.header("connection").lower() == "close":
            self.usable = False
        self._done.set_result(self._answer)

    def take_over(self, on_frames: Callable[[bytes], object]) -> None:
        """After the answer 101 what comes is a websocket's."""
        self.on_frames = on_frames
        if self._received:
            on_frames(self._received)
            self._received = b""


@dataclass(slots=True)
class Host:
    """The connections of one browser to one host: six for requests at most, as in Chromium."""

    address: tuple[str, int]
    limit: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(6))
    requests: int = 0
    received: int = 0
    _idle: list[Connection] = field(default_factory=list)
    _all: list[Connection] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}"

    async def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        keep: bool = False,
        sink: Callable[[bytes], object] | None = None,
    ) -> Answer:
        """Ask once; a kept connection that has just been closed is replaced by a new one."""
        request = self._request(method, path, headers, body)
        pieces: list[bytes] = []
        collect = pieces.append if keep else sink
        async with self.limit:
            while True:
                connection, fresh = await self._connection()
                try:
                    answer = await connection.ask(method, request, collect)
                    break
                except ConnectionFailed:
                    if fresh:
                        raise
                    pieces.clear()
            if connection.usable:
                self._idle.append(connection)
            else:
                connection.close()
        answer.body = b"".join(pieces)
        self.requests += 1
        self.received += answer.size
        return answer

    async def websocket(
        self, path: str, headers: Mapping[str, str], protocol: str = ""
    ) -> WebSocket:
        """Open a websocket, or raise ConnectionFailed with the status."""
        wanted = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            **({"Sec-WebSocket-Protocol": protocol} if protocol else {}),
            **headers,
        }
        connection = await self._connect()
        answer = await connection.ask("GET", self._request("GET", path, wanted, b""), None)
        if answer.status != 101:
            connection.close()
            raise ConnectionFailed(f"{path} answered {answer.status}")
        self.requests += 1
        return WebSocket(connection)

    def close(self) -> None:
        for connection in self._all:
            connection.close()

    async def _connection(self) -> tuple[Connection, bool]:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection, False
        return await self._connect(), True

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, *self.address)
        self._all.append(connection)
        return connection

    def _request(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
        head = {"Host": f"{self.address[0]}:{self.address[1]}", **headers}
        if body or method in {"POST", "PUT", "PATCH"}:
            head["Content-Length"] = str(len(body))
        lines = [f"{method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in head.items() if v)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


class WebSocket:
    """Just enough of RFC 6455: masked frames out, whole or split messages in, pongs for pings."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._buffer = b""
        self._parts = b""
        self._messages: asyncio.Queue[bytes | None] = asyncio.Queue()
        connection.on_end = lambda: self._messages.put_nowait(None)
        connection.take_over(self._received)

    def send(self, data: bytes, *, opcode: int = 2) -> None:
        """Send one binary message."""
        self._connection.send(frame(opcode, data))

    async def receive(self) -> bytes:
        """The next message; ConnectionFailed if there will be none."""
        message = await self._messages.get()
        if message is None:
            raise ConnectionFailed("the websocket was closed")
        return message

    def _received(self, data: bytes) -> None:
        self._buffer += data
        while (found := next_frame(self._buffer)) is not None:
            opcode, last, payload, self._buffer = found
            if opcode == 8:
                self._messages.put_nowait(None)
            elif opcode == 9:
                self.send(payload, opcode=10)
            elif opcode in {0, 1, 2}:
                self._parts += payload
                if last:
                    self._messages.put_nowait(self._parts)
                    self._parts = b""


def frame(opcode: int, data: bytes) -> bytes:
    """A masked frame. A mask of zeros is a mask too, and leaves the data as it is."""
    length = len(data)
    if length < 126:
        head = bytes([0x80 | opcode, 0x80 | length])
    elif length < 1 << 16:
        head = bytes([0x80 | opcode, 0xFE]) + length.to_bytes(2, "big")
    else:
        head = bytes([0x80 | opcode, 0xFF]) + length.to_bytes(8, "big")
    return head + bytes(4) + data


def next_frame(data: bytes) -> tuple[int, bool, bytes, bytes] | None:
    """The first frame's opcode, whether the message ends with it, its data, and what follows."""
    if len(data) < 2:
        return None
    start, length = 2, data[1] & 0x7F
    if length >= 126:
        start += 2 if length == 126 else 8
        length = int.from_bytes(data[2:start], "big")
    end = start + length
    if len(data) < end or start > len(data):
        return None
    return data[0] & 0x0F, bool(data[0] & 0x80), data[start:end], data[end:]
