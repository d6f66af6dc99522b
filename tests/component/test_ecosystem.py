"""Programs that others wrote for JupyterHub, unmodified, as services of ours."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio

from tests.fakes.browser import Reply, WebSocket, send
from tests.fakes.nginx import stub_service
from tests.fakes.peers import PINS, peer_environment
from tests.fakes.ports import free_port
from tests.fakes.whole import PASSWORD, Visitor, Whole, whole

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROGRAMS = PINS / "programs"
ROLES = {"user": {"scopes": ["self", "access:services"]}}
MAKER = "a-token-of-the-maker"
FORM = "application/x-www-form-urlencoded"
HIDDEN = re.compile(r'name="scopes" value="([^"]*)"')


@dataclass
class Pages:
    """An appliance with services that have pages, and ada at her browser."""

    appliance: Whole
    ada: Visitor

    async def opened(self, path: str) -> Reply:
        """A service's page, once it is up; and it isn't long in coming."""
        for _ in range(300):
            reply = await self.ada.get(path)
            if reply.status != 503:
                return reply
            await asyncio.sleep(0.1)
        raise AssertionError(f"{path}: {self.log(path.split('/')[2])}")

    def log(self, name: str) -> str:
        return self.appliance.nginx.places.service_log(name).read_text()

    async def allow(self, address: str, page: Reply) -> Reply:
        """Press the button of the page that asks whether a service may know her."""
        assert page.status == 200, page
        scopes = HIDDEN.findall(page.body.decode())
        assert scopes
        fields = [("_xsrf", self.ada.cookie("_xsrf", "/hub/")), ("answer", "yes")]
        fields += [("scopes", scope) for scope in scopes]
        return await self.ada.ask(
            "POST", address, body=urlencode(fields).encode(),
            headers={"Content-Type": FORM, "Origin": f"http://{self.ada.host}"},
        )  # fmt: skip

    async def token_of(self, user: str) -> str:
        """An API token that somebody made."""
        reply = await self.ada.ask(
            "POST", f"/hub/api/users/{user}/tokens", body=b"{}",
            headers={"Content-Type": "application/json", "Origin": f"http://{self.ada.host}",
                     "X-XSRFToken": self.ada.cookie("_xsrf", "/hub/")},
        )  # fmt: skip
        assert reply.status == 201, reply
        token: str = reply.json()["token"]
        return token


def _program(environment: Path, name: str) -> dict[str, Any]:
    """A managed service that is one of our programs, in an environment of others' packages."""
    return {
        "command": [str(environment / "bin/python"), "-I", str(PROGRAMS / f"{name}.py")],
        "url": f"http://127.0.0.1:{free_port()}",
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pages(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pages]:
    names = ("jupyterhub5", "jupyterhub6", "services5", "services")
    found = {name: await asyncio.to_thread(peer_environment, name) for name in names}
    services = {
        "tornado5": _program(found["jupyterhub5"], "tornado_service"),
        "tornado6": _program(found["jupyterhub6"], "tornado_service"),
        "flask5": _program(found["services5"], "flask_service"),
        "flask6": _program(found["services"], "flask_service"),
        "fastapi5": _program(found["services5"], "fastapi_service"),
        "fastapi6": _program(found["services"], "fastapi_service"),
        "maker": {"api_token": MAKER, "admin": True},
    }
    folder = tmp_path_factory.mktemp("pages") / "trial"
    async with whole(folder, services=services, roles=ROLES) as running:
        ada = running.visitor()
        await ada.sign_up_and_log_in("ada")
        yield Pages(running, ada)


@pytest.mark.parametrize("name", ["tornado5", "tornado6", "flask5", "flask6"])
async def test_a_service_logs_people_in(pages: Pages, name: str) -> None:
    path = f"/services/{name}/"
    sent_away = await pages.opened(path)
    assert sent_away.status == 302, pages.log(name)
    address, page = await pages.ada.follow(path)
    assert address.startswith("/hub/api/oauth2/authorize?"), (address, page)
    agreed = await pages.allow(address, page)
    assert agreed.status == 302, agreed
    back, reply = await pages.ada.follow(agreed.header("Location"))
    assert (back, reply.status) == (path, 200), (reply, pages.log(name))
    user = reply.json()
    assert (user["kind"], user["name"]) == ("user", "ada")
    assert f"access:services!service={name}" in user["scopes"]
    # The next time nobody asks, not even in another browser.
    other = pages.appliance.visitor()
    await other.submit("/hub/login", username="ada", password=PASSWORD)
    back, reply = await other.follow(path)
    assert (back, reply.json()["name"]) == (path, "ada")
    # Logging out of the hub ends what the service has got for this browser, and that alone.
    await other.get("/hub/logout")
    await asyncio.sleep(1.2)  # flask_service remembers answers for a second
    assert "/hub/login" in (await other.follow(path))[0]
    assert (await pages.ada.get(path)).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/services/tornado5/api",
        "/services/tornado6/api",
        "/services/fastapi5/me",
        "/services/fastapi6/me",
    ],
)
async def test_a_service_knows_callers_by_their_tokens(pages: Pages, path: str) -> None:
    await pages.opened(path)
    token = await pages.token_of("ada")
    address = pages.appliance.nginx.address
    reply = await send(address, path, headers={"Authorization": f"token {token}"})
    assert (reply.status, reply.json()["name"]) == (200, "ada")
    for headers in ({}, {"Authorization": "token made-up"}):
        assert (await send(address, path, headers=headers)).status in {302, 401, 403}


