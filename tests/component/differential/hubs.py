"""The two hubs that are asked the same: JupyterHub from the registry, and ours."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from appliance.config.schema import Config
from tests.fakes.hub_machine import Answer, Machine, exchange, exchange_on
from tests.fakes.peers import peer_environment
from tests.fakes.ports import free_port

# Everybody whom both hubs know from their configuration.
SERVICE_TOKENS: Final = {
    "engineer": "engineer-token-0123456789abcdef",
    "culler": "culler-token-0123456789abcdef",
    "physicist": "physicist-token-0123456789abcdef",
    "nobody": "nobody-token-0123456789abcdef",
}
ROLES: Final[dict[str, dict[str, Any]]] = {
    "culls": {
        "description": "Stops idle servers",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["culler"],
    },
    "sees-physics": {
        "description": "Sees one group",
        "scopes": [
            "list:users!group=physics", "read:users!group=physics", "read:groups!group=physics",
            "list:groups!group=physics", "servers!group=physics",
        ],
        "services": ["physicist"],
    },
}  # fmt: skip
SERVICES: Final[dict[str, dict[str, Any]]] = {
    **{name: {"api_token": token} for name, token in SERVICE_TOKENS.items()},
    "engineer": {"api_token": SERVICE_TOKENS["engineer"], "admin": True},
    "web": {"api_token": "web-token-0123456789abcdef", "url": "http://127.0.0.1:9"},
}


_CONFIG: Final = Path(__file__).with_name("jupyterhub_config.py")


class AnyHub(Protocol):
    """Answers requests below the base URL."""

    async def ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Answer: ...


class Ours:
    """Our hub, in this process, with a spawner that starts nothing."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    async def ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        return await exchange(self.machine.places.hub_socket, method, url, headers, body)


class Theirs:
    """JupyterHub, a process of its own."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        streams = await asyncio.open_connection("127.0.0.1", self._port)
        return await exchange_on(streams, method, url, headers, body)


@asynccontextmanager
async def our_hub(folder: Path) -> AsyncIterator[Ours]:
    config = Config.model_validate(
        {
            "roles": ROLES,
            "services": SERVICES,
            "servers": {"named_limit": 3},
            "signup": {"mode": "open"},
        }
    )
    async with Machine(folder, config=config) as machine:
        yield Ours(machine)


@contextmanager
def jupyterhub(folder: Path) -> Iterator[Theirs]:
    """JupyterHub 6 with the same roles and services; up when it answers."""
    port = free_port()
    (folder / "wanted.json").write_text(json.dumps({"roles": ROLES, "services": SERVICES}))
    environment = peer_environment("jupyterhub6")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [environment / "bin" / "jupyterhub", "-f", _CONFIG],
            cwd=folder, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            env={
                "PATH": f"{environment / 'bin'}:{os.environ['PATH']}",
                "HOME": str(folder),
                "DIFFERENTIAL_FOLDER": str(folder),
                "DIFFERENTIAL_PORT": str(port),
            },
        )  # fmt: skip
    try:
        _wait_for(f"http://127.0.0.1:{port}/hub/api", process, folder / "log")
        yield Theirs(port)
    finally:
        process.kill()
        process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - on loopback
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"JupyterHub did not start:\n{log.read_text()[-3000:]}")
