"""A real single-user server with a stub of the hub: log-in, tokens, kernels, activity."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio

from tests.fakes.browser import Browser, Reply, send
from tests.fakes.hub import FakeHub
from tests.fakes.preload_server import forked_single_user, server_template
from tests.fakes.single_user import TOKEN, SingleUser, environment, single_user

pytestmark = pytest.mark.asyncio(loop_scope="module")
PREFIX = "/user/ada/"


@dataclass
class Ada:
    """Ada's server and her hub."""

    server: SingleUser
    hub: FakeHub

    def browser(self) -> Browser:
        return Browser(self.server.socket)

    async def logged_in(self, page: str = "lab") -> Browser:
        """A browser that has been through the whole log-in."""
        browser = self.browser()
        address = PREFIX + page
        reply = await browser.get(address)
        while reply.status == 302:
            address = reply.header("Location")
            browser.target = self.api_socket if address.startswith("/hub/") else self.server.socket
            reply = await browser.get(address)
        assert (reply.status, address) == (200, PREFIX + page)
        return browser

    @property
    def api_socket(self) -> Path:
        return self.server.log.parent / "api.sock"


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["cold", "preloaded"])
async def ada(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Ada]:
    folder = tmp_path_factory.mktemp("ada")
    hub = FakeHub()
    server = hub.listen(folder / "api.sock")
    path = folder / "servers" / "default.sock"
    environ = environment(folder, folder / "api.sock", JUPYTERHUB_ACTIVITY_INTERVAL="1")
    async with contextlib.AsyncExitStack() as stack:
        started = single_user(folder, environ, path=path)
        if request.param == "preloaded":
            parent = stack.enter_context(server_template(folder / "home"))
            started = forked_single_user(parent, folder, environ, path=path)
        yield Ada(await stack.enter_async_context(started), hub)
    server.stop()


def _page_config(reply: Reply) -> dict[str, object]:
    text = reply.body.decode()
    start = text.index('id="jupyter-config-data"')
    config: dict[str, object] = json.loads(
        text[text.index(">", start) + 1 : text.index("</script>", start)]
    )
    return config


async def test_a_page_sends_the_visitor_to_the_hub_with_a_pkce_challenge(ada: Ada) -> None:
    reply = await ada.browser().get(PREFIX + "lab/tree/a.ipynb?x=1")
    location = urlsplit(reply.header("Location"))
    query = {name: values[0] for name, values in parse_qs(location.query).items()}
    assert (reply.status, location.path) == (302, "/hub/api/oauth2/authorize")
    assert query["client_id"] == "jupyterhub-user-ada"
    assert query["redirect_uri"] == "/user/ada/oauth_callback"
    assert query["code_challenge_method"] == "S256"
    cookie = reply.header("Set-Cookie")
    assert cookie.startswith("jupyterhub-user-ada-oauth-state=")
    assert "HttpOnly" in cookie
    assert "Path=/user/ada/" in cookie


async def test_log_in_ends_on_the_page_that_was_asked_for(ada: Ada) -> None:
    browser = await ada.logged_in("lab/tree")
    assert browser.cookie("jupyterhub-user-ada")
    assert not browser.cookie("jupyterhub-user-ada-oauth-state")
    assert {path for _, path in browser.cookies} == {PREFIX}


async def test_lab_knows_its_hub_and_holds_no_token(ada: Ada) -> None:
    browser = await ada.logged_in()
    config = _page_config(await browser.get(PREFIX + "lab"))
    expected = {
        "hubUser": "ada",
        "hubServerUser": "ada",
        "hubServerName": "",
        "hubPrefix": "/hub/",
        "hubHost": "",
        "shareUrl": "/hub/user-redirect",
        "token": "",
    }
    assert {name: config[name] for name in expected} == expected
    assert config["extensionManager"]["name"] == "read-only"  # type: ignore[index]
    assert config["news"] == {"disabled": True}


async def test_notebook_is_at_tree(ada: Ada) -> None:
    browser = await ada.logged_in("tree")
    reply = await browser.get(PREFIX + "tree")
    assert _page_config(reply)["hubPrefix"] == "/hub/"
    assert reply.header("Content-Security-Policy") == "frame-ancestors 'none'"


async def test_cookie_is_secure_on_https(ada: Ada) -> None:
    reply = await ada.browser().get(PREFIX + "lab", X_Forwarded_Proto="https")
    assert "Secure" in reply.header("Set-Cookie")


async def test_api_without_credentials_is_403_json(ada: Ada) -> None:
    reply = await send(ada.server.socket, PREFIX + "api/contents")
    assert reply.status == 403
    assert reply.json()["message"]
    assert (await send(ada.server.socket, PREFIX + "api")).json()["version"]


async def test_callback_of_another_browsers_log_in_is_refused(ada: Ada) -> None:
    begun = await ada.browser().get(PREFIX + "lab")
    state = parse_qs(urlsplit(begun.header("Location")).query)["state"][0]
    reply = await ada.browser().get(f"{PREFIX}oauth_callback?code=c&state={state}")
    assert reply.status == 400
    assert b"not begun in this browser" in reply.body


