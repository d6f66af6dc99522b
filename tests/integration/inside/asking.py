"""The preload daemons' protocol, spoken by somebody who need not keep to it; for attack.py."""

from __future__ import annotations

import array
import os
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

# What must be the same of whoever asks and of what was forked for it.
STATUS = (
    "Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "Seccomp_filters", "CapInh", "CapPrm",
    "CapEff", "CapBnd", "CapAmb", "Umask", "Cpus_allowed", "Mems_allowed",
)  # fmt: skip
FILES = ("cgroup", "limits", "oom_score_adj", "setgroups", "uid_map", "loginuid")
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")

SOCKETS = "/run/appliance/preload"
SECONDS = 9.0


def command() -> list[str]:
    """A kernel's command, which the daemon of kernels forks for; KERNEL_PYTHON is its Python."""
    place = f"/tmp/kernel-{os.getpid()}-{time.monotonic_ns()}.json"
    return [os.environ["KERNEL_PYTHON"], "-m", "ipykernel_launcher", "-f", place]


def message(kind: str = "kernel", args: Sequence[str] | None = None, count: str = "") -> bytes:
    words = args if args is not None else command()
    variables = [f"{name}={value}" for name, value in os.environ.items()]
    text = "\0".join([kind, count or str(len(words)), *words, *variables, ""]).encode()
    return len(text).to_bytes(4, "little") + text


def connect(kind: str = "kernel") -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(SECONDS)
    connection.connect(f"{SOCKETS}/{kind}.sock")
    return connection


def send(connection: socket.socket, data: bytes, descriptors: Sequence[int] | None = None) -> None:
    """With standard input, output, error, and the working directory, if nothing else is said."""
    directory = os.open(".", os.O_PATH | os.O_DIRECTORY)
    numbers = [0, 1, 2, directory] if descriptors is None else list(descriptors)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", numbers))]
    # Who is refused at once may be so before having sent all.
    with suppress(BrokenPipeError):
        sent = connection.sendmsg([data[:30000]], ancillary if numbers else [])
        connection.sendall(data[sent:])
    os.close(directory)


def reply(connection: socket.socket) -> str:
    try:
        return connection.recv(1000).decode().strip() or "nothing"
    except TimeoutError:
        return "silence"
    except OSError as error:
        return f"nothing: {error.strerror}"


def ask(
    kind: str = "kernel", data: bytes | None = None, descriptors: Sequence[int] | None = None
) -> str:
    """The answer to one request; a process that was offered ends when the connection closes."""
    try:
        with connect(kind) as connection:
            send(connection, message() if data is None else data, descriptors)
            return reply(connection)
    except OSError as error:
        return f"nothing: {error.strerror}"


def go(connection: socket.socket, offered: str) -> int:
    """Let the offered process run; its number."""
    connection.sendall(b"G")
    connection.close()
    return int(offered.split()[1])


def facts(pid: int | str) -> dict[str, str]:
    """How a process is confined, as far as its owner may see it."""
    process = Path(f"/proc/{pid}")
    lines = (line.partition(":") for line in (process / "status").read_text().splitlines())
    found = {name: value.strip() for name, _, value in lines if name in STATUS}
    found |= {name: (process / name).read_text() for name in FILES}
    return found | {name: os.readlink(process / "ns" / name) for name in NAMESPACES}


def differences(pid: int, mine: dict[str, str] | None = None) -> list[str]:
    """What of the process isn't as it is here."""
    mine = mine or facts("self")
    deadline = time.monotonic() + 5
    while True:
        try:
            theirs = facts(pid)
            return [
                f"{name}: {mine[name]!r}, {theirs[name]!r}"
                for name in mine
                if mine[name] != theirs[name]
            ]
        except OSError as error:
            if time.monotonic() > deadline:
                return [f"cannot look at {pid}: {error}"]
            time.sleep(0.05)


def say(text: object) -> None:
    print(text, flush=True)
    sys.stdout.flush()
