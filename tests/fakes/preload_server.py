"""Forks servers from a template without root, systemd and the daemon's checks."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.preload_server_program import MESSAGE_MAX
from tests.fakes.single_user import SingleUser, single_user

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("preload_server_program.py")
# What the daemon's unit has, and nothing of whoever runs the tests.
ENVIRON = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


@dataclass
class ServerTemplate:
    """A process that is ready to fork."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    remarks: list[str]
    cpu_seconds: float

    def fork(
        self,
        args: list[str],
        environ: dict[str, str],
        *,
        cwd: Path,
        descriptors: tuple[int, int, int] = (0, 1, 2),
    ) -> int:
        """The child's process id; RuntimeError with the template's reason if it refuses."""
        folder = os.open(cwd, os.O_PATH)
        try:
            reply = self._ask({"args": args, "environ": environ}, (*descriptors, folder))
        finally:
            os.close(folder)
        if reply["refused"]:
            raise RuntimeError(reply["refused"])
        return int(reply["pid"])

    def wait(self, pid: int) -> int:
        """The exit status of a child, when it has one."""
        return int(self._ask({"wait": pid})["status"])

    def _ask(self, request: dict[str, Any], descriptors: tuple[int, ...] = ()) -> dict[str, Any]:
        data = json.dumps(request).encode()
        assert len(data) <= MESSAGE_MAX
        socket.send_fds(self.control, [data], descriptors)
        return _receive(self.control, self.process)


@contextlib.contextmanager
def server_template(
    home: Path, *, python: str = sys.executable, environ: dict[str, str] | None = None
) -> Iterator[ServerTemplate]:
    """Load a template, `appliance.preload.server`; its children outlive the block."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        process = subprocess.Popen(
            [python, "-I", str(PROGRAM), str(ROOT)],
            env=ENVIRON | {"HOME": str(home)} | (environ or {}),
            cwd="/", stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=None,
        )  # fmt: skip
        theirs.close()
        try:
            loaded = _receive(ours, process)
            yield ServerTemplate(process, ours, loaded["remarks"], loaded["cpu"])
        finally:
            ours.close()
            process.wait(20)


def _receive(control: socket.socket, process: subprocess.Popen[bytes]) -> dict[str, Any]:
    control.settimeout(60)
    data = control.recv(MESSAGE_MAX)
    if not data:
        raise RuntimeError(f"the template ended with status {process.wait(20)}")
    reply: dict[str, Any] = json.loads(data)
    return reply


class Forked:
    """A child of a template, with what tests use of subprocess.Popen."""

    def __init__(self, parent: ServerTemplate, pid: int) -> None:
        self._parent = parent
        self._pidfd = os.pidfd_open(pid)
        self._status: int | None = None
        self.pid = pid

    def poll(self) -> int | None:
        """None while it runs."""
        return 1 if self._status or select.select([self._pidfd], [], [], 0)[0] else None

    def terminate(self) -> None:
        if self._status is None:
            signal.pidfd_send_signal(self._pidfd, signal.SIGTERM)

    def wait(self, timeout: float) -> int:
        """Its exit status."""
        if self._status is None:
            assert select.select([self._pidfd], [], [], timeout)[0], "it does not end"
            os.close(self._pidfd)
            self._status = self._parent.wait(self.pid)
        return self._status


@contextlib.asynccontextmanager
async def forked_single_user(
    parent: ServerTemplate, folder: Path, environ: dict[str, str], *, path: Path
) -> AsyncIterator[SingleUser]:
    """`single_user`, forked from a template."""

    def start(listening: int, output: int, environ: dict[str, str]) -> Forked:
        pid = parent.fork(
            [],
            environ | {"APPLIANCE_PRELOADED": "1"},
            cwd=Path(environ["HOME"]),
            descriptors=(listening, output, output),
        )
        return Forked(parent, pid)

    async with single_user(folder, environ, path=path, start=start) as running:
        yield running
