"""Real configurable-http-proxies to stand in front of us: PyPI's, and npm's where there is npm.

npm's is pinned in tests/peers/chp-node and kept beside the other peers' environments. After a
change of its package.json: `npm install --package-lock-only --omit-lockfile-registry-resolved`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.fakes.browser import Reply, send
from tests.fakes.peers import PINS, peer_environment
from tests.fakes.ports import free_port

TOKEN: Final = "c0ffee-0123456789abcdef"
PROGRAMS: Final = ("pypi", "npm")


def chp_command(program: str) -> list[str]:
    """How to run one of PROGRAMS; skips where it can't be had."""
    if program == "pypi":
        return [str(peer_environment("chp") / "bin" / "configurable-http-proxy")]
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("npm's configurable-http-proxy needs npm and node; PyPI's is tested everywhere")
    return ["node", str(_from_npm() / "node_modules/.bin/configurable-http-proxy")]


def _from_npm() -> Path:
    pins = PINS / "chp-node"
    kept = Path(os.environ.get("APPLIANCE_PEERS", "/var/tmp/appliance-peers"))
    kept.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256((pins / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = kept / f"chp-node-{key}"
    with (kept / "chp-node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(pins, folder)
            done = subprocess.run(
                ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
                cwd=folder, capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr[-2000:]
            (folder / "complete").touch()
    return folder


@dataclass
class Chp:
    """One in front; `stop` and `start` are what a restart does: its table is empty then."""

    command: list[str]
    log: Path
    port: int
    api_port: int
    token: str | None = TOKEN
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def settings(self) -> dict[str, Any]:
        """What the appliance must be told: the section `proxy`."""
        return {
            "program": "configurable-http-proxy", "api_url": self.api_url, "api_token": TOKEN,
        }  # fmt: skip

    def run(self, *options: str) -> None:
        environment = {**os.environ, "NODE_NO_WARNINGS": "1"}
        environment.pop("CONFIGPROXY_AUTH_TOKEN", None)
        if self.token:
            environment["CONFIGPROXY_AUTH_TOKEN"] = self.token
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "--ip", "127.0.0.1", "--port", str(self.port), "--api-ip",
                 "127.0.0.1", "--api-port", str(self.api_port), *options],
                env=environment, stdout=log, stderr=log,
            )  # fmt: skip

    async def start(self, *options: str) -> None:
        """Run it and wait until it answers."""
        self.run(*options)
        for _ in range(200):
            with contextlib.suppress(OSError):
                await self.api("GET", "")
                return
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            await asyncio.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait(20)
            self.process = None

    async def api(self, method: str, path: str, body: object = None) -> Reply:
        return await send(
            ("127.0.0.1", self.api_port), f"/api/routes{path}", method=method,
            headers={"Authorization": f"token {TOKEN}"},
            body=b"" if body is None else json.dumps(body).encode(),
        )  # fmt: skip

    async def table(self) -> dict[str, Any]:
        reply = await self.api("GET", "")
        assert reply.status == 200, reply
        found: dict[str, Any] = reply.json()
        return found


@contextlib.asynccontextmanager
async def configurable_http_proxy(folder: Path, program: str = "pypi") -> AsyncIterator[Chp]:
    """One that isn't started yet, and ends with the block."""
    chp = Chp(chp_command(program), folder / "chp.log", free_port(), free_port())
    try:
        yield chp
    finally:
        chp.stop()
