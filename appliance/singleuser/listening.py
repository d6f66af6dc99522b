"""The socket that the spawner made, and the word to systemd that we listen on it.

The spawner binds the socket and hands it over as standard input: its directory isn't writable by
the user, so nobody can put another's socket in its place, and requests wait in the backlog.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping


class NoSocketError(Exception):
    """Standard input isn't a listening unix socket."""


def take_socket(descriptor: int = 0) -> socket.socket:
    """Own the listening socket at `descriptor`, leaving /dev/null there, or raise NoSocketError."""
    try:
        sock = socket.socket(fileno=os.dup(descriptor))
    except OSError as err:
        raise NoSocketError(f"standard input is no socket: {err.strerror}") from err
    if sock.family != socket.AF_UNIX or not _listens(sock):
        sock.close()
        raise NoSocketError("standard input is a socket, but not a listening unix socket")
    sock.settimeout(0)
    # Kernels inherit descriptor 0; none of them may answer in the server's place.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, descriptor)
    os.close(null)
    return sock


def _listens(sock: socket.socket) -> bool:
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def notify(message: str, environ: Mapping[str, str] = os.environ) -> None:
    """Send a message to the service manager, as sd_notify(3), if there is one that listens."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
        contextlib.suppress(OSError),
    ):
        sock.connect(address)
        sock.sendall(message.encode())
