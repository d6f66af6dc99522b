"""What a cold start costs, beside plain JupyterLab's in the same environment and the same run.

`pytest -s tests/component/test_single_user_cost.py` prints the figures.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.browser import Target, send
from tests.fakes.hub import FakeHub
from tests.fakes.ports import free_port
from tests.fakes.processes import cpu_seconds, memory_mb
from tests.fakes.single_user import environment, single_user


@dataclass(frozen=True)
class Cost:
    """Of one server until its first page of Lab."""

    cpu_seconds: float
    memory_mb: float

    def __str__(self) -> str:
        return f"{self.cpu_seconds:.2f} CPU s, {self.memory_mb:.0f} MB (PSS)"


def _cost(pid: int) -> Cost:
    return Cost(cpu_seconds(pid), memory_mb(pid, "Pss:"))


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


async def _until_lab(target: Target, path: str) -> None:
    headers = {"Authorization": "token t", "Host": "localhost"}
    for _ in range(1200):
        with suppress(OSError):
            if (await send(target, path, headers=headers)).status == 200:
                return
        await asyncio.sleep(0.05)
    pytest.fail(f"no page at {path}")


async def _ours(folder: Path) -> Cost:
    hub = FakeHub()
    hub.give("t", "ada", "access:servers!server=ada/")
    listening = hub.listen(folder / "api.sock")
    environ = environment(folder, folder / "api.sock")
    async with single_user(folder, environ, path=folder / "server.sock") as server:
        await _until_lab(server.socket, "/user/ada/lab")
        cost = _cost(server.process.pid)
    listening.stop()
    return cost


@contextmanager
def _plain_lab(folder: Path, port: int) -> Iterator[int]:
    options = [
        "--no-browser",
        "--allow-root",
        "--IdentityProvider.token=t",
        "--ServerApp.ip=127.0.0.1",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", f"--ServerApp.port={port}", *options],
            env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "JUPYTER_RUNTIME_DIR": str(folder)},
            cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait(20)


async def _plain(folder: Path) -> Cost:
    port = free_port()
    with _plain_lab(folder, port) as pid:
        await _until_lab(("127.0.0.1", port), "/lab")
        return _cost(pid)


async def test_cold_start_costs_less_than_half_of_plain_jupyterlab(tmp_path: Path) -> None:
    # The first of each fills the caches of the disk.
    ours = [await _ours(_folder(tmp_path, f"ours{number}")) for number in range(2)][-1]
    plain = [await _plain(_folder(tmp_path, f"plain{number}")) for number in range(2)][-1]
    sys.stdout.write(f"\nours          {ours}\njupyter lab   {plain}\n")
    assert ours.cpu_seconds < plain.cpu_seconds / 2
    assert ours.memory_mb < plain.memory_mb