async def test_hubs_refusal_of_a_code_is_told(ada: Ada) -> None:
    browser = ada.browser()
    begun = await browser.get(PREFIX + "lab")
    state = parse_qs(urlsplit(begun.header("Location")).query)["state"][0]
    reply = await browser.get(f"{PREFIX}oauth_callback?code=nonsense&state={state}")
    assert (reply.status, b"invalid_grant" in reply.body) == (403, True)


async def test_who_said_no_is_back_at_the_hub(ada: Ada) -> None:
    reply = await ada.browser().get(f"{PREFIX}oauth_callback?error=access_denied&state=x")
    assert reply.status == 302
    assert reply.header("Location") == "/hub/home"
    reply = await ada.browser().get(f"{PREFIX}oauth_callback?error=invalid_scope&state=x")
    assert reply.status == 403


async def test_other_users_may_not_enter(ada: Ada) -> None:
    ada.hub.visitor = "bob"
    try:
        with pytest.raises(AssertionError, match="403"):
            await ada.logged_in()
    finally:
        ada.hub.visitor = "ada"


@pytest.mark.parametrize(
    ("scopes", "status"),
    [
        (["access:servers!server=ada/"], 200),
        (["access:servers!user=ada"], 200),
        (["access:servers"], 200),
        (["access:servers!server=bob/"], 403),
        (["read:users!user=ada"], 403),
    ],
    ids=["server", "user", "all", "another server", "no access"],
)
async def test_token_opens_the_api_by_its_scopes(ada: Ada, scopes: list[str], status: int) -> None:
    token = "token-" + "-".join(scopes)
    ada.hub.give(token, "ada", *scopes)
    headers = {"Authorization": f"token {token}"}
    reply = await send(ada.server.socket, PREFIX + "api/contents", headers=headers)
    assert reply.status == status
    in_url = await send(ada.server.socket, f"{PREFIX}api/contents?token={token}")
    assert in_url.status == 403


async def test_scripts_of_other_pages_need_the_xsrf_token_even_to_read(ada: Ada) -> None:
    browser = await ada.logged_in()
    fetched = {"Sec_Fetch_Mode": "cors", "Sec_Fetch_Site": "same-origin"}
    assert (await browser.get(PREFIX + "api/contents", **fetched)).status == 403
    xsrf = {"X_XSRFToken": browser.cookie("_xsrf")}
    assert (await browser.get(PREFIX + "api/contents", **fetched, **xsrf)).status == 200
    assert (await browser.get(PREFIX + "api/contents", Sec_Fetch_Mode="navigate")).status == 200


async def test_posting_needs_the_xsrf_token(ada: Ada) -> None:
    browser = await ada.logged_in()
    body = json.dumps({"type": "notebook"}).encode()
    assert (await browser.ask("POST", PREFIX + "api/contents", body=body)).status == 403
    assert (await browser.post(PREFIX + "api/contents", {"type": "notebook"})).status == 201


async def test_log_out_forgets_the_browser_and_goes_to_the_hub(ada: Ada) -> None:
    browser = await ada.logged_in()
    reply = await browser.get(PREFIX + "logout")
    assert (reply.status, reply.header("Location")) == (302, "/hub/logout")
    assert not browser.cookie("jupyterhub-user-ada")


async def test_hub_that_is_away_logs_nobody_out(ada: Ada) -> None:
    ada.hub.give("away", "ada", "access:servers!server=ada/")
    ada.hub.down = True
    try:
        headers = {"Authorization": "token away"}
        first = await send(ada.server.socket, PREFIX + "api/contents", headers=headers)
    finally:
        ada.hub.down = False
    again = await send(ada.server.socket, PREFIX + "api/contents", headers=headers)
    assert (first.status, again.status) == (502, 200)


async def test_answers_of_the_hub_are_remembered_for_a_while(ada: Ada) -> None:
    browser = await ada.logged_in()
    before = ada.hub.asked.count("GET /hub/api/user")
    await asyncio.gather(*(browser.get(PREFIX + "api/status") for _ in range(10)))
    assert ada.hub.asked.count("GET /hub/api/user") == before


async def test_activity_is_reported_at_once_and_again(ada: Ada) -> None:
    await asyncio.wait_for(ada.hub.reported_twice.wait(), 20)
    report = ada.hub.activity[0]
    assert report["name"] == "ada"
    assert report["authorization"] == f"token {TOKEN}"
    assert report["servers"][""]["last_activity"] == report["last_activity"]
    assert report["last_activity"].endswith("Z")


