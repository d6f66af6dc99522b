"""/services/NAME/ through the real nginx: to the right service, with what it may see."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.fakes.browser import Browser, send
from tests.fakes.nginx import Proxy, proxy, stub_service, upstream
from tests.fakes.ports import free_port

pytestmark = pytest.mark.asyncio(loop_scope="module")

PREFIX = "/services/pages/"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Proxy]:
    folder = tmp_path_factory.mktemp("p") / "p"
    socket = folder.parent / "unix.sock"
    ports = {"pages": free_port(), "dotted": free_port()}
    services = {
        "pages": {"url": f"http://127.0.0.1:{ports['pages']}"},
        "dot.ted": {"url": f"http://localhost:{ports['dotted']}/ignored"},
        "unix": {"url": f"http+unix://{quote(str(socket), safe='')}"},
        "down": {"url": f"http://127.0.0.1:{free_port()}"},
    }
    async with proxy(folder, services=services) as nginx:
        nginx.start_hub()
        nginx.running["pages"] = stub_service(ports["pages"], "pages")
        nginx.running["dotted"] = stub_service(ports["dotted"], "dotted")
        nginx.running["unix"] = upstream(socket, "unix")
        nginx.running["made"] = upstream(nginx.places.service_sockets / "made.sock", "made")
        yield nginx


@pytest.mark.parametrize(
    ("path", "reached"),
    [
        ("/services/pages/", "pages"), ("/services/pages/a/b?c=/services/unix/", "pages"),
        ("/services/pages/hub/api", "pages"), ("/services/pages/a%2Fb", "pages"),
        ("/services/pages//x", "pages"), ("/services/dot.ted/x", "dotted"),
        ("/services/unix/x", "unix"), ("/services/made/x", "made"),
        # What isn't there, doesn't answer, or isn't quite the name, is the hub's.
        ("/services/pages", "hub"), ("/services/", "hub"), ("/services/down/x", "hub"),
        ("/services/nothing/x", "hub"), ("/services/dotxted/x", "hub"),
        ("/services/Pages/", "hub"), ("/services/-pages/", "hub"), ("/Services/pages/", "hub"),
        ("/services/pages%2F", "hub"), ("/x/services/pages/", "hub"),
    ],
)  # fmt: skip
async def test_addresses_lead_where_they_should(running: Proxy, path: str, reached: str) -> None:
    reply = await send(running.address, path)
    assert reply.header("X-Reached") == reached
    assert reply.json()["uri"] == path


@pytest.mark.parametrize(
    "path",
    ["/services/pages/../../hub/api", "/services/%2e%2e/hub/", "/services/made/%2e%2e%2fx",
     "/services/pages/..;/x", "/services/..%2fhub.sock/"],
)  # fmt: skip
async def test_dot_segments_are_refused(running: Proxy, path: str) -> None:
    assert (await send(running.address, path)).status == 400


@pytest.mark.parametrize("name", ["pages", "unix", "made"])
async def test_what_a_service_sees(running: Proxy, name: str) -> None:
    reply = await send(
        running.address, f"/services/{name}/x", method="POST", body=b"body",
        headers={
            "Cookie": "a=1; jupyterhub-hub-login=secret; jupyterhub-session-id=abc; b=2",
            "X-Forwarded-User": "root", "Authorization": "token t", "Forwarded": "for=x",
        },
    )  # fmt: skip
    seen = reply.json()
    assert (seen["method"], seen["body"]) == ("POST", "body")
    headers = seen["headers"]
    assert headers["host"] == "hub.test"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["authorization"] == "token t"
    assert "forwarded" not in headers
    assert "x-forwarded-user" not in headers
    assert "secret" not in headers["cookie"]
    for cookie in ("a=1", "b=2", "jupyterhub-session-id=abc"):
        assert cookie in headers["cookie"]


@pytest.mark.parametrize(
    "cookies",
    ["jupyterhub-hub-login=x", "jupyterhub-hub-login=x; jupyterhub-hub-login=y",
     "jupyterhub-hub-login=x;", " ;jupyterhub-hub-login=x; jupyterhub-hub-login=secret; z=1"],
)  # fmt: skip
async def test_no_service_sees_the_log_in(running: Proxy, cookies: str) -> None:
    reply = await send(running.address, PREFIX, headers={"Cookie": cookies})
    assert "login" not in reply.json()["headers"].get("cookie", "")


async def test_what_a_service_may_not_say(running: Proxy) -> None:
    for name in ("pages", "made"):
        reply = await send(
            running.address, f"/services/{name}/",
            headers={"X-Answer-With": "Set-Cookie: x=evil; Path=/; Domain=test"},
        )  # fmt: skip
        assert reply.header("Set-Cookie") == f"x=evil; Path=/services/{name}/; Domain="
        reply = await send(
            running.address, f"/services/{name}/", headers={"X-Answer-With": "Clear-Site-Data: *"}
        )
        assert not reply.header("Clear-Site-Data")


@pytest.mark.parametrize("name", ["pages", "unix", "made"])
async def test_websockets_and_streams_pass(running: Proxy, name: str) -> None:
    async with Browser(running.address).websocket(f"/services/{name}/socket") as socket:
        await socket.send("hello")
        assert await socket.receive_json() == "hello"
    began = asyncio.get_running_loop().time()
    assert b"data: 1" in (await send(running.address, f"/services/{name}/stream")).body
    assert asyncio.get_running_loop().time() - began < 10


async def test_a_path_of_its_own_stays_below_the_base(tmp_path: Path) -> None:
    port = free_port()
    services = {"pages": {"url": f"http://127.0.0.1:{port}"}}
    async with proxy(tmp_path / "b", base_url="/b/", services=services) as nginx:
        nginx.start_hub()
        nginx.running["pages"] = stub_service(port, "pages")
        for path, reached in [("/b/services/pages/x", "pages"), ("/services/pages/x", "hub")]:
            assert (await send(nginx.address, path)).header("X-Reached") == reached
