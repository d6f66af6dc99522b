"""A student's own page against an admin who opens it, in Chromium.

All servers and the hub share an origin, and a student's server answers whatever the student likes.
`localhost` stands for a host with https: only there browsers say where requests come from.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_unix_socket
from tornado.web import Application, RequestHandler

from appliance.hub.app import Hub, make_hub
from appliance.hub.server import ADMIN_SOCKET, HUB_SOCKET, HubServer
from appliance.names import ServerId, Username
from appliance.places import Places
from tests.fakes.chromium import chromium
from tests.fakes.nginx import proxy
from tests.fakes.spawner import FakeSpawner
from tests.fakes.whole import PASSWORD, listen

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

WORKER = """
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(clients.claim()));
self.addEventListener("fetch", (event) => event.respondWith(new Response("stolen")));
"""


class EvesServer(RequestHandler):
    """What a student can make of a server; headers for the whole host are worth trying."""

    def get(self) -> None:
        self.set_header("Cross-Origin-Opener-Policy", "same-origin")
        self.set_header("Clear-Site-Data", '"cookies"')
        self.set_header("Service-Worker-Allowed", "/")
        is_script = self.request.path.endswith(".js")
        self.set_header("Content-Type", "text/javascript" if is_script else "text/html")
        self.finish(WORKER if is_script else "<title>Look at my notebook</title>")


class AdasServer(RequestHandler):
    """As a single-user server: scripts read its XSRF cookie, and nobody may frame it."""

    def get(self) -> None:
        self.set_cookie("_xsrf", "adas-token", path="/user/ada/")
        self.set_header("Content-Security-Policy", "frame-ancestors 'none'")
        self.finish("<title>Ada's notebook</title>")


@dataclass
class Scene:
    """The admin ada's browser, in which she looks at eve's page."""

    hub: Hub
    context: BrowserContext
    page: Page

    async def run(self, script: str, argument: object = None) -> Any:
        """What a script of eve's page gets."""
        return await self.page.evaluate(script, argument)


def _serve(places: Places, user: str, handler: type[RequestHandler]) -> HTTPServer:
    path = places.server_sockets / ServerId(Username(user)).socket_path
    path.parent.mkdir(parents=True)
    server = HTTPServer(Application([(r".*", handler)]))
    server.add_socket(bind_unix_socket(str(path), 0o600))
    return server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder = tmp_path_factory.mktemp("hostile") / "trial"
    async with proxy(folder) as nginx, chromium() as chrome:
        nginx.places.hub_state.mkdir(parents=True)
        hub = make_hub(nginx.config, nginx.places, FakeSpawner())
        running = HubServer(hub)
        await running.start(
            {
                HUB_SOCKET: listen(nginx.places.hub_socket),
                ADMIN_SOCKET: listen(nginx.places.admin_socket),
            }
        )
        servers = [
            _serve(nginx.places, "eve", EvesServer),
            _serve(nginx.places, "ada", AdasServer),
        ]
        await hub.users.create_many(["ada"], admin=True)
        await hub.users.create_many(["eve"])
        await hub.authenticator.set_password(Username("ada"), PASSWORD)
        context = await chrome.new_context(base_url=f"http://localhost:{nginx.config.http.port}")
        page = await context.new_page()
        await page.goto("/hub/login")
        await page.get_by_label("User name").fill("ada")
        await page.get_by_label("Password", exact=True).fill(PASSWORD)
        await page.get_by_role("button", name="Log in", exact=True).click()
        await page.wait_for_url("**/hub/home")
        await page.goto("/user/ada/lab")
        await page.goto("/user/eve/page")
        yield Scene(hub, context, page)
        await context.close()
        for server in servers:
            server.stop()
        await running.stop()


BECOME_ADMIN = """async (address) => {
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  const found = (await answer.text()).match(/name="_xsrf" value="([^"]*)"/);
  const change = await fetch("/hub/api/users/eve", {
    method: "PATCH", body: '{"admin": true}',
    headers: { "Content-Type": "application/json", "X-XSRFToken": found ? found[1] : "none" },
  });
  return change.status;
}"""


@pytest.mark.parametrize(
    "address", ["/hub/home", "/hub/nowhere", "/hub/user/ada/", "/hub/user/eve/x", "/hub/admin/add"]
)
async def test_fetched_pages_give_no_token_to_act_with(scene: Scene, address: str) -> None:
    assert await scene.run(BECOME_ADMIN, address) == 403
    assert not scene.hub.users.get("eve").admin


COOKIES_IN_FRAME = """(address) => new Promise((tell) => {
  const frame = document.createElement("iframe");
  frame.src = address;
  frame.onload = () => tell(frame.contentDocument ? frame.contentDocument.cookie : "");
  document.body.append(frame);
})"""


@pytest.mark.parametrize(
    "address",
    ["/hub/home", "/hub/static/favicon.svg", "/hub/health", "/user/ada/lab", "/user/ada/%00"],
)
async def test_frames_show_no_cookies_of_other_paths(scene: Scene, address: str) -> None:
    assert await scene.run(COOKIES_IN_FRAME, address) == ""


LOOK_INTO_WINDOW = """async (address) => {
  const opened = window.open(address);
  for (let round = 0; round < 100; round++) {
    await new Promise((later) => setTimeout(later, 50));
    try {
      if (opened.closed) return "";
      if (opened.document.URL !== "about:blank") {
        return opened.document.cookie + opened.document.documentElement.textContent;
      }
    } catch (refused) {
      return "";
    }
  }
  return "nothing came";
}"""


@pytest.mark.parametrize(
    "address",
    [
        "/hub/admin/add",
        "/hub/api/users",
        "/hub/static/favicon.svg",
        "/user/ada/lab",
        "/user/ada/%00",
    ],
)
async def test_windows_cannot_be_looked_into(scene: Scene, address: str) -> None:
    assert await scene.run(LOOK_INTO_WINDOW, address) == ""


async def test_a_service_worker_gets_no_further_than_its_own_pages(scene: Scene) -> None:
    register = """(scope) => navigator.serviceWorker.register("/user/eve/worker.js", { scope })
        .then(() => "registered", (error) => error.name)"""
    for scope in ("/", "/hub/", "/user/", "/user/ada/"):
        assert await scene.run(register, scope) == "SecurityError"


async def test_a_visit_does_not_log_anybody_out(scene: Scene) -> None:
    page = await scene.context.new_page()
    await page.goto("/hub/home")
    assert page.url.endswith("/hub/home")
