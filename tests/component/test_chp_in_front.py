"""Real configurable-http-proxies in front of nginx, hub and single-user servers.

PyPI's is tested everywhere, npm's where there is npm.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from appliance.names import ServerId, Username
from tests.fakes.browser import connect, request_bytes, send
from tests.fakes.chp import PROGRAMS, Chp, configurable_http_proxy
from tests.fakes.nginx import proxy
from tests.fakes.whole import Visitor, Whole, whole

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Front:
    """What people meet, and what is behind."""

    program: str
    chp: Chp
    behind: Whole
    ada: Visitor

    def visitor(self) -> Visitor:
        return Visitor(self.chp.address)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PROGRAMS)
async def front(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Front]:
    """Ada has signed up and opened her server, all through the proxy in front."""
    folder: Path = tmp_path_factory.mktemp("front")
    async with configurable_http_proxy(folder, request.param) as chp:
        settings: dict[str, Any] = {
            "proxy": chp.settings,
            "http": {"trusted_proxies": ["127.0.0.1"]},
        }
        async with whole(folder / "trial", **settings) as behind:
            await _start(chp, behind)
            await _look(behind)
            ada = Visitor(chp.address)
            await ada.sign_up_and_log_in("ada")
            reply = await ada.open_server("/user/ada/lab/tree/a%20b%2Bc.ipynb?reset")
            assert reply.status == 200
            yield Front(request.param, chp, behind, ada)


async def _start(chp: Chp, behind: Whole) -> None:
    await chp.start("--error-target", f"http://127.0.0.1:{behind.config.http.port}/hub/error")


async def _look(behind: Whole) -> None:
    """What the hub does every minute by itself."""
    done = await send(behind.nginx.places.admin_socket, "/hub/api/proxy", method="POST")
    assert done.status == 200, done


async def _until(chp: Chp, *paths: str) -> None:
    for _ in range(100):
        if sorted(await chp.table()) == sorted(paths):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(await chp.table())


async def test_people_and_servers_are_routed(front: Front) -> None:
    await _until(front.chp, "/", "/user/ada")
    assert "jupyterhub-user-ada" in {name for name, path in front.ada.cookies if path != "/"}
    contents = await front.ada.get("/user/ada/api/contents")
    assert (contents.status, contents.json()["type"]) == (200, "directory")
    stranger = await front.visitor().get("/user/ada/lab")
    assert stranger.status == 302


async def test_a_terminal_is_a_websocket(front: Front) -> None:
    made = await front.ada.post("/user/ada/api/terminals", {})
    name = made.json()["name"]
    async with front.ada.websocket(f"/user/ada/terminals/websocket/{name}") as socket:
        await socket.send(["stdin", "echo $((1234 * 5678))\r"])
        shown = ""
        async with asyncio.timeout(30):
            while "7006652" not in shown:
                kind, *rest = await socket.receive_json()
                shown += str(rest[0]) if kind == "stdout" else ""


async def test_progress_streams(front: Front) -> None:
    path = "/hub/api/users/ada/server/progress"
    xsrf = front.ada.cookie("_xsrf", "/hub/")
    reply = await front.ada.ask(
        "GET", f"{path}?_xsrf={xsrf}",
        headers={"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"},
    )  # fmt: skip
    assert reply.status == 200
    assert reply.header("Content-Type").startswith("text/event-stream")
    assert b'"ready": true' in reply.body


async def test_events_come_one_by_one(tmp_path: Path) -> None:
    """npm's; PyPI's passes an answer on when it is complete."""
    async with configurable_http_proxy(tmp_path, "npm") as chp, proxy(tmp_path / "t") as nginx:
        nginx.start_server(ServerId(Username("ada")))
        await chp.start("--default-target", f"http://127.0.0.1:{nginx.config.http.port}")
        reader, writer = await asyncio.open_connection(*chp.address)
        writer.write(request_bytes("GET", "/user/ada/stream", {}))
        started = time.monotonic()
        await reader.readuntil(b"data: 0")
        assert time.monotonic() - started < 0.9
        assert b"data: 1" in await reader.read(-1)
        assert time.monotonic() - started > 0.9
        writer.close()


async def test_crafted_paths_reach_nobody_else(front: Front) -> None:
    """What the proxy in front makes of a path, nginx judges by itself."""
    session = {name: value for (name, _), value in front.ada.cookies.items()}
    cookie = "; ".join(f"{name}={value}" for name, value in session.items())
    for path in ("/user/eve/..%2fada/api/contents", "/user/eve/%2e%2e%2fada/api/contents"):
        reply = await send(front.chp.address, path, headers={"Cookie": cookie})
        assert reply.status != 200, path


async def test_addresses_of_clients_pass_through(front: Front) -> None:
    """The last address that the proxy in front wrote counts, not what a client made up."""
    log = front.behind.nginx.log
    seen = len(log.read_text())
    # PyPI's writes a comma first, and nginx believes no list that begins so: it keeps what it sees.
    address = "127.0.0.2" if front.program == "npm" else "127.0.0.1"
    reader, writer = await asyncio.open_connection(*front.chp.address, local_addr=("127.0.0.2", 0))
    writer.write(request_bytes("GET", "/hub/login", {"X-Forwarded-For": "192.0.2.77"}))
    assert b" 200 " in await reader.readline()
    writer.close()
    for _ in range(50):
        if "/hub/login" in log.read_text()[seen:]:
            break
        await asyncio.sleep(0.05)
    line = next(line for line in log.read_text()[seen:].splitlines() if "/hub/login" in line)
    assert line.startswith(f"{address} "), line


async def test_routes_come_and_go_with_servers(front: Front) -> None:
    ben = front.visitor()
    await ben.sign_up_and_log_in("ben")
    assert (await ben.open_server("/user/ben/lab")).status == 200
    await _until(front.chp, "/", "/user/ada", "/user/ben")
    stopped = await send(
        front.behind.nginx.places.admin_socket, "/hub/api/users/ben/server", method="DELETE"
    )
    assert stopped.status in {202, 204}
    await _until(front.chp, "/", "/user/ada")
    # Nobody runs there: the hub's page offers to start it.
    assert (await ben.follow("/user/ben/lab"))[1].status == 424


async def test_an_empty_table_is_an_error_page_of_ours_until_the_next_look(front: Front) -> None:
    """The proxy in front was restarted: nothing ends in servers, and all is back with one look."""
    terminal = (await front.ada.post("/user/ada/api/terminals", {})).json()["name"]
    front.chp.stop()
    with contextlib.suppress(OSError):
        await connect(front.chp.address)
        pytest.fail("something answers in its place")
    await _start(front.chp, front.behind)
    lost = await front.ada.get("/user/ada/lab")
    assert lost.status == 404
    assert b"<html" in lost.body
    assert b"Hub Appliance" in lost.body
    await _look(front.behind)
    assert sorted(await front.chp.table()) == ["/", "/user/ada"]
    assert (await front.ada.get("/user/ada/api/contents")).status == 200
    terminals = await front.ada.get("/user/ada/api/terminals")
    assert terminal in {one["name"] for one in terminals.json()}
