"""A whole hub in one process: real sockets, real database, a fake spawner, and a small browser."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from http.cookies import SimpleCookie
from pathlib import Path
from types import CodeType
from typing import Any, Self
from unittest import mock
from urllib.parse import urlencode

from jinja2 import BytecodeCache, Environment
from jinja2.bccache import Bucket

from appliance.clock import Clock
from appliance.config.schema import Config
from appliance.db.session import Database
from appliance.hub import app
from appliance.hub.app import Hub, make_hub
from appliance.hub.server import ADMIN_SOCKET, HUB_SOCKET, HubServer
from appliance.places import Places
from appliance.web import templating
from tests.fakes.service_runner import FakeServiceRunner
from tests.fakes.spawner import FakeSpawner

HOST = "hub.test"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: str
    cookies: list[str] = field(default_factory=list)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def location(self) -> str:
        return self.headers["location"]


async def exchange(
    path: Path, method: str, url: str, headers: Mapping[str, str], body: bytes
) -> Answer:
    """One request on a Unix socket."""
    streams = await asyncio.open_unix_connection(str(path))
    return await exchange_on(streams, method, url, headers, body)


async def exchange_on(
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
) -> Answer:
    """One request on a connection, which ends with it."""
    reader, writer = streams
    lines = [f"{method} {url} HTTP/1.1", f"Host: {HOST}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body or method in {"POST", "PUT", "PATCH"}:
        lines.append(f"Content-Length: {len(body)}")
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
    raw = await reader.read()
    writer.close()
    return parse(raw)


def parse(raw: bytes) -> Answer:
    head, _, rest = raw.partition(b"\r\n\r\n")
    status_line, *lines = head.decode().split("\r\n")
    pairs = [line.split(": ", 1) for line in lines]
    headers = {name.lower(): value for name, value in pairs}
    cookies = [value for name, value in pairs if name.lower() == "set-cookie"]
    if headers.get("transfer-encoding") == "chunked":
        rest = _unchunk(rest)
    return Answer(int(status_line.split()[1]), headers, rest.decode(), cookies)


def _unchunk(data: bytes) -> bytes:
    whole = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        count = int(size, 16)
        whole, data = whole + data[:count], data[count + 2 :]
    return whole


class Compiled(BytecodeCache):
    """Templates once compiled: a hub does that once, and tests have a thousand hubs."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        assert bucket.code
        self._codes[bucket.key, bucket.checksum] = bucket.code


_COMPILED = Compiled()


