"""Kernels for a user's server from the preload daemon; cold ones wherever it has none to give.

Only how a kernel is launched differs from jupyter_client's own provisioner. Which kernels can be
forked the daemon decides; here it is asked only for those of this environment's own Python.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jupyter_client.provisioning import LocalProvisioner

from .client import Cold, Offer, ask

SOCKET_VARIABLE: Final = "APPLIANCE_KERNEL_SOCKET"
KIND: Final = "kernel"
_LAUNCHER: Final = ["-m", "ipykernel_launcher", "-f"]
# Longer than a fork takes on a machine where a whole class starts kernels at once.
_PATIENCE_SECONDS: Final = 5.0
_OUTPUTS: Final = (("stdout", 1), ("stderr", 2))
_COLD: Final = "Starting a kernel without preloading: %s"
# What launch_kernel() can be told that a forked kernel can follow.
_FOLLOWED: Final = frozenset({"cwd", "env", "stdout", "stderr", "kernel_id", "extra_arguments"})

_told: Final[set[str]] = set()


class PreloadProvisioner(LocalProvisioner):  # type: ignore[misc]
    """Asks for a forked kernel, and launches one itself if there is none."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> dict[str, Any]:
        connection: dict[str, Any]
        try:
            self.process = await _forked(cmd, kwargs)
        except Cold as err:
            # Once for each reason is enough in the log of a server with many kernels.
            self.log.log(logging.DEBUG if str(err) in _told else logging.INFO, _COLD, err)
            _told.add(str(err))
            connection = await super().launch_kernel(cmd, **kwargs)
            return connection
        # Forked kernels lead a session and a process group of their own, as cold ones do.
        self.pid = self.pgid = self.process.pid
        self.cwd = kwargs.get("cwd", Path.cwd())
        connection = self.connection_info
        return connection


class ForkedKernel:
    """What subprocess.Popen is to a kernel that one has started oneself."""

    # Nothing of it is ours to close.
    stdin = stdout = stderr = None

    def __init__(self, offer: Offer) -> None:
        self.pid: int = offer.pid
        self._pidfd: int | None = offer.pidfd
        self.returncode: int | None = None

    def __del__(self) -> None:
        self._close()

    def poll(self) -> int | None:
        """None while it runs. Its exit status is its parent's to know, and that is PID 1."""
        if self._pidfd is not None and self._has_ended(0):
            self._close()
            self.returncode = 0
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        if self._pidfd is not None and not self._has_ended(timeout):
            raise TimeoutError(f"the kernel is still there after {timeout} seconds")
        return self.poll()

    def send_signal(self, number: int) -> None:
        """Does nothing when the kernel is gone, as Popen's does."""
        if self.poll() is None and self._pidfd is not None:
            signal.pidfd_send_signal(self._pidfd, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _has_ended(self, timeout: float | None) -> bool:
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)  # type: ignore[arg-type]
        return bool(poll.poll(None if timeout is None else timeout * 1000))

    def _close(self) -> None:
        descriptor, self._pidfd = self._pidfd, None
        if descriptor is not None:
            os.close(descriptor)


async def _forked(cmd: list[str], kwargs: Mapping[str, Any]) -> ForkedKernel:
    """Ask in a thread: the answer takes a fork, and the server has others to serve meanwhile."""
    asking = asyncio.ensure_future(asyncio.to_thread(_fork, _socket(cmd, kwargs), cmd, kwargs))
    try:
        return await asyncio.shield(asking)
    except asyncio.CancelledError:
        # Nobody would know of this kernel any more.
        asking.add_done_callback(_kill)
        raise


def _kill(asked: asyncio.Future[ForkedKernel]) -> None:
    if not asked.cancelled() and asked.exception() is None:
        asked.result().kill()


def _socket(cmd: list[str], kwargs: Mapping[str, Any]) -> str:
    """Where to ask for this kernel; raises Cold if there is no use in asking."""
    path = os.environ.get(SOCKET_VARIABLE)
    if not path:
        raise Cold("kernels are not preloaded here")
    if cmd[0] != sys.executable or cmd[-4:-1] != _LAUNCHER:
        raise Cold("it is another kernel than the environment's own")
    unknown = {name for name, value in kwargs.items() if value is not None} - _FOLLOWED
    if unknown:
        raise Cold(f"{', '.join(sorted(unknown))} asked for")
    return path


def _fork(path: str, cmd: list[str], kwargs: Mapping[str, Any]) -> ForkedKernel:
    given = kwargs.get("env")
    environ = dict(os.environ if given is None else given)
    # As launch_kernel() does; ipykernel's name for the server that it belongs to.
    environ["JPY_PARENT_PID"] = str(os.getpid())
    outputs = [_descriptor(kwargs.get(name), default) for name, default in _OUTPUTS]
    reader, writer = os.pipe()
    # What a kernel reads from its standard input is the end of it.
    os.close(writer)
    try:
        offer = ask(
            path, KIND, [os.path.expanduser(word) for word in cmd], environ, (reader, *outputs),
            cwd=kwargs.get("cwd") or ".", timeout=_PATIENCE_SECONDS,
        )  # fmt: skip
        offer.accept()
    finally:
        os.close(reader)
    return ForkedKernel(offer)


def _descriptor(given: Any, default: int) -> int:
    """The number of a file that was given as Popen takes it; raises Cold for a pipe to be made."""
    if given is None:
        return default
    if hasattr(given, "fileno"):
        return int(given.fileno())
    if isinstance(given, int) and given >= 0:
        return given
    raise Cold("a pipe to it is asked for")
