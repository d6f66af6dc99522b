"""JupyterHub's own single-user server, as its package has it, behind our proxy and hub."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from appliance.names import ServerId, Username
from tests.fakes import processes
from tests.fakes.browser import WebSocket, send
from tests.fakes.peers import peer_environment
from tests.fakes.single_user import LAUNCH_STOCK, ROOT
from tests.fakes.whole import Visitor, Whole, whole

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROXYD = "systemd-socket-proxyd"
ADA = ServerId(Username("ada"))


@dataclass
class Stock:
    """The appliance whose servers are JupyterHub's, and ada with hers open."""

    appliance: Whole
    ada: Visitor
    version: str

    @property
    def pid(self) -> int:
        """What runs as ada's server."""
        return self.appliance.spawner._servers[ADA].process.pid

    @property
    def runtime(self) -> Path:
        return Path(processes.environment(self.pid)["JUPYTER_RUNTIME_DIR"])


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["jupyterhub5", "jupyterhub6"])
async def stock(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stock]:
    environment = await asyncio.to_thread(peer_environment, request.param)
    command = [
        str(environment / "bin/python"), "-I", "-c", LAUNCH_STOCK.format(str(ROOT)),
    ]  # fmt: skip
    folder = tmp_path_factory.mktemp(request.param) / "trial"
    async with whole(folder, command=command) as running:
        visitor = running.visitor()
        await visitor.sign_up_and_log_in("ada")
        reply = await visitor.open_server("/user/ada/lab")
        assert reply.status == 200
        yield Stock(running, visitor, request.param.removeprefix("jupyterhub"))


async def _printed(socket: WebSocket) -> str:
    async with asyncio.timeout(60):
        while (message := await socket.receive_json())["header"]["msg_type"] != "stream":
            pass
    return str(message["content"]["text"])


def _execute(code: str) -> dict[str, Any]:
    header = {"msg_id": "m", "msg_type": "execute_request", "username": "", "session": "s",
              "date": "", "version": "5.3"}  # fmt: skip
    return {"channel": "shell", "header": header, "parent_header": {}, "metadata": {},
            "content": {"code": code, "silent": False}, "buffers": []}  # fmt: skip


async def test_it_is_the_package_as_it_comes(stock: Stock) -> None:
    reply = await stock.ada.get("/user/ada/api/status")
    assert reply.status == 200
    assert reply.header("X-JupyterHub-Version").startswith(f"{stock.version}.")
    assert processes.command_line(stock.pid)[1:4] == ["-I", "-m", "jupyterhub.singleuser"]


async def test_cell_runs_and_no_port_is_open(stock: Stock) -> None:
    reply = await stock.ada.post("/user/ada/api/kernels", {"name": "python3"})
    assert reply.status == 201, reply.body
    path = f"/user/ada/api/kernels/{reply.json()['id']}/channels?session_id=s"
    async with stock.ada.websocket(path) as socket:
        await socket.send(_execute("print(6 * 7)"))
        assert await _printed(socket) == "42\n"
        kernels: list[int] = []
        others: list[int] = []
        for pid in processes.family(stock.pid):
            is_kernel = "ipykernel_launcher" in processes.command_line(pid)
            (kernels if is_kernel else others).append(pid)
        assert not [port for pid in others for port in processes.listens_on_tcp(pid)]
        # ipykernel has a port for its own child processes, who must know a secret; all else of a
        # kernel is in files.
        assert [len(processes.listens_on_tcp(pid)) for pid in kernels] == [1]
        names = await asyncio.to_thread(os.listdir, stock.runtime)
        assert len([name for name in names if "-ipc-" in name]) == 5


async def test_xsrf_token_is_demanded(stock: Stock) -> None:
    reply = await stock.ada.ask(
        "POST", "/user/ada/api/kernels", body=b"{}",
        headers={"Content-Type": "application/json", "Sec-Fetch-Mode": "cors"},
    )  # fmt: skip
    assert reply.status == 403


