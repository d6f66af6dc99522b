"""Start JupyterHub's own single-user server: `python -I -m appliance.singleuser.stock`.

`jupyterhub-singleuser` comes as it is from the package jupyterhub. It wants to open a port, where
every local user could knock; so it is told to listen on a unix socket in its unit's own directory,
and systemd-socket-proxyd carries connections there from the socket that the spawner made. This
process becomes the server, so that the unit's end is the server's; a child waits until the server
answers, tells the spawner, and becomes a shell that runs systemd-socket-proxyd.

Standard library only: nothing of the server may be imported before it starts.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

from .listening import NoSocketError, notify, take_socket
from .settings import FRESH_SECONDS, Settings, SettingsError, read_settings

# sysexits.h, as in start.py.
EX_CONFIG: Final = 78

SOCKET_PROXY: Final = Path("/usr/lib/systemd/systemd-socket-proxyd")
# Each open notebook, terminal and kernel is a websocket; systemd's own 256 are soon used up.
CONNECTIONS: Final = 1000
# For each: two sockets and two pipes.
DESCRIPTORS: Final = CONNECTIONS * 6 + 100
# A server that nobody reaches any more must not count as running, so it ends with what carries its
# connections. LISTEN_PID is how systemd's programs know that a socket is meant for them.
CARRY: Final = (
    """sh -c 'LISTEN_PID=$$ exec "$@"' sh "$@"; """
    """echo "the server can't be reached any more and is stopped" >&2; kill "$PPID\""""
)
# SD_LISTEN_FDS_START of sd_listen_fds(3).
_FIRST_DESCRIPTOR: Final = 3
_LOOK_SECONDS: Final = 0.1
# jupyter_server refuses a socket together with any port but its default one. None is opened.
_DEFAULT_PORT: Final = 8888


class CannotStartError(Exception):
    """Something that the machine lacks; the message says what, and what to do."""


def main() -> NoReturn:
    """Become the server, or exit saying what is missing."""
    try:
        settings = read_settings(os.environ)
        listening = take_socket()
        inner = find_place(os.environ)
        check_machine()
    except (SettingsError, NoSocketError, CannotStartError) as err:
        for line in str(err).splitlines():
            print(f"cannot start the single-user server: {line}", file=sys.stderr)  # noqa: T201
        sys.exit(EX_CONFIG)
    server = os.getpid()
    if os.fork() == 0:
        _become_proxy(listening, inner, f"{settings.prefix}api", server)
    os.execve(  # noqa: S606 - no shell is wanted
        sys.executable,
        [sys.executable, "-I", "-m", "jupyterhub.singleuser", *arguments(inner)],
        stock_environment(os.environ, settings),
    )


def find_place(environ: Mapping[str, str]) -> Path:
    """Where the server listens: in a directory that is the user's alone."""
    folder = environ.get("JUPYTER_RUNTIME_DIR", "")
    if not folder:
        raise CannotStartError("JUPYTER_RUNTIME_DIR is not set")
    return Path(folder, "server.sock")


def check_machine() -> None:
    if not SOCKET_PROXY.exists():
        raise CannotStartError(f"{SOCKET_PROXY}, which comes with systemd, is not on this machine")
    if importlib.util.find_spec("jupyterhub") is None:
        raise CannotStartError(f"the package jupyterhub is not installed in {sys.prefix}")


def arguments(inner: Path) -> list[str]:
    """What goes beyond JupyterHub's variables; users' own configuration can't change it."""
    return [
        f"--ServerApp.sock={inner}",
        # Whose account it is, the spawner decides.
        "--ServerApp.allow_root=True",
        # Over TCP every local user could talk to a kernel.
        "--KernelManager.transport=ipc",
        # The longest that a log-out may go unnoticed, as in our own server.
        f"--HubAuth.cache_max_age={FRESH_SECONDS}",
    ]


def stock_environment(environ: Mapping[str, str], settings: Settings) -> dict[str, str]:
    """JupyterHub's variables in full; the token is in no unit's properties, only here."""
    ours = ("NOTIFY_SOCKET", "CREDENTIALS_DIRECTORY")
    return {
        **{name: value for name, value in environ.items() if name not in ours},
        "JUPYTERHUB_API_TOKEN": settings.token,
        "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{_DEFAULT_PORT}{settings.prefix}",
        "JUPYTERHUB_ROOT_DIR": environ.get("HOME", "."),
        "JUPYTERHUB_DEFAULT_URL": "/tree" if settings.front_end == "notebook" else "/lab",
    }


def _become_proxy(listening: socket.socket, inner: Path, path: str, server: int) -> NoReturn:
    """In the child: wait, say READY, carry connections; never return into the caller's code."""
    try:
        while not answers(inner, path):
            if os.getppid() != server:
                os._exit(0)
            time.sleep(_LOOK_SECONDS)
        # Whoever comes in between waits in the socket's backlog.
        notify(f"READY=1\nSTATUS=Serving {path.removesuffix('api')}")
        os.dup2(listening.fileno(), _FIRST_DESCRIPTOR)
        os.set_inheritable(_FIRST_DESCRIPTOR, True)  # noqa: FBT003 - no keyword in C
        _raise_descriptors()
        os.execve(  # noqa: S606 - no shell is wanted
            "/bin/sh",
            [
                *("sh", "-c", CARRY, "sh"),
                *(str(SOCKET_PROXY), f"--connections-max={CONNECTIONS}", str(inner)),
            ],
            {"LISTEN_FDS": "1", "PATH": "/usr/bin:/bin"},
        )
    except BaseException as err:  # noqa: BLE001 - the edge of this process
        print(f"cannot reach the single-user server: {err}", file=sys.stderr)  # noqa: T201
    finally:
        os._exit(1)


def answers(inner: Path, path: str) -> bool:
    """Whether the server gives an answer to a request."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        try:
            client.connect(str(inner))
            client.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            return client.recv(16).startswith(b"HTTP/1.1 ")
        except OSError:
            return False


def _raise_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


if __name__ == "__main__":
    main()
