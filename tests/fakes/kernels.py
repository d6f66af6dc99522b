"""Kernels to talk to, started cold or forked from a template, in a home of one's own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client import BlockingKernelClient
from jupyter_client.connect import write_connection_file

from appliance.preload.client import ask
from appliance.singleuser.environment import prepare_environment
from tests.fakes.peers import peer_environment
from tests.fakes.processes import cpu_seconds, memory_mb

SECONDS = 60


@dataclass
class TestKernel:
    """A kernel and its only client."""

    pid: int
    client: BlockingKernelClient

    __test__ = False

    def run(self, code: str) -> str:
        """Run a cell; what it printed. A cell that fails fails the test."""
        printed: list[str] = []
        failed: list[str] = []

        def note(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                printed.append(content["text"])
            elif message["msg_type"] == "error":
                failed.extend(content["traceback"])

        self.client.execute_interactive(
            code, output_hook=note, timeout=SECONDS, allow_stdin=False, store_history=True
        )
        assert not failed, "\n".join(failed)
        return "".join(printed)

    def value(self, expression: str) -> Any:
        """What an expression is; it must be fit for JSON."""
        return json.loads(self.run(f"import json; print(json.dumps({expression}))"))

    @property
    def private_mb(self) -> float:
        return memory_mb(self.pid, "Private_")

    @property
    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)


@dataclass(frozen=True)
class Place:
    """Where and how a kernel is started."""

    python: Path
    home: Path
    folder: Path
    environ: dict[str, str]

    def command(self, file: Path) -> list[str]:
        return [str(self.python), "-m", "ipykernel_launcher", "-f", str(file)]


def place(folder: Path, python: Path, **environ: str) -> Place:
    """A new home with a folder for notebooks in it."""
    home = folder / "ada"
    notebooks = home / "notebooks"
    notebooks.mkdir(parents=True)
    variables = {
        "HOME": str(home), "USER": "ada", "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin",
        "JPY_PARENT_PID": str(os.getpid()),
    }  # fmt: skip
    return Place(python, home, notebooks, variables | environ)


@contextlib.contextmanager
def cold_kernel(where: Place) -> Iterator[TestKernel]:
    file = _connection_file(where)
    with subprocess.Popen(
        where.command(file), env=where.environ, cwd=where.folder, start_new_session=True,
        stdin=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin
        process.stdin.close()
        with _connected(file, process.pid) as kernel:
            yield kernel


@contextlib.contextmanager
def forked_kernel(where: Place, socket: Path) -> Iterator[TestKernel]:
    """Raises appliance.preload.client.Cold if it is refused."""
    file = _connection_file(where)
    reader, writer = os.pipe()
    os.close(writer)
    try:
        offer = ask(
            str(socket), "kernel", where.command(file), where.environ, (reader, 1, 2),
            cwd=str(where.folder), timeout=SECONDS,
        )  # fmt: skip
    finally:
        os.close(reader)
    offer.accept()
    os.close(offer.pidfd)
    with _connected(file, offer.pid) as kernel:
        yield kernel


@contextlib.contextmanager
def _connected(file: Path, pid: int) -> Iterator[TestKernel]:
    client = BlockingKernelClient(connection_file=str(file))
    client.load_connection_file()
    client.start_channels(hb=False)
    try:
        client.kernel_info(reply=True, timeout=SECONDS)
        # What is published before this arrives nowhere.
        while client.get_iopub_msg(timeout=SECONDS)["msg_type"] != "iopub_welcome":
            pass
        yield TestKernel(pid, client)
        client.shutdown(reply=True, timeout=SECONDS)
        _wait_until_gone(pid)
    finally:
        client.stop_channels()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _wait_until_gone(pid: int) -> None:
    stat = Path(f"/proc/{pid}/stat")
    for _ in range(10 * SECONDS):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if stat.read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.1)
                continue
        return
    raise TimeoutError(f"the kernel {pid} did not end")


def _connection_file(where: Place) -> Path:
    # Kernels put their sockets beside it; each gets a number that is free.
    number = len(list(where.home.glob("k*.json")))
    path = where.home / f"k{number}.json"
    file, _ = write_connection_file(str(path), transport="ipc", ip=str(where.home / f"k{number}"))
    return Path(file)


def scientific_environment(folder: Path) -> Path:
    """A user environment as the installer makes them, with numpy, pandas and matplotlib."""
    packages = next(peer_environment("kernels").glob("lib/python3*/site-packages"))
    base = (packages.parents[2] / "bin" / "python").resolve()
    own = folder / "user"
    site_packages = own / packages.relative_to(packages.parents[2])
    site_packages.mkdir(parents=True)
    (own / "bin").mkdir()
    (own / "bin" / "python").symlink_to(base)
    (own / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")
    (site_packages / "packages.pth").write_text(f"{packages}\n")
    prepare_environment(own)
    return own / "bin" / "python"