@cache
def _empty_database() -> bytes:
    """As the migrations make it, which have tests of their own and are half of a hub's start."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "hub.sqlite")
        database = Database.at(path)
        database.open()
        database.close()
        return path.read_bytes()


class Machine:
    """A hub that runs until the test ends; `restart` is what kill -9 and systemd do."""

    def __init__(
        self,
        folder: Path,
        *,
        config: Config | None = None,
        clock: Clock | None = None,
        starts_at_login: bool = False,
    ) -> None:
        """Logging in starts nothing by default, or no server would be as a test left it."""
        self.places = Places.of_trial(folder)
        config = config or Config()
        servers = config.servers.model_copy(update={"start_at_login": starts_at_login})
        self.config = config.model_copy(update={"servers": servers})
        self.clock = clock or Clock()
        self.spawner = FakeSpawner()
        self.service_runner: FakeServiceRunner | None = None
        self.hub: Hub
        self._server: HubServer

    async def __aenter__(self) -> Self:
        self.places.hub_state.mkdir(parents=True, exist_ok=True)
        self.places.run.mkdir(parents=True, exist_ok=True)
        if not self.places.database.exists():
            self.places.database.write_bytes(_empty_database())
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop()

    async def _start(self) -> None:
        environment = partial(Environment, bytecode_cache=_COMPILED)
        with (
            mock.patch.object(templating, "Environment", environment),
            # Tests log in a thousand times; the cost has tests of its own.
            mock.patch.object(app, "known_cost", return_value=4),
        ):
            self.hub = make_hub(
                self.config, self.places, self.spawner, clock=self.clock,
                service_runner=self.service_runner,
            )  # fmt: skip
        self._server = HubServer(self.hub)
        await self._server.start(
            {
                HUB_SOCKET: _listen(self.places.hub_socket),
                ADMIN_SOCKET: _listen(self.places.admin_socket),
            }
        )

    async def restart(self) -> None:
        """The hub ends at once, wherever it is, and a new one begins."""
        await self._server.stop()
        await self._start()

    async def root(self, method: str, url: str, body: object = None) -> Answer:
        """A request of root on the admin socket, below /hub/api."""
        data = b"" if body is None else json.dumps(body).encode()
        url = f"{self.config.base_url}hub/api/{url}"
        return await exchange(
            self.places.admin_socket, method, url, {"Content-Type": "application/json"}, data
        )

    async def token_call(
        self, token: str, method: str, url: str, body: object = None, **headers: str
    ) -> Answer:
        """A request with a token, below /hub/api."""
        data = b"" if body is None else json.dumps(body).encode()
        sent = {"Authorization": f"token {token}", "Content-Type": "application/json", **headers}
        url = f"{self.config.base_url}hub/api/{url}"
        return await exchange(self.places.hub_socket, method, url, sent, data)

    def browser(self) -> Browser:
        return Browser(self)


class Browser:
    """Keeps cookies by path, fills in forms' tokens, says where requests come from."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.jar: dict[str, tuple[str, str]] = {}
        self.address = "192.0.2.7"

    async def request(
        self,
        method: str,
        url: str,
        body: bytes = b"",
        *,
        mode: str = "navigate",
        site: str = "same-origin",
        **headers: str,
    ) -> Answer:
        path = url.partition("?")[0]
        cookies = [f"{n}={v}" for n, (v, at) in self.jar.items() if path.startswith(at)]
        sent = {
            "User-Agent": "Test browser",
            "X-Forwarded-For": self.address,
            "X-Forwarded-Proto": "http",
            "Sec-Fetch-Mode": mode,
            "Sec-Fetch-Site": site,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        if cookies:
            sent["Cookie"] = "; ".join(cookies)
        answer = await exchange(self._machine.places.hub_socket, method, url, sent, body)
        for line in answer.cookies:
            for name, morsel in SimpleCookie(line).items():
                if morsel.value:
                    self.jar[name] = (morsel.value, morsel["path"])
                else:
                    self.jar.pop(name, None)
        return answer

    async def get(self, url: str, **more: Any) -> Answer:
        return await self.request("GET", url, **more)

    async def post(
        self, url: str, fields: Mapping[str, str] | Sequence[tuple[str, str]], **more: Any
    ) -> Answer:
        """Send a form as a page of ours would; pairs are for fields that come several times."""
        pairs = list(fields.items() if isinstance(fields, Mapping) else fields)
        whole = pairs if "_xsrf" in dict(pairs) else [("_xsrf", self.xsrf), *pairs]
        more.setdefault("Content_Type", "application/x-www-form-urlencoded")
        return await self.request("POST", url, urlencode(whole).encode(), **more)

    async def api(self, method: str, url: str, body: object = None, **more: Any) -> Answer:
        """What a script of our page does."""
        data = b"" if body is None else json.dumps(body).encode()
        more.setdefault("X_XSRFToken", self.xsrf)
        return await self.request(
            method, f"{self._machine.config.base_url}hub/api/{url}", data,
            mode="cors", Content_Type="application/json", **more,
        )  # fmt: skip

    @property
    def xsrf(self) -> str:
        return self.jar.get("_xsrf", ("", ""))[0]

    async def sign_up(self, name: str, password: str, **fields: str) -> Answer:
        await self.get("/hub/signup")
        return await self.post("/hub/signup", {"username": name, "password": password, **fields})

    async def log_in(self, name: str, password: str, *, then: str = "") -> Answer:
        query = f"?{urlencode({'next': then})}" if then else ""
        await self.get(f"/hub/login{query}")
        return await self.post(
            f"/hub/login{query}", {"username": name, "password": password, "next": then}
        )


def hidden_fields(page: str) -> list[tuple[str, str]]:
    """The hidden fields of a page's forms."""
    return re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(128)
    return listener
