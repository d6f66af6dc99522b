"""A real configurable-http-proxy has the routes that the hub wants it to have, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.config.schema import Config
from appliance.errors import BadRequest, ProxyError
from appliance.hub.states import ServerState
from appliance.names import ServerId, ServerName, Username
from appliance.proxy.chp import ChpClient, ChpRoute
from tests.fakes.chp import TOKEN, Chp, configurable_http_proxy
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Browser, Machine
from tests.fakes.ports import free_port

BOB = ServerId(Username("bob"))
PORT = 18080
TARGET = f"http://127.0.0.1:{PORT}"
SERVICES = {"whoami": {"url": "http://127.0.0.1:10101"}, "culler": {"command": ["cull"]}}


@pytest.fixture
async def chp(tmp_path: Path) -> AsyncIterator[Chp]:
    async with configurable_http_proxy(tmp_path) as chp:
        await chp.start()
        yield chp


@pytest.fixture
def config(chp: Chp) -> Config:
    return Config.model_validate(
        {"proxy": chp.settings, "http": {"port": PORT}, "services": SERVICES}
    )


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.proxy.chp.RETRY_SECONDS", 0.3)


async def until(found: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(100):
        if await found():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come about")


async def until_routes(chp: Chp, *paths: str) -> dict[str, Any]:
    """Wait until the proxy has exactly these routes."""
    await until(lambda: _has(chp, paths))
    return await chp.table()


async def _has(chp: Chp, paths: tuple[str, ...]) -> bool:
    return sorted(await chp.table()) == sorted(paths)


async def _fault(machine: Machine) -> str:
    answer = await machine.root("GET", "appliance/status")
    assert answer.json["proxy"]["program"] == "configurable-http-proxy"
    fault: str = answer.json["proxy"]["fault"]
    return fault


async def test_hub_and_services_have_routes_from_the_start(machine: Machine, chp: Chp) -> None:
    table = await until_routes(chp, "/", "/services/whoami")
    assert (table["/"]["target"], table["/"]["hub"]) == (TARGET, True)
    assert table["/services/whoami"]["service"] == "whoami"
    assert await _fault(machine) == ""


async def test_servers_have_routes_while_they_are_ready(
    machine: Machine, chp: Chp, bob: Browser
) -> None:
    assert (await bob.api("POST", "users/bob/server", {})).status == 201
    table = await until_routes(chp, "/", "/services/whoami", "/user/bob")
    route = table["/user/bob"]
    assert (route["target"], route["user"], route["server_name"]) == (TARGET, "bob", "")
    assert (await bob.api("POST", "users/bob/servers/lab-2", {})).status == 201
    table = await until_routes(chp, "/", "/services/whoami", "/user/bob", "/user/bob/lab-2")
    assert table["/user/bob/lab-2"]["server_name"] == "lab-2"
    assert (await bob.api("DELETE", "users/bob/server")).status == 204
    await until_routes(chp, "/", "/services/whoami", "/user/bob/lab-2")


async def test_a_server_that_ends_by_itself_or_with_its_user_loses_its_route(
    machine: Machine, chp: Chp, ada: Browser, bob: Browser
) -> None:
    await ada.api("POST", "users/ada/server", {})
    await bob.api("POST", "users/bob/server", {})
    await until_routes(chp, "/", "/services/whoami", "/user/ada", "/user/bob")
    machine.spawner.end(ServerId(Username("ada")), reason="it was killed")
    await until_routes(chp, "/", "/services/whoami", "/user/bob")
    assert (await ada.api("DELETE", "users/bob")).status == 204
    await until_routes(chp, "/", "/services/whoami")


async def test_a_proxy_that_was_restarted_is_filled_in_one_look(
    machine: Machine, chp: Chp, bob: Browser
) -> None:
    await bob.api("POST", "users/bob/server", {})
    await until_routes(chp, "/", "/services/whoami", "/user/bob")
    chp.stop()
    await chp.start()
    assert await chp.table() == {}
    assert "no route to the hub" in await _fault(machine)
    await machine.hub.routes.check()
    assert sorted(await chp.table()) == ["/", "/services/whoami", "/user/bob"]
    assert await _fault(machine) == ""


async def test_what_is_wrong_is_mended_and_what_is_not_ours_is_left(
    machine: Machine, chp: Chp, bob: Browser
) -> None:
    await until_routes(chp, "/", "/services/whoami")
    machine.spawner.delay = 30
    await bob.get("/hub/spawn")
    assert machine.hub.servers.view(BOB).state is ServerState.STARTING
    ours = {"target": TARGET, "jupyterhub": True}
    await chp.api("POST", "/user/eve", {**ours, "user": "eve", "server_name": ""})
    await chp.api("POST", "/user/bob", {**ours, "user": "bob", "server_name": ""})
    await chp.api("POST", "/wiki", {"target": "http://127.0.0.1:3"})
    await chp.api("POST", "/services/whoami", {**ours, "target": "http://127.0.0.1:4"})
    await chp.api("DELETE", "/")
    await machine.hub.routes.check()
    table = await chp.table()
    assert sorted(table) == ["/", "/services/whoami", "/user/bob", "/wiki"]
    assert table["/services/whoami"]["target"] == TARGET
    assert sorted(await machine.hub.routes.listing()) == ["/", "/services/whoami/", "/user/bob/"]


async def test_a_default_route_of_the_proxy_own_becomes_ours(tmp_path: Path) -> None:
    async with configurable_http_proxy(tmp_path) as chp:
        await chp.start("--default-target", "http://127.0.0.1:5")
        config = Config.model_validate({"proxy": chp.settings, "http": {"port": PORT}})
        async with Machine(tmp_path, config=config) as machine:
            await until(lambda: _is_ours(chp))
            assert await _fault(machine) == ""


async def _is_ours(chp: Chp) -> bool:
    return (await chp.table())["/"].get("target") == TARGET


async def test_a_hub_that_restarts_keeps_the_routes_of_what_runs(
    machine: Machine, chp: Chp, bob: Browser
) -> None:
    await bob.api("POST", "users/bob/server", {})
    await until_routes(chp, "/", "/services/whoami", "/user/bob")
    before = (await chp.table())["/user/bob"]
    await machine.restart()
    await machine.hub.routes.check()
    assert (await chp.table())["/user/bob"] == before


@pytest.mark.usefixtures("_impatient")
async def test_a_hub_starts_without_its_proxy_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.hub.chp_routes._AWAY_SECONDS", 0.1)
    async with configurable_http_proxy(tmp_path) as chp:
        config = Config.model_validate({"proxy": chp.settings, "http": {"port": PORT}})
        async with Machine(tmp_path, config=config) as machine:
            assert chp.api_url in await _fault(machine)
            assert "connection refused" in await _fault(machine)
            with pytest.raises(ProxyError, match="is configurable-http-proxy running"):
                await machine.hub.routes.listing()
            # Servers start all the same: they are told of when there is somebody to tell.
            await machine.root("POST", "appliance/users", {"usernames": ["bob"]})
            assert (await machine.root("POST", "users/bob/server")).status == 201
            await chp.start()
            await until_routes(chp, "/", "/user/bob")
            assert await _fault(machine) == ""


async def test_a_wrong_token_is_told_at_once(tmp_path: Path) -> None:
    async with configurable_http_proxy(tmp_path) as chp:
        await chp.start()
        settings = {**chp.settings, "api_token": "quite-another-token"}
        config = Config.model_validate({"proxy": settings, "http": {"port": PORT}})
        async with Machine(tmp_path, config=config) as machine:
            assert "it refuses the token" in await _fault(machine)
            with pytest.raises(ProxyError, match="CONFIGPROXY_AUTH_TOKEN"):
                await machine.hub.routes.check()
            assert await chp.table() == {}


async def test_a_proxy_that_obeys_anybody_is_told_of(tmp_path: Path) -> None:
    async with configurable_http_proxy(tmp_path) as chp:
        chp.token = None
        await chp.start()
        config = Config.model_validate({"proxy": chp.settings, "http": {"port": PORT}})
        async with Machine(tmp_path, config=config) as machine:
            assert "obeys anybody" in await _fault(machine)


async def test_what_the_proxy_saw_moves_activity_forwards_only(
    machine: Machine, chp: Chp, bob: Browser, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, datetime] = {}
    ask = ChpClient.routes

    async def routes(client: ChpClient, *, retry: bool = True) -> dict[str, ChpRoute]:
        table = await ask(client, retry=retry)
        return {path: replace(table[path], last_activity=seen.get(path)) for path in table}

    monkeypatch.setattr(ChpClient, "routes", routes)

    async def look() -> datetime | None:
        await machine.hub.routes.check()
        user = machine.hub.users.get("bob").last_activity
        assert machine.hub.servers.view(BOB).last_activity == user
        clock.pass_time(301)
        return user

    await bob.api("POST", "users/bob/server", {})
    await until_routes(chp, "/", "/services/whoami", "/user/bob")
    started = clock.now()
    clock.pass_time(301)
    seen["/user/bob/"] = started + timedelta(seconds=1)  # the proxy's stamp of adding it
    assert await look() == started
    seen["/user/bob/"] = later = clock.now() - timedelta(seconds=30)
    assert await look() == later
    seen["/user/bob/"] = later - timedelta(seconds=60)
    assert await look() == later
    seen["/user/bob/"] = clock.now() + timedelta(days=1)  # a proxy whose clock is ahead
    now = clock.now()
    assert await look() == now
    del seen["/user/bob/"]
    assert await look() == now


async def test_stamps_are_understood_as_the_proxy_writes_them(machine: Machine, chp: Chp) -> None:
    await until_routes(chp, "/", "/services/whoami")
    listing = await machine.hub.routes.listing()
    written = datetime.fromisoformat(listing["/"].data["last_activity"])
    assert abs(datetime.now(UTC) - written) < timedelta(minutes=1)


async def test_the_hub_may_be_sent_to_another_proxy(
    machine: Machine, chp: Chp, tmp_path: Path, ada: Browser
) -> None:
    other = Chp(chp.command, tmp_path / "other.log", free_port(), free_port())
    await other.start()
    try:
        with pytest.raises(BadRequest, match="cannot use the other proxy"):
            await machine.hub.routes.move(api_url=other.api_url, api_token=None)
        await machine.hub.routes.move(api_url=f"{other.api_url}/", api_token=TOKEN)
        assert sorted(await other.table()) == ["/", "/services/whoami"]
    finally:
        other.stop()
    for url in ("ftp://127.0.0.1", "http://", "nonsense", "http://[::1", "http://a b"):
        with pytest.raises(BadRequest):
            await machine.hub.routes.move(api_url=url, api_token=None)
    with pytest.raises(BadRequest):
        await machine.hub.routes.move(api_url=None, api_token="two words")
    assert "connection refused" in await _fault(machine)


async def test_nginx_alone_needs_no_table(tmp_path: Path) -> None:
    config = Config.model_validate({"services": SERVICES, "base_url": "/jupyter/"})
    async with Machine(tmp_path, config=config) as machine:
        await machine.root("POST", "appliance/users", {"usernames": ["bob"]})
        await machine.root("POST", "users/bob/server")
        await machine.hub.routes.check()
        routes = await machine.hub.routes.listing()
        assert {path: route.data for path, route in routes.items()} == {
            "/jupyter/": {"hub": True},
            "/jupyter/user/bob/": {"user": "bob", "server_name": ServerName("")},
            "/jupyter/services/whoami/": {"service": "whoami"},
        }
        assert routes["/jupyter/services/whoami/"].target == "http://127.0.0.1:10101"
        assert routes["/jupyter/"].target.startswith("http+unix://%2F")
        with pytest.raises(BadRequest):
            await machine.hub.routes.move(api_url="http://127.0.0.1:8001", api_token=None)
        status = (await machine.root("GET", "appliance/status")).json
        assert status["proxy"] == {"program": "nginx", "fault": ""}
