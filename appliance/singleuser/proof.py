"""Whether an environment works: a server of it answers, and a kernel of it computes.

`python -I -m appliance.singleuser.proof` tries both with the Python that runs it, and
`… proof KERNEL_PYTHON` a kernel of another environment alone. It runs as nobody with no network,
before an environment is put in force; what went wrong is on standard output.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

SECONDS: Final = 60.0
_LINES: Final = 12
_PREFIX: Final = "/user/proof/"
_CODE: Final = "print(6 * 7)"


class NotWorkingError(Exception):
    """What doesn't work, with the last lines that it said."""


def main(words: Sequence[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="p") as name:
        folder = Path(name)
        try:
            if words:
                prove_kernel(words[0], folder)
            else:
                with _server(folder) as ready:
                    # Both take a second of waiting for imports: at the same time.
                    prove_kernel(sys.executable, folder)
                    ready()
        except NotWorkingError as error:
            print(error)  # noqa: T201
            return 1
    return 0


def prove_kernel(python: str, folder: Path) -> None:
    """Start a kernel, and let it print something; raises NotWorkingError."""
    from jupyter_client import KernelManager
    from jupyter_client.kernelspec import KernelSpec

    os.environ["JUPYTER_RUNTIME_DIR"] = str(folder)
    command = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel = KernelManager(transport="ipc", connection_file=str(folder / "k.json"))
    kernel._kernel_spec = KernelSpec(argv=command, display_name="", language="python")  # noqa: SLF001
    log = folder / "kernel.log"
    with log.open("wb") as output:
        kernel.start_kernel(stdout=output, stderr=output, cwd=str(folder))
        client = kernel.client()
        client.start_channels()
        printed: list[str] = []
        try:
            client.wait_for_ready(timeout=SECONDS)
            client.execute_interactive(
                _CODE,
                timeout=SECONDS,
                output_hook=lambda message: printed.append(message["content"].get("text", "")),
            )
        except (RuntimeError, TimeoutError) as error:
            raise NotWorkingError(f"a kernel does not start: {_tail(log) or error}") from error
        finally:
            client.stop_channels()
            kernel.shutdown_kernel(now=True)
    if "".join(printed).strip() != "42":
        raise NotWorkingError(f"a kernel does not compute: {_tail(log) or printed}")


@contextlib.contextmanager
def _server(folder: Path) -> Iterator[Callable[[], None]]:
    """A single-user server; what is yielded waits for its answer or raises NotWorkingError."""
    (folder / "token").write_text("5e" * 32)
    path, log = folder / "s", folder / "server.log"
    with socket.socket(socket.AF_UNIX) as listening, log.open("wb") as output:
        listening.bind(str(path))
        listening.listen(8)
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", "appliance.singleuser"],
            stdin=listening.fileno(),
            stdout=output,
            stderr=output,
            cwd=folder,
            env=_environment(folder),
        )
        try:
            yield lambda: _wait_for(path, process, log)
        finally:
            process.kill()
            process.wait()


def _wait_for(path: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NotWorkingError(f"a server does not start: {_tail(log)}")
        with contextlib.suppress(OSError), contextlib.closing(_Connection(path)) as connection:
            connection.request("GET", f"{_PREFIX}api")
            if connection.getresponse().status == http.client.OK:
                return
    raise NotWorkingError(f"a server does not answer: {_tail(log)}")


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(str(self._path))


def _environment(folder: Path) -> dict[str, str]:
    scopes = json.dumps(["access:servers!user=proof"])
    return {
        "CREDENTIALS_DIRECTORY": str(folder),
        "JUPYTERHUB_USER": "proof",
        "JUPYTERHUB_SERVER_NAME": "",
        "JUPYTERHUB_SERVICE_PREFIX": _PREFIX,
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_HOST": "",
        "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-proof",
        "JUPYTERHUB_API_URL": "http://127.0.0.1:1/hub/api",
        # Nobody listens there: there is no hub that should know of this server.
        "APPLIANCE_API_SOCKET": str(folder / "no-hub"),
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": scopes,
        "JUPYTER_RUNTIME_DIR": str(folder),
        "HOME": str(folder),
        "USER": "proof",
        "LANG": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
    }


def _tail(log: Path) -> str:
    lines = log.read_text("utf-8", errors="replace").splitlines()
    return "\n".join(line for line in lines[-_LINES:] if line.strip())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
