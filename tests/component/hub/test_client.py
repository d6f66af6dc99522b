"""The Python client against a real hub: by socket with a token, and by network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.client.connections import by_socket
from appliance.client.hub import HubClient, HubUnreachable
from appliance.errors import BadRequest, Conflict, NotAllowed, NotFound
from appliance.names import Username
from tests.fakes.hub_machine import Machine

ADA, BOB = Username("ada"), Username("bob")


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    async with Machine(tmp_path) as machine:
        await machine.root("POST", "users", {"usernames": ["ada", "bob"]})
        yield machine


async def _token(machine: Machine, **more: Any) -> str:
    made = await machine.root("POST", "users/ada/tokens", more)
    return str(made.json["token"])


def _client(machine: Machine, token: str) -> HubClient:
    return HubClient(by_socket(machine.places.hub_socket), token=token)


async def test_a_user_manages_tokens(machine: Machine) -> None:
    client = _client(machine, await _token(machine))

    def work() -> None:
        assert client.whoami()["name"] == "ada"
        made = client.make_token(ADA, note="script", expires_in_seconds=60)
        assert made["token"]
        assert made["id"] in {one["id"] for one in client.tokens(ADA)}
        client.revoke_token(ADA, made["id"])
        assert made["id"] not in {one["id"] for one in client.tokens(ADA)}
        with pytest.raises(NotAllowed):
            list(client.users())

    await asyncio.to_thread(work)


async def test_root_manages_groups(machine: Machine) -> None:
    client = HubClient(by_socket(machine.places.admin_socket))

    def work() -> None:
        assert client.make_group("year 1/2", ["ada"])["users"] == ["ada"]

    with pytest.raises(BadRequest):
        await asyncio.to_thread(work)

    def better() -> None:
        assert client.make_group("year 1", ["ada"])["users"] == ["ada"]
        with pytest.raises(Conflict):
            client.make_group("year 1")
        assert client.add_to_group("year 1", ["bob"])["users"] == ["ada", "bob"]
        assert client.take_from_group("year 1", ["ada"])["users"] == ["bob"]
        assert [group["name"] for group in client.groups()] == ["year 1"]
        assert [user["name"] for user in client.users(name_filter="BO")] == ["bob"]
        client.remove_group("year 1")
        with pytest.raises(NotFound):
            client.remove_group("year 1")

    await asyncio.to_thread(better)


@pytest.fixture
async def door(machine: Machine, unused_tcp_port_factory: Callable[[], int]) -> AsyncIterator[int]:
    """A port that leads to the hub's socket, as the proxy's does."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_unix_connection(str(machine.places.hub_socket))
        await asyncio.gather(_pump(reader, outer), _pump(inner, writer))

    port = unused_tcp_port_factory()
    server = await asyncio.start_server(carry, "127.0.0.1", port)
    yield port
    server.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.mark.parametrize("path", ["", "/", "/hub", "/hub/api", "/hub/api/"])
async def test_by_network(machine: Machine, door: int, path: str) -> None:
    client = HubClient.at(f"http://127.0.0.1:{door}{path}", await _token(machine))
    assert (await asyncio.to_thread(client.whoami))["name"] == "ada"


async def test_from_the_environment(
    machine: Machine, door: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadRequest, match="JUPYTERHUB_API"):
        HubClient.from_environment()
    monkeypatch.setenv("JUPYTERHUB_API_URL", f"http://127.0.0.1:{door}/hub/api")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", await _token(machine))
    assert (await asyncio.to_thread(HubClient.from_environment().whoami))["name"] == "ada"


@pytest.mark.parametrize("url", ["hub.example.org", "ftp://hub.example.org", "http://", ""])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadRequest, match="cannot connect"):
        HubClient.at(url, "token")


def test_nobody_there(unused_tcp_port_factory: Callable[[], int]) -> None:
    client = HubClient.at(f"http://127.0.0.1:{unused_tcp_port_factory()}", "token")
    with pytest.raises(HubUnreachable, match="does not run"):
        client.whoami()
