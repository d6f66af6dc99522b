"""A server's kernel manager has its kernels forked, and they obey it as cold ones do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.ioloop import AsyncIOLoopKernelManager
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import KernelProvisionerFactory

from appliance.preload.provisioner import SOCKET_VARIABLE, ForkedKernel, PreloadProvisioner
from tests.fakes.preload_kernel import KernelTemplate, kernel_template

SECONDS = 30
NAME = "appliance-preload"


@pytest.fixture(scope="module")
def template() -> Iterator[KernelTemplate]:
    with tempfile.TemporaryDirectory(prefix="t-") as folder, kernel_template(Path(folder)) as found:
        yield found


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder that leaves room for the names of sockets."""
    with tempfile.TemporaryDirectory(prefix="ada-") as name:
        yield Path(name)


class Manager(AsyncKernelManager):  # type: ignore[misc]
    """Of kernels of this environment, by the provisioner."""

    @property
    def kernel_spec(self) -> KernelSpec:
        return self.spec

    spec = KernelSpec(
        argv=["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        display_name="Python", language="python",
    )  # fmt: skip


class RestartingManager(AsyncIOLoopKernelManager):  # type: ignore[misc]
    """The same with a restarter that looks more often."""

    kernel_spec = Manager.kernel_spec
    spec = Manager.spec

    def start_restarter(self) -> None:
        super().start_restarter()
        self._restarter._pcallback.callback_time = 200


@pytest.fixture
def environ(short_path: Path, template: KernelTemplate, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("PYTHON", "PYDEVD", "PYTEST"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(short_path))
    monkeypatch.setenv("LANG", "C.UTF-8")
    for name in ("LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(short_path))
    monkeypatch.setenv(SOCKET_VARIABLE, str(template.socket))
    # As the package's entry point does where it is installed.
    monkeypatch.setattr("jupyter_client.provisioning.factory.entry_points", _entry_points)
    KernelProvisionerFactory.clear_instance()


class _EntryPoint:
    name = NAME
    value = "appliance.preload.provisioner:PreloadProvisioner"

    def load(self) -> type[PreloadProvisioner]:
        return PreloadProvisioner


def _entry_points(**_: str) -> list[_EntryPoint]:
    return [_EntryPoint()]


@contextlib.asynccontextmanager
async def started(
    folder: Path, *, kind: type[AsyncKernelManager] = Manager, **options: Any
) -> AsyncIterator[Any]:
    KernelProvisionerFactory.instance().default_provisioner_name = NAME
    manager = kind(transport="ipc", ip=str(folder / "k"), connection_file=str(folder / "k.json"))
    await manager.start_kernel(cwd=str(folder), **options)
    try:
        yield manager
    finally:
        await manager.shutdown_kernel(now=True)
        KernelProvisionerFactory.clear_instance()


@contextlib.asynccontextmanager
async def client_of(manager: Manager) -> AsyncIterator[Any]:
    client = manager.client()
    client.start_channels()
    await client.wait_for_ready(timeout=SECONDS)
    yield client
    client.stop_channels()


async def printed(client: Any, code: str, **options: Any) -> str:
    words: list[str] = []

    def note(message: dict[str, Any]) -> None:
        content = message["content"]
        words.append(content.get("text") or content.get("ename") or "")

    await client.execute_interactive(code, output_hook=note, timeout=SECONDS, **options)
    return "".join(words)


@pytest.mark.usefixtures("environ")
async def test_a_kernel_is_forked_and_runs_cells(short_path: Path) -> None:
    async with started(short_path) as manager, client_of(manager) as client:
        kernel = manager.provisioner.process
        assert isinstance(kernel, ForkedKernel)
        assert await printed(client, "import os; print(os.getpid())") == f"{kernel.pid}\n"
        assert await printed(client, "print(os.getcwd())") == f"{short_path}\n"
        assert "a program" in await printed(client, "!echo a program")
        assert "pip" in await printed(client, "%pip --version")
        assert await printed(client, "print(os.environ['JPY_PARENT_PID'])") == f"{os.getpid()}\n"
    assert kernel.poll() == 0
    assert manager.has_kernel is False


@pytest.mark.usefixtures("environ")
async def test_a_cell_can_ask(short_path: Path) -> None:
    async with started(short_path) as manager, client_of(manager) as client:
        options = {"allow_stdin": True, "stdin_hook": lambda _: client.input("ada")}
        answer = printed(client, "print(input('who? '))", **options)
        assert await answer == "ada\n"


async def _is_there(path: Path) -> None:
    async with asyncio.timeout(SECONDS):
        while not path.exists():  # noqa: ASYNC110, ASYNC240 - a kernel makes it
            await asyncio.sleep(0.05)


@pytest.mark.usefixtures("environ")
async def test_a_forked_kernel_is_interrupted(short_path: Path) -> None:
    async with started(short_path) as manager, client_of(manager) as client:
        code = "import pathlib, time; pathlib.Path('begun').touch(); time.sleep(60)"
        running = asyncio.ensure_future(printed(client, code))
        await _is_there(short_path / "begun")
        await manager.interrupt_kernel()
        assert (await running).endswith("KeyboardInterrupt")
        assert await printed(client, "print('alive')") == "alive\n"


@pytest.mark.usefixtures("environ")
async def test_a_program_of_the_kernel_is_interrupted_with_it(short_path: Path) -> None:
    async with started(short_path) as manager, client_of(manager) as client:
        program = ["sh", "-c", "touch begun; exec sleep 60"]
        code = f"import subprocess; print(subprocess.run({program}).returncode)"
        running = asyncio.ensure_future(printed(client, code))
        await _is_there(short_path / "begun")
        await manager.interrupt_kernel()
        assert "KeyboardInterrupt" in await running


@pytest.mark.usefixtures("environ")
async def test_a_restarted_kernel_is_forked_anew(short_path: Path) -> None:
    async with started(short_path) as manager:
        async with client_of(manager) as client:
            await printed(client, "kept = 1")
        first = manager.provisioner.pid
        await manager.restart_kernel(now=False)
        async with client_of(manager) as client:
            assert await printed(client, "kept") == "NameError"
        assert isinstance(manager.provisioner.process, ForkedKernel)
        assert manager.provisioner.pid != first


@pytest.mark.usefixtures("environ")
async def test_a_forked_kernel_that_died_is_restarted(short_path: Path) -> None:
    """By the restarter of kernel managers, which is what jupyter_server relies on."""
    async with started(short_path, kind=RestartingManager) as manager:
        first = manager.provisioner.pid
        restarted = asyncio.Event()
        manager.add_restart_callback(restarted.set)
        os.kill(first, signal.SIGKILL)
        async with asyncio.timeout(SECONDS):
            await restarted.wait()
        for _ in range(10 * SECONDS):
            if manager.provisioner.pid != first:
                break
            await asyncio.sleep(0.1)
        async with client_of(manager) as client:
            assert await printed(client, "print('alive')") == "alive\n"
        assert isinstance(manager.provisioner.process, ForkedKernel)


@pytest.mark.usefixtures("environ")
async def test_a_kernel_ends_when_it_is_shut_down(short_path: Path) -> None:
    async with started(short_path) as manager:
        async with client_of(manager) as client:
            await printed(client, "import atexit, pathlib")
            await printed(client, "atexit.register(pathlib.Path('ended').touch);")
        kernel = manager.provisioner.process
        await manager.shutdown_kernel()
        assert kernel.poll() is not None
        assert (short_path / "ended").exists()


@pytest.mark.usefixtures("environ")
async def test_what_a_kernel_logs_goes_where_the_server_says(short_path: Path) -> None:
    log = short_path / "log"
    with log.open("w") as file:
        async with started(short_path, stderr=file) as manager, client_of(manager) as client:
            assert isinstance(manager.provisioner.process, ForkedKernel)
            await printed(client, "get_ipython().kernel.log.warning('said by the kernel')")
    assert "said by the kernel" in log.read_text()


@pytest.mark.usefixtures("environ")
@pytest.mark.parametrize("why", ["another command", "a variable", "no daemon", "a pipe"])
async def test_a_kernel_starts_cold_where_none_can_be_forked(
    short_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    options: dict[str, Any] = {}
    if why == "another command":
        options["extra_arguments"] = ["--HistoryManager.enabled=False"]
    elif why == "a variable":
        options["env"] = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    elif why == "no daemon":
        monkeypatch.setenv(SOCKET_VARIABLE, str(short_path / "none.sock"))
    else:
        options["stderr"] = subprocess.DEVNULL
    async with started(short_path, **options) as manager, client_of(manager) as client:
        assert isinstance(manager.provisioner.process, subprocess.Popen)
        assert await printed(client, "print(1)") == "1\n"


@pytest.mark.usefixtures("environ")
async def test_the_reason_for_a_cold_start_is_told_once(
    short_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PYTHONOPTIMIZE", "1")
    with caplog.at_level(logging.INFO):
        for number in range(2):
            folder = short_path / str(number)
            folder.mkdir()
            async with started(folder):
                pass
    told = [record for record in caplog.records if "PYTHONOPTIMIZE is set" in record.getMessage()]
    assert len(told) == 1


@pytest.mark.usefixtures("environ")
async def test_a_start_that_is_given_up_leaves_no_kernel(
    short_path: Path, template: KernelTemplate
) -> None:
    os.kill(template.process.pid, signal.SIGSTOP)
    try:
        starting = asyncio.ensure_future(started(short_path).__aenter__())
        await asyncio.sleep(0.5)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    finally:
        os.kill(template.process.pid, signal.SIGCONT)
    await asyncio.sleep(2)
    for _ in range(100):
        if not processes_in(short_path):
            break
        await asyncio.sleep(0.1)
    assert not processes_in(short_path)


def processes_in(folder: Path) -> list[str]:
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if link.readlink() == folder:
                found.append(link.parent.name)
    return found
