"""Two host names at the real nginx: each request is sent to the name where it belongs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from appliance.names import ServerId, parse_server_name, parse_username
from tests.fakes.browser import Reply, request_bytes, send_raw
from tests.fakes.nginx import Proxy, proxy

pytestmark = pytest.mark.asyncio(loop_scope="module")

HUB, CONTENT = "hub.test", "nb.test"
ALICE = ServerId(parse_username("alice"), parse_server_name(""))
NAVIGATION = {"Sec-Fetch-Mode": "navigate"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nginx(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Proxy]:
    folder = tmp_path_factory.mktemp("names") / "trial"
    async with proxy(folder, http={"host": HUB, "content_host": CONTENT}) as running:
        running.start_hub()
        running.start_server(ALICE)
        yield running


async def ask(nginx: Proxy, host: str, path: str, *, method: str = "GET", **headers: str) -> Reply:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    port = nginx.address[1]
    return await send_raw(nginx.address, request_bytes(method, path, names, host=f"{host}:{port}"))


@pytest.mark.parametrize(
    ("host", "path", "other"),
    [
        (HUB, "/user/alice/lab?x=1", CONTENT),
        (HUB, "/user/alice/api/contents", CONTENT),
        (HUB, "/user/nobody/lab", CONTENT),
        ("another.test", "/user/alice/lab", CONTENT),
        (CONTENT, "/hub/home", HUB),
        (CONTENT, "/hub/login?next=%2Fuser%2Falice%2F", HUB),
        (CONTENT, "/hub/api/oauth2/authorize?client_id=x", HUB),
        (CONTENT, "/hub/api/users", HUB),
        (CONTENT, "/hub/user/alice/lab", HUB),
        (CONTENT, "/services/grades/", HUB),
        (CONTENT, "/", HUB),
    ],
)
async def test_request_is_sent_to_the_other_name(
    nginx: Proxy, host: str, path: str, other: str
) -> None:
    for method in ("GET", "POST"):
        reply = await ask(nginx, host, path, method=method, **NAVIGATION)
        assert reply.status == 307
        assert reply.header("Location") == f"http://{other}:{nginx.address[1]}{path}"


@pytest.mark.parametrize(
    ("host", "path", "label"),
    [
        (CONTENT, "/user/alice/lab", "alice"),
        (CONTENT, "/user/alice/api/contents", "alice"),
        (HUB, "/hub/home", "hub"),
        (HUB, "/hub/api/users", "hub"),
        (HUB, "/", "hub"),
        ("192.0.2.7", "/hub/login", "hub"),
        (CONTENT, "/hub/api/appliance/messages?lab_key=x", "hub"),
    ],
)
async def test_request_is_answered_where_it_belongs(
    nginx: Proxy, host: str, path: str, label: str
) -> None:
    assert (await ask(nginx, host, path)).header("X-Reached") == label


async def test_scripts_with_a_token_may_use_either_name(nginx: Proxy) -> None:
    reply = await ask(nginx, HUB, "/user/alice/api", Authorization="token x")
    assert reply.header("X-Reached") == "alice"


async def test_a_page_whose_server_is_gone_hears_so_from_the_hub(nginx: Proxy) -> None:
    """A redirect to the other name would be refused to a script, and JupyterLab know nothing."""
    for path in ("/user/nobody/api/kernels", "/hub/user/nobody/api/kernels"):
        reply = await ask(nginx, CONTENT, path, Sec_Fetch_Mode="cors")
        assert reply.header("X-Reached") == "hub"


async def test_no_cookie_of_the_other_name_reaches_the_hub(nginx: Proxy) -> None:
    """A page of a server could set one for its own host, to be taken for somebody else."""
    cookie = "jupyterhub-hub-login=tossed"
    reply = await ask(nginx, CONTENT, "/hub/api/appliance/messages", Cookie=cookie)
    assert reply.header("X-Reached") == "hub"
    assert "cookie" not in reply.json()["headers"]
    reply = await ask(nginx, HUB, "/hub/home", Cookie=cookie)
    assert reply.json()["headers"]["cookie"] == cookie