async def test_the_browsers_address_is_known(stock: Stock) -> None:
    """By the headers of nginx, for a unix socket has none."""
    await stock.ada.get("/user/ada/api/nothing-here")
    log = ""
    async with asyncio.timeout(10):
        # It is noted after the answer.
        while "404 GET /user/ada/api/nothing-here" not in log:
            await asyncio.sleep(0.05)
            log = "\n".join(await stock.appliance.spawner.log(ADA, lines=50))
    assert "nothing-here (ada@127.0.0.1)" in log


async def test_kernels_have_the_token_and_the_address_for_the_api(stock: Stock) -> None:
    reply = await stock.ada.post("/user/ada/api/kernels", {"name": "python3"})
    path = f"/user/ada/api/kernels/{reply.json()['id']}/channels?session_id=s"
    code = (
        "import os, urllib.request as u\n"
        "r = u.Request(os.environ['JUPYTERHUB_API_URL'] + '/user',"
        " headers={'Authorization': 'token ' + os.environ['JUPYTERHUB_API_TOKEN']})\n"
        "print(u.build_opener(u.ProxyHandler({})).open(r).status,"
        " 'NOTIFY_SOCKET' in os.environ, 'CREDENTIALS_DIRECTORY' in os.environ)"
    )
    async with stock.ada.websocket(path) as socket:
        await socket.send(_execute(code))
        assert await _printed(socket) == "200 False False\n"


async def test_activity_reaches_the_hub(stock: Stock) -> None:
    reply = await stock.ada.ask(
        "GET", "/hub/api/users/ada",
        headers={"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin",
                 "X-XSRFToken": stock.ada.cookie("_xsrf", "/hub/")},
    )  # fmt: skip
    server = reply.json()["servers"][""]
    assert server["ready"]
    assert server["last_activity"] >= server["started"]


async def test_another_user_is_not_let_in(stock: Stock) -> None:
    eve = stock.appliance.visitor()
    await eve.sign_up_and_log_in("eve")
    address, reply = await eve.follow("/user/ada/lab")
    assert reply.status in {403, 404}, address
    stolen = "; ".join(f"{name}={value}" for (name, _), value in eve.cookies.items())
    contents = await send(
        stock.appliance.nginx.address, "/user/ada/api/contents", headers={"Cookie": stolen}
    )
    assert contents.status == 403


async def test_restart_of_the_hub_is_not_noticed(stock: Stock) -> None:
    await stock.appliance.stop_hub()
    reply = await stock.ada.get("/user/ada/api/contents", Sec_Fetch_Mode="navigate")
    assert reply.status == 200
    await stock.appliance.start_hub()
    assert (await stock.ada.get("/hub/home")).status == 200
    assert (await stock.ada.follow("/user/ada/lab"))[1].status == 200


async def test_log_out_in_lab_ends_the_session_everywhere(stock: Stock) -> None:
    other = stock.appliance.visitor()
    await other.submit("/hub/login", username="ada", password="grey-lake-2000")
    await other.follow("/user/ada/lab")
    address, _ = await other.follow("/user/ada/logout")
    assert address.startswith("/hub/login")
    assert (await other.get("/hub/home")).status == 302


async def test_server_ends_when_nobody_can_reach_it(stock: Stock) -> None:
    running = processes.family(stock.pid)
    carriers = [pid for pid in running if PROXYD in processes.command_line(pid)[0]]
    assert len(carriers) == 1
    os.kill(carriers[0], signal.SIGKILL)
    async with asyncio.timeout(10):
        await asyncio.to_thread(processes.wait_until_gone, running)
    page = await stock.ada.get("/hub/home")
    assert b"Your server is stopped" in page.body
    assert (await stock.ada.open_server("/user/ada/lab")).status == 200


async def test_stop_leaves_nothing_behind(stock: Stock) -> None:
    running = processes.family(stock.pid)
    assert any(PROXYD in processes.command_line(pid)[0] for pid in running)
    folder = stock.runtime
    await stock.appliance.spawner.stop(ADA)
    async with asyncio.timeout(10):
        await asyncio.to_thread(processes.wait_until_gone, running)
    assert not await asyncio.to_thread(folder.exists)
    assert (await stock.ada.follow("/user/ada/api/kernels"))[1].status == 424
