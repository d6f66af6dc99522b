"""What a curious student tries with an account, a server and a terminal; and a stranger without.

nginx, hub and real single-user servers together. Each test is an attempt that must fail.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio

from appliance.names import Username
from tests.fakes.browser import Reply, request_bytes, send, send_raw
from tests.fakes.whole import PASSWORD, Visitor, Whole, whole

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Class:
    """The admin ada and the student eve, logged in, each with a server that runs."""

    appliance: Whole
    ada: Visitor
    eve: Visitor
    eves_token: str
    """What eve reads in her own terminal."""

    @property
    def api_socket(self) -> Path:
        return self.appliance.nginx.places.api_socket

    async def send(self, path: str, **more: object) -> Reply:
        return await send(self.appliance.nginx.address, path, **more)  # type: ignore[arg-type]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Class]:
    async with whole(tmp_path_factory.mktemp("hostile") / "trial") as appliance:
        visitors = []
        known: set[Path] = set()
        for name in ("ada", "eve"):
            visitor = appliance.visitor()
            await visitor.sign_up_and_log_in(name)
            assert (await visitor.open_server(f"/user/{name}/lab")).status == 200
            visitors.append(visitor)
            tokens = set(appliance.nginx.places.run.glob("s/*/credentials/token"))
            [latest], known = tokens - known, tokens
        assert appliance.hub
        appliance.hub._hub.users.set_admin(Username("ada"), admin=True)
        yield Class(appliance, *visitors, latest.read_text())


MATRIX = [
    ("GET", "users", 403),
    ("GET", "users/ada", 404),
    ("GET", "info", 403),
    ("GET", "appliance/status", 403),
    ("GET", "appliance/users/eve/server/log", 403),
    ("POST", "users", 403),
    ("POST", "users/mallory", 403),
    ("PATCH", "users/eve", 403),
    ("DELETE", "users/ada", 403),
    ("POST", "users/ada/server", 403),
    ("DELETE", "users/ada/server", 403),
    ("GET", "users/ada/server/progress", 403),
    ("POST", "users/ada/activity", 404),
    ("POST", "users/eve/server", 403),
    ("DELETE", "users/eve/server", 403),
    ("PUT", "appliance/users/ada/password", 403),
    ("POST", "appliance/users/ada/setup-link", 403),
    ("POST", "appliance/users/eve/approve", 403),
    ("POST", "appliance/apply-limits", 403),
]


@pytest.mark.parametrize(("method", "path", "status"), MATRIX)
async def test_a_servers_token_does_nothing_at_the_hub(
    room: Class, method: str, path: str, status: int
) -> None:
    headers = {"Authorization": f"token {room.eves_token}", "Content-Type": "application/json"}
    body = b"" if method == "GET" else b'{"last_activity": "2026-01-01T00:00:00Z"}'
    for target in (room.appliance.nginx.address, room.api_socket):
        reply = await send(target, f"/hub/api/{path}", method=method, headers=headers, body=body)
        assert reply.status == status


async def test_a_servers_token_opens_its_own_server_alone(room: Class) -> None:
    headers = {"Authorization": f"token {room.eves_token}"}
    assert (await room.send("/user/eve/api/contents", headers=headers)).status == 200
    assert (await room.send("/user/ada/api/contents", headers=headers)).status == 403
    path = f"/user/ada/api/events/subscribe?token={room.eves_token}"
    with pytest.raises(ConnectionRefusedError, match="403"):
        async with room.appliance.visitor().websocket(path):
            pass


@pytest.mark.parametrize(
    "path",
    [
        "/", "/hub/", "/hub/login", "/hub/admin", "/hub/setup?token=x", "/hub/api/../login",
        "/hub/api/%2e%2e/login", "/hub/api%2f..%2flogin", "/hub/apix", "/-hub", "/user/ada/lab",
        "http://localhost/hub/login", "//hub/api/user", "/HUB/api/user",
    ],
)  # fmt: skip
async def test_servers_reach_nothing_of_the_hub_but_its_api(room: Class, path: str) -> None:
    assert (await send(room.api_socket, path)).status in {400, 404}


async def test_a_cookie_does_not_count_on_the_servers_way_to_the_hub(room: Class) -> None:
    headers = {"Cookie": room.ada.cookie_header("/hub/api/user")}
    assert (await room.send("/hub/api/user", headers=headers)).status == 200
    assert (await send(room.api_socket, "/hub/api/user", headers=headers)).status == 403


async def test_a_websocket_needs_our_own_page_and_the_right_person(room: Class) -> None:
    path = "/user/ada/api/events/subscribe"
    for visitor, headers in (
        (room.ada, {"Origin": "http://evil.test"}),
        (room.ada, {"Origin": "null"}),
        (room.eve, {}),
        (room.eve, {"Cookie": room.eve.cookie_header("/user/eve/")}),
    ):
        with pytest.raises(ConnectionRefusedError, match="403"):
            async with visitor.websocket(path, **headers):
                pass


async def test_a_link_with_a_token_logs_nobody_in(room: Class) -> None:
    for name in ("token", "access_token", "jupyterhub-token"):
        reply = await room.send(f"/user/eve/lab?{name}={room.eves_token}")
        assert reply.status == 302
        assert reply.header("Location").startswith("/hub/api/oauth2/authorize?")


@pytest.mark.parametrize(
    "path", ["/", "/hub", "/hub/home", "/hub/login", "/user/ada", "/user/ada/lab", "/hub/nowhere"]
)
async def test_a_made_up_host_gets_into_no_address(room: Class, path: str) -> None:
    data = request_bytes("GET", path, {"X-Forwarded-Host": "evil.test"}, host="evil.test")
    reply = await send_raw(room.appliance.nginx.address, data)
    assert "evil.test" not in reply.header("Location")
    assert b"evil.test" not in reply.body


ELSEWHERE = [
    "//evil.test", "/\\evil.test", "\\\\evil.test", "https://evil.test", "/%09/evil.test/..//x",
    "/\t/evil.test", "///evil.test", "javascript:alert(1)", "http:evil.test", "/hub/..//evil.test",
    "http://hub.test@evil.test/", "/%2f/evil.test", "/%5cevil.test", "/.//evil.test",
]  # fmt: skip


@pytest.mark.parametrize("goal", ELSEWHERE)
async def test_no_page_sends_people_to_another_site(room: Class, goal: str) -> None:
    for page in ("login", "spawn", "spawn-pending/ada"):
        reply = await room.ada.get(f"/hub/{page}?next={quote(goal, safe='')}")
        assert (reply.status, "evil" in reply.header("Location")) == (302, False)
    reply = await room.ada.get(f"/hub/user-redirect/{quote(goal)}")
    assert reply.header("Location").startswith("/hub/") or reply.status == 400


async def test_guessing_is_slowed_down_whatever_the_guesser_pretends(room: Class) -> None:
    spellings = ["ada", "ADA", "Ada", " ada ", "\uff41da", "aDa"]
    visitor = room.appliance.visitor()
    page = await visitor.get("/hub/login")
    statuses = []
    for number in range(12):
        address = f"203.0.113.{number}"
        reply = await visitor.ask(
            "POST", "/hub/login",
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "X-Forwarded-For": address, "X-Real-IP": address,
                "Forwarded": f"for={address}", "X_Forwarded_For": address,
            },
            body=(
                f"_xsrf={visitor.cookie('_xsrf', '/hub/login')}&password=guess{number}"
                f"&username={quote(spellings[number % len(spellings)])}"
            ).encode(),
        )  # fmt: skip
        statuses.append(reply.status)
    assert page.status == 200
    assert statuses == [*[403] * 11, 429]
    assert PASSWORD.encode() not in reply.body


def _told_by_proc(name: str) -> list[bytes]:
    """A file of every process's directory, where it can be read."""
    found = []
    for path in Path("/proc").glob(f"[0-9]*/{name}"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes())
    return found


async def test_a_servers_token_is_in_no_environment_and_no_command_line(room: Class) -> None:
    environments = _told_by_proc("environ")
    assert any(b"JUPYTERHUB_USER=eve" in one for one in environments)
    for told in environments + _told_by_proc("cmdline"):
        assert room.eves_token.encode() not in told


async def test_no_log_holds_what_an_address_carries(
    room: Class, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for path in (
        "/hub/setup?token=telltale", "/hub/api/nowhere?code=telltale", "/hub/nowhere?x=telltale",
        "/user/eve/oauth_callback?code=telltale&state=telltale", "/user/eve/%2e%2e?token=telltale",
        "/user/nobody/lab?token=telltale", "/hub/api/users?_xsrf=telltale",
    ):  # fmt: skip
        await room.send(path, headers={"Authorization": "token telltale2"})
    assert "telltale" not in caplog.text
    assert "telltale" not in room.appliance.nginx.log.read_text()
    for log in room.appliance.nginx.places.state.glob("logs/*.log"):
        assert "telltale" not in log.read_text()