async def test_what_an_open_page_does_again_and_again_is_no_use(ada: Ada) -> None:
    browser = await ada.logged_in()
    headers = {"X-XSRFToken": browser.cookie("_xsrf"), "Content-Type": "application/json"}

    async def last_use() -> str:
        """By a report that begins after now."""
        async with asyncio.timeout(20):
            for _ in range(2):
                ada.hub.reported.clear()
                await ada.hub.reported.wait()
        return str(ada.hub.activity[-1]["last_activity"])

    async def as_a_page_does() -> None:
        for path in ("kernels", "sessions", "terminals", "contents?content=1", "me"):
            reply = await browser.get(f"{PREFIX}api/{path}{'&' if '?' in path else '?'}1795394042")
            assert reply.status == 200
        layout = b'{"data": {}, "metadata": {"id": "default"}}'
        path = f"{PREFIX}lab/api/workspaces/default"
        assert (await browser.ask("PUT", path, headers=headers, body=layout)).status == 204

    before = await last_use()
    await as_a_page_does()
    used = await last_use()
    assert used > before, "it has just been opened"
    await as_a_page_does()
    assert await last_use() == used
    body = {"type": "file", "format": "text", "content": "x"}
    path = f"{PREFIX}api/contents/saved.txt"
    await browser.ask("PUT", path, headers=headers, body=json.dumps(body).encode())
    assert await last_use() > used


async def test_kernel_runs_a_cell_over_ipc(ada: Ada) -> None:
    browser = await ada.logged_in()
    kernel = (await browser.post(PREFIX + "api/kernels", {"name": "python3"})).json()["id"]
    code = (
        "import sys, os; print(6 * 7, os.environ['JUPYTERHUB_API_TOKEN'][:4], sys.flags.isolated)"
    )
    async with browser.websocket(f"{PREFIX}api/kernels/{kernel}/channels?session_id=s") as socket:
        header = {"msg_id": "m", "msg_type": "execute_request", "username": "", "session": "s",
                  "date": "", "version": "5.3"}  # fmt: skip
        await socket.send(
            {"channel": "shell", "header": header, "parent_header": {}, "metadata": {},
             "content": {"code": code, "silent": False}, "buffers": []}
        )  # fmt: skip
        async with asyncio.timeout(60):
            while (message := await socket.receive_json())["header"]["msg_type"] != "stream":
                pass
        assert message["content"]["text"] == "42 5e5e 0\n"
    files = [path.name for path in (ada.server.log.parent / "run").iterdir()]
    assert any(f"kernel-{kernel}-ipc" in name for name in files)
    path, xsrf = f"{PREFIX}api/kernels/{kernel}", {"X-XSRFToken": browser.cookie("_xsrf")}
    assert (await browser.ask("DELETE", path, headers=xsrf)).status == 204


async def test_websocket_of_strangers_is_refused(ada: Ada) -> None:
    path = PREFIX + "api/kernels/0/channels"
    with pytest.raises(ConnectionRefusedError, match="403"):
        async with ada.browser().websocket(path):
            pass
    browser = await ada.logged_in()
    with pytest.raises(ConnectionRefusedError, match="403"):
        async with browser.websocket(PREFIX + "api/events/subscribe", Origin="http://evil.test"):
            pass


async def test_terminals_have_names_that_no_other_page_can_guess(ada: Ada) -> None:
    """A page of another user's server opens websockets here with the visitor's cookie."""
    browser = await ada.logged_in()
    names = [
        (await browser.post(PREFIX + "api/terminals", wish)).json()["name"]
        for wish in ({}, {"name": "1"}, {"name": "1"})
    ]
    assert all(len(name) >= 10 for name in names)
    with pytest.raises(ConnectionRefusedError, match="404"):
        async with browser.websocket(f"{PREFIX}terminals/websocket/1"):
            pass
    async with browser.websocket(f"{PREFIX}terminals/websocket/{names[1]}") as socket:
        assert (await socket.receive_json())[0] == "setup"
    for name in names:
        xsrf = {"X-XSRFToken": browser.cookie("_xsrf")}
        path = f"{PREFIX}api/terminals/{name}"
        assert (await browser.ask("DELETE", path, headers=xsrf)).status == 204


async def test_notebook_with_a_broken_format_is_refused(ada: Ada) -> None:
    """nbformat's check works without the module that is kept from being imported."""
    broken = {
        "cells": [{"cell_type": "markdown", "id": "not an id", "metadata": {}, "source": "x"}],
        "metadata": {}, "nbformat": 4, "nbformat_minor": 5,
    }  # fmt: skip
    headers = {"Authorization": "token checker"}
    ada.hub.give("checker", "ada", "access:servers!server=ada/")
    body = json.dumps({"type": "notebook", "format": "json", "content": broken}).encode()
    reply = await send(
        ada.server.socket, PREFIX + "api/contents/b.ipynb", method="PUT", headers=headers, body=body
    )
    assert "Notebook validation failed" in reply.json()["message"]


async def test_static_files_need_no_log_in(ada: Ada) -> None:
    font = await ada.browser().get(PREFIX + "static/favicons/favicon.ico", Sec_Fetch_Mode="cors")
    assert font.status == 200
