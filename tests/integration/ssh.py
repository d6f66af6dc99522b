"""Commands in a test machine, over one ssh connection that stays open between them."""

from __future__ import annotations

import contextlib
import shlex
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SPARE_SECONDS: Final = 15
_TIMED_OUT: Final = 124
_CONNECTION_FAILED: Final = 255


class CommandError(Exception):
    """A command in a machine failed or could not be run."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command left behind."""

    command: str
    code: int
    stdout: str
    stderr: str
    seconds: float

    def describe(self) -> str:
        return (
            f"$ {self.command}\n(exit code {self.code} after {self.seconds:.1f} s)\n"
            f"--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"
        )


class Shell:
    """A root shell on one machine; connects again after `disconnect`."""

    def __init__(self, *, address: str, key: Path, folder: Path) -> None:
        self._address = address
        self._folder = folder
        self._socket = folder / "ssh"
        self._master: subprocess.Popen[bytes] | None = None
        self._options = [
            "-F", "none", "-i", str(key), "-S", str(self._socket), "-l", "root",
            "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "LogLevel=ERROR",
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
        ]  # fmt: skip

    @property
    def command_line(self) -> str:
        """What a person types to look around in the machine."""
        return shlex.join(["ssh", *self._options, self._address])

    @property
    def process(self) -> int | None:
        """The process that holds the connection."""
        return self._master.pid if self._master else None

    @property
    def is_connected(self) -> bool:
        return self._master is not None and self._master.poll() is None

    def answers(self) -> bool:
        """Whether an ssh server greets us; asking is much cheaper than a log-in."""
        with contextlib.suppress(OSError), socket.create_connection((self._address, 22), 1) as ssh:
            ssh.settimeout(5)
            return ssh.recv(4) == b"SSH-"
        return False

    def connect(self, *, timeout: float) -> bool:
        """Whether a connection for all later commands stands within the time."""
        self.disconnect()
        with (self._folder / "ssh.log").open("ab") as log:
            self._master = subprocess.Popen(
                ["ssh", *self._options, "-M", "-N", "-o", "ServerAliveInterval=15",
                 "-o", "ServerAliveCountMax=4", self._address],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.is_connected:
            if self._socket.exists():
                return True
            time.sleep(0.05)
        return False

    def disconnect(self) -> None:
        if self._master is not None:
            self._master.kill()
            self._master.wait()
            self._master = None
        self._socket.unlink(missing_ok=True)

    def run(self, command: str, *, timeout: float, stdin: bytes = b"") -> Result:
        """Run a line of shell; a command that overstays is killed in the machine, too."""
        if not self.is_connected:
            raise CommandError(f"no connection to the machine for: {command}")
        limited = f"timeout --kill-after=5 {timeout:.0f} bash -c {shlex.quote(command)}"
        started = time.monotonic()
        try:
            done = subprocess.run(
                ["ssh", *self._options, self._address, limited],
                input=stdin, capture_output=True, check=False, timeout=timeout + _SPARE_SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise CommandError(
                f"the machine does not react any more; it was to run: {command}"
            ) from None
        seconds = time.monotonic() - started
        result = Result(command, done.returncode, done.stdout.decode(errors="replace"),
                        done.stderr.decode(errors="replace"), seconds)  # fmt: skip
        if result.code == _TIMED_OUT and seconds >= timeout:
            raise CommandError(f"not done after {timeout:.0f} s: {result.describe()}")
        if result.code == _CONNECTION_FAILED and not self.is_connected:
            raise CommandError(f"the connection broke: {result.describe()}")
        return result