@pytest.mark.parametrize("name", ["tornado5", "tornado6"])
async def test_websockets_reach_a_service(pages: Pages, name: str) -> None:
    await pages.opened(f"/services/{name}/")
    async with pages.ada.websocket(f"/services/{name}/echo") as socket:
        await socket.send("hello")
        assert await _text(socket) == "hello"


async def _text(socket: WebSocket) -> Any:
    return await socket.receive_json()


async def test_a_service_that_is_down_is_told_of(pages: Pages) -> None:
    await pages.opened("/services/fastapi6/me")
    await pages.appliance.services.stop("fastapi6")
    page = await pages.ada.get("/services/fastapi6/me")
    assert (page.status, b"fastapi" in page.body) == (503, True)
    reply = await send(
        pages.appliance.nginx.address, "/services/fastapi6/me",
        headers={"Accept": "application/json"},
    )  # fmt: skip
    assert (reply.status, reply.json()["status"]) == (503, 503)
    # The hub sees to it that it runs again.
    assert pages.appliance.hub is not None
    await pages.appliance.hub._hub.keeper.once()
    assert (await pages.opened("/services/fastapi6/me")).status == 401


async def test_a_service_made_through_the_api_is_reached_too(pages: Pages) -> None:
    address = pages.appliance.nginx.address
    headers = {"Authorization": f"token {MAKER}", "Content-Type": "application/json"}

    async def made(url: str) -> Reply:
        body = json.dumps({"url": url}).encode()
        return await send(
            address, "/hub/api/services/made", method="POST", headers=headers, body=body
        )

    port, silent = free_port(), free_port()
    stub = stub_service(port, "made")
    assert (await made(f"http://localhost:{port}")).status == 201
    for _ in range(2):
        reply = await send(address, "/services/made/x", method="POST", body=b"b" * 200_000)
        assert (reply.header("X-Reached"), len(reply.json()["body"])) == ("made", 200_000)
        assert reply.json()["uri"] == "/services/made/x"
        # The next hub opens the way anew.
        await pages.appliance.stop_hub()
        await pages.appliance.start_hub()
    async with pages.ada.websocket("/services/made/socket") as socket:
        await socket.send("hello")
        assert await socket.receive_json() == "hello"
    gone = await send(address, "/hub/api/services/made", method="DELETE", headers=headers)
    assert gone.status == 200
    reply = await send(address, "/services/made/x")
    assert (reply.status, reply.header("Location")) == (302, "/hub/services/made/x")
    assert (await made(f"http://localhost:{silent}")).status == 201
    assert (await send(address, "/services/made/x")).status == 503
    await send(address, "/hub/api/services/made", method="DELETE", headers=headers)
    stub.stop()


@pytest.mark.parametrize("environment", ["culler1", "culler2"])
async def test_the_idle_culler_stops_servers_and_removes_users(
    tmp_path: Path, environment: str
) -> None:
    found = await asyncio.to_thread(peer_environment, environment)
    services = {
        "culler": {
            "command": [
                str(found / "bin/python"), "-m", "jupyterhub_idle_culler",
                "--timeout=4", "--cull-every=1", "--api-page-size=1",
            ],
        },
        "remover": {
            "command": [
                str(found / "bin/python"), "-m", "jupyterhub_idle_culler",
                "--timeout=12", "--cull-every=2", "--cull-users=True", "--api-page-size=1",
            ],
        },
    }  # fmt: skip
    roles = {
        "cullers": {
            "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
            "services": ["culler"],
        },
        "removers": {
            "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers",
                       "admin:users"],
            "services": ["remover"],
        },
    }  # fmt: skip
    async with whole(tmp_path / "trial", services=services, roles=roles) as running:
        ada = running.visitor()
        await ada.sign_up_and_log_in("ada")
        await ada.follow("/hub/spawn")
        log = running.nginx.places.service_log("culler")
        for _ in range(600):
            if "Culling server" in log.read_text() and not await running.spawner.running():
                break
            await asyncio.sleep(0.1)
        assert "Culling server" in log.read_text(), log.read_text()
        assert await running.spawner.running() == {}
        log = running.nginx.places.service_log("remover")
        assert running.hub is not None
        for _ in range(600):
            if not running.hub._hub.users.find("ada"):
                break
            await asyncio.sleep(0.1)
        assert not running.hub._hub.users.find("ada"), log.read_text()
        assert "Culling user ada" in log.read_text()


async def test_jhub_client_runs_a_notebook(tmp_path: Path) -> None:
    found = await asyncio.to_thread(peer_environment, "client")
    cell = {"cell_type": "code", "execution_count": None, "id": "a", "metadata": {},
            "outputs": [], "source": "print(6 * 7)"}  # fmt: skip
    notebook = tmp_path / "nb.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.write_text(
        json.dumps({"cells": [cell], "metadata": {"kernelspec": kernel},
                    "nbformat": 4, "nbformat_minor": 5})
    )  # fmt: skip
    token = "a-token-of-the-runner"
    services = {"runner": {"api_token": token, "admin": True}}
    async with whole(tmp_path / "trial", services=services) as running:
        host, port = running.nginx.address
        process = await asyncio.create_subprocess_exec(
            str(found / "bin/python"), "-m", "jhub_client", "run", "--hub", f"http://{host}:{port}",
            "--auth-type", "token", "-u", "tmp1", "--temporary-user", "--stop-server",
            "-n", str(notebook), "--output-filename", str(tmp_path / "out.json"),
            env={**os.environ, "JUPYTERHUB_API_TOKEN": token},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(120):
            output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()
        assert "42" in (tmp_path / "out.json").read_text()
        assert running.hub is not None
        assert running.hub._hub.users.find("tmp1") is None
        assert await running.spawner.running() == {}
