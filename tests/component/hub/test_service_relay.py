"""The way to services made through the API ends before addresses that only clouds use."""

from __future__ import annotations

import asyncio
import ipaddress
from pathlib import Path
from unittest.mock import Mock

import pytest

from appliance.hub import service_relay
from appliance.hub.service_relay import ServiceRelays, is_off_limits, relay_socket
from appliance.hub.services import HubService

SERVICE = "extra"


async def _answer(folder: Path) -> bytes:
    """What comes through the relay from a service on this machine that says `hello`."""

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    relays = ServiceRelays(folder, services=Mock())
    try:
        await relays.open(HubService(SERVICE, url=f"http://localhost:{port}", by_api=True))
        reader, writer = await asyncio.open_unix_connection(str(relay_socket(folder, SERVICE)))
        answer = await reader.read()
        writer.close()
        return answer
    finally:
        await relays.close_all()
        server.close()


async def test_a_name_is_followed(tmp_path: Path) -> None:
    assert await _answer(tmp_path) == b"hello"


async def test_a_name_that_leads_where_no_service_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_relay, "_METADATA", ipaddress.ip_address("127.0.0.1"))
    assert await _answer(tmp_path) == b""


@pytest.mark.parametrize(
    ("host", "refused"),
    [
        ("169.254.169.254", True), ("fe80::1%eth0", True), ("::ffff:169.254.1.1", True),
        ("fd00:ec2::254", True), ("224.0.0.1", True), ("127.0.0.1", False), ("10.0.0.7", False),
        ("::1", False), ("grades.example.org", False),
    ],
)  # fmt: skip
def test_addresses(host: str, refused: bool) -> None:
    assert is_off_limits(host) is refused
