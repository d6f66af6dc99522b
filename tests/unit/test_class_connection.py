"""The class benchmark's HTTP client, against a server of canned answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from benchmarks.class_start.connection import (
    Connection,
    ConnectionFailed,
    Host,
    WebSocket,
    frame,
)
from benchmarks.class_start.student import _Events, _is_hubs

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@asynccontextmanager
async def answering(answer: Callable[[int, bytes], bytes]) -> AsyncIterator[tuple[Host, list[int]]]:
    """A host whose n-th connection gives these answers; an empty one hangs up."""
    connections: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(connections)
        connections.append(0)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                connections[number] += 1
                data = answer(number, head)
                if not data:
                    break
                writer.write(data)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host = Host(server.sockets[0].getsockname())
    try:
        yield host, connections
    finally:
        host.close()
        server.close()


@pytest.mark.asyncio
async def test_one_connection_serves_one_request_after_the_other() -> None:
    async with answering(lambda *_: HELLO) as (host, connections):
        for _ in range(3):
            answer = await host.ask("GET", "/", {}, keep=True)
            assert (answer.status, answer.text) == (200, "hello")
    assert connections == [3]
    assert (host.requests, host.received) == (3, 15)


@pytest.mark.asyncio
async def test_no_more_than_six_connections_are_open() -> None:
    async with answering(lambda *_: HELLO) as (host, connections):
        await asyncio.gather(*(host.ask("GET", "/", {}) for _ in range(20)))
    assert len(connections) <= 6
    assert sum(connections) == 20


@pytest.mark.asyncio
async def test_a_kept_connection_that_was_closed_is_replaced() -> None:
    def answer(number: int, head: bytes) -> bytes:
        return b"" if number == 0 and b"/second" in head else HELLO

    async with answering(answer) as (host, connections):
        await host.ask("GET", "/first", {})
        assert (await host.ask("GET", "/second", {}, keep=True)).body == b"hello"
    assert connections == [2, 1]


@pytest.mark.asyncio
async def test_a_new_connection_without_an_answer_is_a_failure() -> None:
    async with answering(lambda *_: b"") as (host, _):
        with pytest.raises(ConnectionFailed):
            await host.ask("GET", "/", {})


@pytest.mark.asyncio
async def test_a_connection_that_shall_be_closed_is_not_kept() -> None:
    closing = HELLO.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    async with answering(lambda *_: closing) as (host, connections):
        await host.ask("GET", "/", {})
        await host.ask("GET", "/", {})
    assert connections == [1, 1]


@pytest.mark.asyncio
async def test_events_are_told_as_they_come() -> None:
    ready = b'data: {"progress": 50}\n\ndata: {"ready": true}\n\n'
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    events = _Events()
    async with answering(lambda *_: head + f"{len(ready):x}\r\n".encode() + ready) as (host, _):
        asked = asyncio.ensure_future(host.ask("GET", "/", {}, sink=events.feed))
        await asyncio.wait_for(events.ready.wait(), 5)
        assert not asked.done()
        asked.cancel()
    assert events.failure == ""


@pytest.mark.asyncio
async def test_a_websocket_gives_whole_messages_and_answers_pings() -> None:
    sent: list[bytes] = []

    def server_frame(opcode: int, data: bytes, *, last: bool = True) -> bytes:
        return bytes([(0x80 if last else 0) | opcode, len(data)]) + data

    class Wire(Connection):
        def send(self, data: bytes) -> None:
            sent.append(data)

    socket = WebSocket(Wire())
    stream = (
        server_frame(2, b"one")
        + server_frame(9, b"?")
        + server_frame(2, b"t", last=False)
        + server_frame(0, b"wo")
    )
    for start in range(0, len(stream), 2):
        socket._received(stream[start : start + 2])
    assert [await socket.receive(), await socket.receive()] == [b"one", b"two"]
    assert sent == [frame(10, b"?")]


@pytest.mark.asyncio
@pytest.mark.parametrize("politely", [True, False])
async def test_a_websocket_that_ends_is_told(*, politely: bool) -> None:
    connection = Connection()
    socket = WebSocket(connection)
    if politely:
        socket._received(b"\x88\x00")
    else:
        connection.connection_lost(None)
    with pytest.raises(ConnectionFailed, match="was closed"):
        await socket.receive()


def test_a_start_that_fails_is_told() -> None:
    events = _Events()
    events.feed(b'data: {"failed": true, "mess')
    assert not events.ready.is_set()
    events.feed(b'age": "no memory"}\n\n')
    assert events.ready.is_set()
    assert events.failure == "no memory"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/hub/user/ada/", True),
        ("/hub/spawn", True),
        ("/hub/api/oauth2/authorize?client_id=x&state=y", False),
        ("/user/ada/lab", False),
    ],
)
def test_whether_the_hub_answered_for_a_server(target: str, *, expected: bool) -> None:
    assert _is_hubs(target) is expected
