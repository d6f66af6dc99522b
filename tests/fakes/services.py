"""The programs that a changed configuration is told to, without systemd: a hub that answers its
health page at the address that was last reloaded, or doesn't.
"""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from appliance.config.kinds import Reload
from appliance.config.rendered import read_in_force
from appliance.config.schema import Config
from appliance.errors import ApplianceError
from appliance.places import Places
from appliance.rollout.health import VERSION_HEADER, Deadline


class HealthPage:
    """Something that listens at a port of this machine: our hub, or another program."""

    def __init__(self, port: int, *, path: str = "/hub/health", ours: bool = True) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path == path else 404)
                if ours:
                    self.send_header(VERSION_HEADER, "1")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class FakeServices:
    """Hub and proxy of a test: `works` says with which configuration they come up."""

    def __init__(self, places: Places, *, works: Callable[[Config], bool]) -> None:
        self.places = places
        self.works = works
        self.told: list[Reload] = []
        self.proxy_restarts: list[bool] = []
        self.stopped = False
        self.remarks: list[str] = []
        self.meanwhile: Callable[[], None] | None = None
        """Called once, in the middle of the next change."""
        self._page: HealthPage | None = None

    def carry_out(self, reload: Reload, deadline: Deadline, *, restart_proxy: bool) -> list[str]:
        self.told.append(reload)
        self.proxy_restarts.append(restart_proxy)
        if self.meanwhile:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        self.close()
        config = read_in_force(self.places)
        if not self.works(config):
            raise ApplianceError("cannot restart the hub", why="it ended with 78")
        self._page = HealthPage(config.http.port, path=f"{config.base_url}hub/health")
        return self.remarks

    def make_ready(self, deadline: Deadline) -> None:
        """Nothing is left of a failed attempt."""

    def is_stopped(self) -> bool:
        return self.stopped

    def close(self) -> None:
        if self._page:
            self._page.close()
            self._page = None


class FakeCommands:
    """Runs no command: notes it, and answers as told by its first words."""

    def __init__(self, answers: dict[str, tuple[int, str]] | None = None) -> None:
        self.seen: list[str] = []
        self.answers = answers or {}

    def __call__(self, command: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
        line = " ".join(command)
        self.seen.append(line)
        for start, (code, said) in self.answers.items():
            if line.startswith(start):
                if code < 0:
                    raise subprocess.TimeoutExpired(list(command), seconds)
                return subprocess.CompletedProcess(list(command), code, said, said)
        return subprocess.CompletedProcess(list(command), 0, "", "")


class FakeSpawnerDaemon:
    """Answers one line of JSON with one line of JSON."""

    def __init__(self, places: Places, answer: dict[str, object]) -> None:
        self.requests: list[dict[str, object]] = []
        self._answer = answer
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        places.run.mkdir(parents=True, exist_ok=True)
        self._listening.bind(str(places.spawner_socket))
        self._listening.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as lines:
                self.requests.append(json.loads(lines.readline()))
                lines.write(json.dumps(self._answer).encode() + b"\n")

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()
