"""nginx, hub and real single-user servers together: from signing up to a running cell."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio

from tests.fakes.browser import WebSocket, send
from tests.fakes.single_user import LAUNCH, ROOT
from tests.fakes.whole import Visitor, Whole, whole

pytestmark = pytest.mark.asyncio(loop_scope="module")


# Open connections are looked at every half minute, and a test needn't wait for that.
LOOK_SOON = f"""
import sys; sys.path.append({str(ROOT)!r})
from appliance.singleuser import identity; identity.SESSION_CHECK_SECONDS = 3
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def appliance(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    command = [sys.executable, "-I", "-c", LOOK_SOON + LAUNCH.format(str(ROOT))]
    async with whole(tmp_path_factory.mktemp("whole") / "trial", command=command) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ada(appliance: Whole) -> Visitor:
    """Ada, with her server running and open in her browser."""
    visitor = appliance.visitor()
    await visitor.sign_up_and_log_in("ada")
    reply = await visitor.open_server("/user/ada/lab")
    assert reply.status == 200
    return visitor


def _execute(code: str, number: int = 0) -> dict[str, Any]:
    header = {"msg_id": f"m{number}", "msg_type": "execute_request", "username": "",
              "session": "s", "date": "", "version": "5.3"}  # fmt: skip
    return {"channel": "shell", "header": header, "parent_header": {}, "metadata": {},
            "content": {"code": code, "silent": False}, "buffers": []}  # fmt: skip


async def _printed(socket: WebSocket) -> str:
    async with asyncio.timeout(60):
        while (message := await socket.receive_json())["header"]["msg_type"] != "stream":
            pass
    return str(message["content"]["text"])


async def _start_kernel(visitor: Visitor) -> str:
    reply = await visitor.post("/user/ada/api/kernels", {"name": "python3"})
    kernel: str = reply.json()["id"]
    return f"/user/ada/api/kernels/{kernel}/channels?session_id=s"


async def test_cell_runs_in_lab(ada: Visitor) -> None:
    async with ada.websocket(await _start_kernel(ada)) as socket:
        await socket.send(_execute("print(6 * 7)"))
        assert await _printed(socket) == "42\n"


async def test_notebook_is_there_too(ada: Visitor) -> None:
    address, reply = await ada.follow("/user/ada/tree")
    assert (address, reply.status) == ("/user/ada/tree", 200)
    assert "jupyterhub-user-ada" in {name for name, path in ada.cookies if path == "/user/ada/"}


async def test_restart_of_the_hub_is_not_noticed(appliance: Whole, ada: Visitor) -> None:
    code = "import time\nfor n in range(100): print(n, flush=True); time.sleep(0.1)"
    async with ada.websocket(await _start_kernel(ada)) as socket:
        await socket.send(_execute(code))
        first = await _printed(socket)
        await appliance.stop_hub()
        waiting = asyncio.create_task(ada.get("/hub/home"))
        counted = [await _printed(socket) for _ in range(5)]
        assert not waiting.done()
        await appliance.start_hub()
        assert (await waiting).status == 200
        await _printed(socket)
    assert int(counted[-1].split()[-1]) > int(first.split()[0])


async def test_session_of_another_user_does_not_open_a_server(
    appliance: Whole, ada: Visitor
) -> None:
    eve = appliance.visitor()
    await eve.sign_up_and_log_in("eve")
    address, reply = await eve.follow("/user/ada/lab")
    assert reply.status in {403, 404}, address
    stolen = {name: value for (name, _), value in eve.cookies.items()}
    header = "; ".join(f"{name}={value}" for name, value in stolen.items())
    contents = await send(
        appliance.nginx.address, "/user/ada/api/contents", headers={"Cookie": header}
    )
    assert contents.status == 403


async def test_a_link_that_shares_a_server_opens_it(appliance: Whole, ada: Visitor) -> None:
    made = await send(
        appliance.nginx.places.admin_socket, "/hub/api/share-codes/ada/",
        method="POST", headers={"Content-Type": "application/json"}, body=b"{}",
    )  # fmt: skip
    carol = appliance.visitor()
    await carol.sign_up_and_log_in("carol")
    link = f"{made.json()['accept_url']}&next=/user/ada/lab"
    accepted = await carol.submit(link)
    assert (accepted.status, accepted.header("Location")) == (302, "/user/ada/lab")
    asked, page = await carol.follow("/user/ada/lab")
    assert asked.startswith("/hub/api/oauth2/authorize?")
    scopes = re.findall(rb'name="scopes" value="([^"]+)"', page.body)
    fields = [("_xsrf", carol.cookie("_xsrf", "/hub/")), ("answer", "yes"),
              *[("scopes", scope.decode()) for scope in scopes]]  # fmt: skip
    allowed = await carol.ask(
        "POST", asked, body=urlencode(fields).encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded",
                 "Origin": f"http://{carol.host}"},
    )  # fmt: skip
    address, reply = await carol.follow(allowed.header("Location"))
    assert (address, reply.status) == ("/user/ada/lab", 200)
    async with carol.websocket(await _start_kernel(carol)) as socket:
        await socket.send(_execute("print('together')"))
        assert await _printed(socket) == "together\n"
    assert (await carol.get("/hub/spawn/ada")).status == 404


async def test_activity_reaches_the_hub(appliance: Whole, ada: Visitor) -> None:
    reply = await ada.ask(
        "GET", "/hub/api/users/ada",
        headers={"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin",
                 "X-XSRFToken": ada.cookie("_xsrf", "/hub/")},
    )  # fmt: skip
    server = reply.json()["servers"][""]
    assert server["ready"]
    assert server["last_activity"] >= server["started"]


async def _open_again_and_again(visitor: Visitor, path: str) -> None:
    async with asyncio.timeout(45):
        while True:
            async with visitor.websocket(path):
                await asyncio.sleep(0.5)


async def test_logging_out_in_lab_ends_the_session_everywhere(
    appliance: Whole, ada: Visitor
) -> None:
    other = appliance.visitor()
    await other.submit("/hub/login", username="ada", password="grey-lake-2000")
    await other.follow("/user/ada/lab")
    old = dict(other.cookies)
    async with other.websocket("/user/ada/api/events/subscribe") as socket:
        address, _ = await other.follow("/user/ada/logout")
        assert address.startswith("/hub/login")
        other.cookies = old
        # What a stolen cookie is still good for: nothing at the hub, and soon nothing here.
        assert (await other.get("/hub/home")).status == 302
        with pytest.raises(ConnectionRefusedError, match="403"):
            await _open_again_and_again(other, "/user/ada/api/events/subscribe")
        async with asyncio.timeout(45):
            while (await socket.receive())[0] != 8:
                pass
    assert (await ada.follow("/user/ada/lab"))[1].status == 200


async def test_stopped_server_offers_to_start_and_goes_on_to_the_address(
    appliance: Whole,
) -> None:
    bob = appliance.visitor()
    await bob.sign_up_and_log_in("bob")
    server = "/hub/api/users/bob/server"
    await send(appliance.nginx.places.admin_socket, server, method="DELETE")
    page = "/user/bob/lab/tree"
    _, stopped = await bob.follow(page)
    assert (stopped.status, b"/hub/spawn" in stopped.body) == (424, True)
    # The status by which Lab knows that its server is gone.
    assert (await bob.follow("/user/bob/api/kernels"))[1].status == 424
    assert (await bob.open_server(page)).status == 200
