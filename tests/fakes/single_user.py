"""Starts a real single-user server the way a spawner does: a listening socket as standard input."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.fakes.processes import cpu_seconds

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60
TOKEN = "5e" * 32

# What `python -I -m appliance.singleuser` is on an appliance, where our package is installed.
LAUNCH = (
    "import sys, runpy; sys.path.append({!r}); "
    "runpy.run_module('appliance.singleuser', run_name='__main__', alter_sys=True)"
)
LAUNCH_STOCK = LAUNCH.replace("'appliance.singleuser'", "'appliance.singleuser.stock'")


class Process(Protocol):
    """What is used of subprocess.Popen."""

    pid: int

    def poll(self) -> int | None: ...
    def terminate(self) -> None: ...
    def wait(self, timeout: float) -> int: ...


# Descriptors of the listening socket and of the log, and the environment.
Start = Callable[[int, int, dict[str, str]], Process]


@dataclass
class SingleUser:
    """A running server."""

    process: Process
    # What it told its service manager when it was ready.
    notified: str
    socket: Path
    log: Path
    home: Path

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.process.pid)


def environment(
    folder: Path, api_socket: Path, *, user: str = "ada", **more: str
) -> dict[str, str]:
    """What a spawner puts into a server's environment."""
    credentials = folder / "credentials"
    credentials.mkdir(exist_ok=True)
    (credentials / "token").write_text(TOKEN)
    for name in ("home", "run"):
        (folder / name).mkdir(exist_ok=True)
    prefix = f"/user/{user}/"
    return {
        "CREDENTIALS_DIRECTORY": str(credentials),
        "JUPYTERHUB_USER": user,
        "JUPYTERHUB_SERVER_NAME": "",
        "JUPYTERHUB_SERVICE_PREFIX": prefix,
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_HOST": "",
        "JUPYTERHUB_CLIENT_ID": f"jupyterhub-user-{user}",
        "JUPYTERHUB_API_URL": "http://127.0.0.1:1/hub/api",
        "APPLIANCE_API_SOCKET": str(api_socket),
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": json.dumps(
            [f"access:servers!server={user}/", f"access:servers!user={user}"]
        ),
        "JUPYTERHUB_ACTIVITY_INTERVAL": "5",
        "APPLIANCE_FRONT_END": "lab",
        "APPLIANCE_COUNT_BUSY": "1",
        "JUPYTER_RUNTIME_DIR": str(folder / "run"),
        "HOME": str(folder / "home"),
        "USER": user,
        "LANG": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
    } | more


@contextlib.asynccontextmanager
async def single_user(
    folder: Path, environ: dict[str, str], *, path: Path, start: Start | None = None
) -> AsyncIterator[SingleUser]:
    """Start a server and wait for its READY=1; stop it at the end."""
    log, notify_path = folder / "server.log", folder / "notify"
    with (
        _bound(notify_path, socket.SOCK_DGRAM) as notify,
        _start(environ, path, log, notify_path, start or _cold) as process,
    ):
        try:
            notified = await asyncio.wait_for(_ready(notify, process, log), START_SECONDS)
            yield SingleUser(process, notified, path, log, Path(environ["HOME"]))
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 20)


@contextlib.contextmanager
def _bound(path: Path, kind: socket.SocketKind) -> Iterator[socket.socket]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX, kind) as bound:
        bound.bind(str(path))
        yield bound
    path.unlink(missing_ok=True)


@contextlib.contextmanager
def _start(
    environ: dict[str, str], path: Path, log: Path, notify: Path, start: Start
) -> Iterator[Process]:
    with _bound(path, socket.SOCK_STREAM) as listening, log.open("wb") as output:
        listening.listen(128)
        yield start(listening.fileno(), output.fileno(), environ | {"NOTIFY_SOCKET": str(notify)})


def _cold(listening: int, output: int, environ: dict[str, str]) -> Process:
    return subprocess.Popen(
        [sys.executable, "-I", "-c", LAUNCH.format(str(ROOT))],
        env=environ, cwd=environ["HOME"], stdin=listening, stdout=output, stderr=output,
    )  # fmt: skip


async def _ready(notify: socket.socket, process: Process, log: Path) -> str:
    notify.settimeout(0)
    receive = asyncio.ensure_future(asyncio.get_running_loop().sock_recv(notify, 4096))
    while not receive.done():
        await asyncio.wait([receive], timeout=0.2)
        assert process.poll() is None, await asyncio.to_thread(log.read_text)
    message = receive.result().decode()
    assert "READY=1" in message
    return message
