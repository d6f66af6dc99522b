"""One server's process: its environment of files, its start, its word that it is ready, its end.

The process gets what a systemd unit would give it: the listening socket as standard input, a
datagram socket for READY=1, and the token in a credentials directory. So the server can't tell the
difference.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

# Asks Linux to end the server when the hub ends, whatever ends it; done in a fresh interpreter
# because nothing safe can run between fork and exec in a program with threads.
LAUNCHER: Final = """
import ctypes, os, signal, sys
hub = int(sys.argv[1])
ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
if os.getppid() != hub:
    sys.exit("the hub has ended")
os.execv(sys.argv[2], sys.argv[2:])
"""
_STOP_SECONDS: Final = 10.0


class ServerProcess:
    """A server that was started; `folder` is its own and goes with it."""

    def __init__(
        self, folder: Path, process: asyncio.subprocess.Process, ready: socket.socket
    ) -> None:
        self._folder = folder
        self._process = process
        self._ready = ready
        self._ended = asyncio.create_task(self._wait_and_clean(), name=f"process {process.pid}")

    @classmethod
    async def launch(
        cls,
        command: Sequence[str],
        *,
        folder: Path,
        token: str,
        environment: Mapping[str, str],
        home: Path,
        listener: socket.socket,
        log: Path,
    ) -> ServerProcess:
        """Start the process; raises OSError."""
        credentials = _write_token(folder, token)
        ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        ready.settimeout(0)
        try:
            address = folder / "notify"
            ready.bind(str(address))
            with log.open("ab") as output:
                launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(os.getpid())]
                process = await asyncio.create_subprocess_exec(
                    *launcher,
                    *command,
                    stdin=listener.fileno(),
                    stdout=output,
                    stderr=output,
                    cwd=home,
                    env={
                        **environment,
                        "NOTIFY_SOCKET": str(address),
                        "CREDENTIALS_DIRECTORY": str(credentials),
                    },
                    start_new_session=True,
                )
        except OSError:
            ready.close()
            raise
        return cls(folder, process, ready)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait_until_ready(self, seconds: float) -> bool:
        """True once it said READY=1, False when it ended first; raises TimeoutError."""
        word = asyncio.create_task(self._hear_ready())
        try:
            async with asyncio.timeout(seconds):
                await asyncio.wait({word, self._ended}, return_when=asyncio.FIRST_COMPLETED)
            return word.done() and not self._ended.done()
        finally:
            word.cancel()
            await asyncio.wait({word})
            self._ready.close()

    async def _hear_ready(self) -> None:
        loop = asyncio.get_running_loop()
        while b"READY=1" not in (await loop.sock_recv(self._ready, 4096)).split(b"\n"):
            pass

    async def wait(self) -> int:
        """Its exit status, or minus the signal that ended it; and nothing of it is left."""
        return await asyncio.shield(self._ended)

    async def _wait_and_clean(self) -> int:
        status = await self._process.wait()
        # What it started and left behind, as systemd does for a unit.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        shutil.rmtree(self._folder, ignore_errors=True)
        return status

    async def stop(self) -> None:
        """Ask it to end, and end it after a while."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await asyncio.shield(self._ended)
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
        await self.wait()


def _write_token(folder: Path, token: str) -> Path:
    credentials = folder / "credentials"
    credentials.mkdir(mode=0o700)
    path = credentials / "token"
    path.touch(mode=0o600)
    path.write_text(token)
    return credentials
