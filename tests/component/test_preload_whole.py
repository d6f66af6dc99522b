"""A user's server whose kernels are forked, both as they are on a machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client import BlockingKernelClient

from tests.fakes.browser import Reply, send
from tests.fakes.hub import FakeHub
from tests.fakes.kernels import TestKernel
from tests.fakes.preload_kernel import KernelTemplate, kernel_template
from tests.fakes.preload_server import ServerTemplate, forked_single_user, server_template
from tests.fakes.processes import memory_mb
from tests.fakes.single_user import SingleUser, environment

KERNELS = "/user/ada/api/kernels"
HEADERS = {"Authorization": "token t", "Content-Type": "application/json"}
SECONDS = 60


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerTemplate]:
    with server_template(tmp_path_factory.mktemp("servers")) as template:
        yield template


@pytest.fixture(scope="module")
def kernels() -> Iterator[KernelTemplate]:
    with tempfile.TemporaryDirectory(prefix="t-") as folder, kernel_template(Path(folder)) as found:
        yield found


@contextlib.asynccontextmanager
async def ada(servers: ServerTemplate, kernels: Path) -> AsyncIterator[SingleUser]:
    """Ada's server; she has a folder, and sockets' paths must be short."""
    hub = FakeHub()
    hub.give("t", "ada", "access:servers!server=ada/")
    with tempfile.TemporaryDirectory(prefix="ada-") as name:
        folder = Path(name)
        listening = hub.listen(folder / "api.sock")
        environ = environment(folder, folder / "api.sock", APPLIANCE_KERNEL_SOCKET=str(kernels))
        (folder / "home" / "lesson").mkdir()
        async with forked_single_user(
            servers, folder, environ, path=folder / "server.sock"
        ) as server:
            yield server
        listening.stop()


async def ask(server: SingleUser, method: str, address: str, **body: str) -> Reply:
    return await send(
        server.socket, address, method=method, headers=HEADERS, body=json.dumps(body).encode()
    )


@contextlib.asynccontextmanager
async def kernel_of(server: SingleUser, **body: str) -> AsyncIterator[TestKernel]:
    reply = await ask(server, "POST", KERNELS, **body)
    assert reply.status == 201, reply.body
    number = reply.json()["id"]
    file = server.home.parent / "run" / f"kernel-{number}.json"
    client = BlockingKernelClient(connection_file=str(file))
    client.load_connection_file()
    client.start_channels(hb=False)
    await asyncio.to_thread(_until_subscribed, client)
    kernel = TestKernel(0, client)
    kernel.pid = int(await asyncio.to_thread(kernel.run, "import os; print(os.getpid())"))
    yield kernel
    client.stop_channels()
    reply = await ask(server, "DELETE", f"{KERNELS}/{number}")
    assert reply.status == 204


def _until_subscribed(client: Any) -> None:
    """Ask until what the kernel publishes arrives; it welcomes only the first, the server."""
    for _ in range(SECONDS):
        client.kernel_info(reply=True, timeout=SECONDS)
        with contextlib.suppress(queue.Empty):
            client.get_iopub_msg(timeout=1)
            return
    raise TimeoutError("nothing that the kernel publishes arrives")


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def test_a_forked_server_has_its_kernels_forked(
    servers: ServerTemplate, kernels: KernelTemplate
) -> None:
    async with ada(servers, kernels.socket) as server:
        async with kernel_of(server, name="python3", path="lesson/first.ipynb") as kernel:
            assert _parent(server.process.pid) == servers.process.pid
            assert _parent(kernel.pid) == kernels.process.pid
            expression = (
                "[os.getcwd(), sorted(name for name in os.environ if 'PRELOAD' in name),"
                " os.environ['JUPYTERHUB_API_TOKEN'] != '', os.environ['JPY_PARENT_PID']]"
            )
            found = await asyncio.to_thread(kernel.value, expression)
            folder = str(server.home / "lesson")
            assert found == [folder, [], True, str(server.process.pid)]
            private = [memory_mb(server.process.pid, "Private_"), kernel.private_mb]
            sys.stdout.write(f"\nprivate MB of server and kernel: {private}\n")
        with pytest.raises(ProcessLookupError):
            os.kill(kernel.pid, 0)


async def test_its_kernels_start_cold_when_nobody_forks_them(servers: ServerTemplate) -> None:
    async with ada(servers, Path("/nonexistent/kernel.sock")) as server:
        async with kernel_of(server, name="python3") as kernel:
            assert _parent(kernel.pid) == server.process.pid
        log = server.log.read_text()
        assert "Starting a kernel without preloading: the preload daemon is not running" in log
