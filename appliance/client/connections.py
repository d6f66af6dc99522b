"""How a client reaches a hub: by a Unix socket of this machine, or by network."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

Connect = Callable[[float], http.client.HTTPConnection]
"""Makes a new connection with a timeout in seconds."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def by_socket(path: Path) -> Connect:
    return lambda timeout: _UnixConnection(path, timeout)


def by_network(scheme: str, host: str, port: int | None) -> Connect:
    """By http or https; certificates are checked against those that the system trusts."""
    if scheme == "https":
        context = ssl.create_default_context()
        return lambda timeout: http.client.HTTPSConnection(
            host, port, timeout=timeout, context=context
        )
    return lambda timeout: http.client.HTTPConnection(host, port, timeout=timeout)
