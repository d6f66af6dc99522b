"""How calls on configurable-http-proxy's API go wrong, and what is said then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets, bind_unix_socket
from tornado.web import Application, RequestHandler

from appliance.config.schema import Config
from appliance.errors import BadRequest, ProxyError
from appliance.proxy.chp import ChpClient, own_target

Answer = Callable[[RequestHandler], None]


class ProxyApi:
    """Answers as tests want, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.answers: list[Answer] = []
        self.delay = 0.0
        self.now = self.most = 0
        api = self

        class Handler(RequestHandler):
            async def answer(self) -> None:
                request = self.request
                token = request.headers.get("Authorization", "")
                api.asked.append((str(request.method), str(request.uri), token))
                api.now += 1
                api.most = max(api.most, api.now)
                await asyncio.sleep(api.delay)
                api.now -= 1
                if api.answers:
                    api.answers.pop(0)(self)

            get = post = delete = answer

            def check_xsrf_cookie(self) -> None:
                """There is none here."""

        self._server = HTTPServer(Application([(r".*", Handler)]))
        sockets = bind_sockets(0, "127.0.0.1")
        self._server.add_sockets(sockets)
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"

    def listen(self, path: Path) -> None:
        """On a Unix socket, too."""
        self._server.add_socket(bind_unix_socket(str(path)))

    def stop(self) -> None:
        self._server.stop()


@pytest.fixture
async def api() -> AsyncIterator[ProxyApi]:
    api = ProxyApi()
    yield api
    api.stop()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.proxy.chp.RETRY_SECONDS", 2.0)
    monkeypatch.setattr("appliance.proxy.chp._FIRST_PAUSE", 0.01)


def status(code: int, text: str = "") -> Answer:
    def answer(handler: RequestHandler) -> None:
        handler.set_status(code)
        handler.write(text)

    return answer


async def test_what_is_sent_is_what_the_proxy_wants(api: ProxyApi) -> None:
    client = ChpClient(f"{api.url}/", "s3cret-s3cret")
    await client.add("/user/a@b.c/", "http://127.0.0.1:1", {"user": "a@b.c"})
    await client.remove("/services/é ?#%2F/")
    assert api.asked == [
        ("POST", "/api/routes/user/a@b.c/", "token s3cret-s3cret"),
        ("DELETE", "/api/routes/services/%C3%A9%20%3F%23%252F/", "token s3cret-s3cret"),
    ]


async def test_the_api_may_be_on_a_socket(api: ProxyApi, tmp_path: Path) -> None:
    path = tmp_path / "Api.sock"
    client = ChpClient(f"http+unix://{quote(str(path), safe='')}", None)
    with pytest.raises(ProxyError, match=r"does not answer \(no such file or directory\)"):
        await client.routes(retry=False)
    api.listen(path)
    await client.add("/", "http://127.0.0.1:1", {"hub": True})
    assert api.asked == [("POST", "/api/routes/", "")]
    assert not await client.is_open()


async def test_failures_of_the_proxy_are_tried_again(api: ProxyApi) -> None:
    api.answers = [status(503), status(500), status(201)]
    await ChpClient(api.url, None).add("/", "http://127.0.0.1:1", {})
    assert len(api.asked) == 3


async def test_for_ever_is_not_tried(api: ProxyApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.proxy.chp.RETRY_SECONDS", 0.2)
    api.answers = [status(500)] * 100
    with pytest.raises(ProxyError, match="it answers 500"):
        await ChpClient(api.url, None).add("/", "http://127.0.0.1:1", {})
    assert 2 < len(api.asked) < 100


@pytest.mark.parametrize(
    ("code", "said"),
    [(400, r"it answers 400 \(no target\)"), (403, "it refuses the token"), (404, "404"),
     (302, "302")],
)  # fmt: skip
async def test_refusals_are_told_at_once(api: ProxyApi, code: int, said: str) -> None:
    def answer(handler: RequestHandler) -> None:
        handler.set_header("Location", f"{api.url}/elsewhere")
        status(code, "no target")(handler)

    api.answers = [answer]
    with pytest.raises(ProxyError, match=said):
        await ChpClient(api.url, "s3cret").add("/", "http://127.0.0.1:1", {})
    assert len(api.asked) == 1


async def test_deleting_what_is_not_there_is_no_error(api: ProxyApi) -> None:
    api.answers = [status(404)]
    await ChpClient(api.url, None).remove("/user/nobody/")


@pytest.mark.parametrize(
    "text", ["", "[]", "<html>", '{"/": 1}', '{"/": {"user": "a"}}', '{"/": {"target": ', "null"]
)
async def test_an_answer_that_is_no_table_is_told(api: ProxyApi, text: str) -> None:
    api.answers = [status(200, text)]
    with pytest.raises(ProxyError, match="not a table of routes"):
        await ChpClient(api.url, None).routes()


async def test_tables_are_read_whoever_wrote_them(api: ProxyApi) -> None:
    api.answers = [
        status(
            200,
            '{"/": {"target": "http://a", "jupyterhub": true, "hub": true,'
            ' "last_activity": "2026-09-01T09:00:00.123Z"},'
            ' "/x": {"target": "http://b", "last_activity": "yesterday"},'
            ' "/y/": {"target": "http://c", "last_activity": 5, "jupyterhub": false}}',
        )
    ]
    table = await ChpClient(api.url, None).routes()
    assert list(table) == ["/", "/x/", "/y/"]
    assert [route.ours for route in table.values()] == [True, False, False]
    assert table["/"].data == {"hub": True}
    assert table["/"].last_activity == datetime(2026, 9, 1, 9, 0, 0, 123000, tzinfo=UTC)
    assert table["/x/"].last_activity is None


async def test_no_more_than_ten_calls_at_once(api: ProxyApi) -> None:
    api.delay = 0.02
    client = ChpClient(api.url, None)
    await asyncio.gather(*(client.remove(f"/user/u{n}/") for n in range(35)))
    assert api.most == 10


async def test_nobody_there(api: ProxyApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.proxy.chp.RETRY_SECONDS", 0.1)
    api.stop()
    with pytest.raises(ProxyError, match=r"does not answer \(connection refused\)"):
        await ChpClient(api.url, None).routes()


@pytest.mark.parametrize(
    ("address", "target"),
    [("", "http://127.0.0.1:8081"), ("0.0.0.0", "http://127.0.0.1:8081"),  # noqa: S104
     ("::", "http://[::1]:8081"), ("192.0.2.1", "http://192.0.2.1:8081")],
)  # fmt: skip
def test_routes_lead_to_nginx(address: str, target: str) -> None:
    config = Config.model_validate({"http": {"address": address, "port": 8081}})
    assert own_target(config) == target


@pytest.mark.parametrize(
    "url", ["", "http://", "ftp://a", "http://a:99999", "http://a\nb", "a:1", "http://a/?b"]
)
def test_no_address_at_all(url: str) -> None:
    with pytest.raises(BadRequest, match="as the address of the proxy's API"):
        ChpClient(url, None)
