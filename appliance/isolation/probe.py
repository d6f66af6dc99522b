"""What a curious student tries, run in a kernel of a real server; `run` tries one after the other.

It is text that the kernel gets, so it stands alone. What comes of a try is only told here: whether
it did harm is for root to judge (`attempts.py`), who looks at what was tried, and not at what is
said.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import http.client
import json
import os
import signal
import socket
import stat
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SECONDS = 3.0
_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000
_PTRACE_ATTACH = 16
_KEYCTL_READ = 11
# <asm/unistd.h> of x86-64, and of arm64 and what shares its table.
_KEYCTL = {"x86_64": 250}.get(os.uname().machine, 219)


def read(path: str) -> str:
    with Path(path).open("rb") as file:
        return file.read(200).decode(errors="replace")


def list_folder(path: str) -> str:
    return " ".join(sorted(one.name for one in Path(path).iterdir()))[:500]


def write(path: str) -> str:
    Path(path).write_text("written by the isolation test\n")
    return "written"


def processes_of_others() -> str:
    """The numbers of processes that belong to others."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if entry.stat().st_uid != os.getuid():
                    found.append(entry.name)
            except OSError:
                continue
    return " ".join(found[:50])


def stop(pid: int) -> str:
    os.kill(pid, signal.SIGSTOP)
    return "stopped"


def trace(pid: int) -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(_PTRACE_ATTACH, pid, 0, 0) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return "attached"


def connect_unix(path: str) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_SECONDS)
        client.connect(path)
    return "connected"


def connect_tcp(host: str, port: int) -> str:
    with socket.create_connection((host, port), timeout=_SECONDS):
        return "connected"


def ask_hub(socket_path: str, method: str, path: str) -> str:
    """A request through the API's socket, with the server's own token."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    token = os.environ.get("JUPYTERHUB_API_TOKEN", "")
    if not token and folder:
        token = read(f"{folder}/token").strip()
    client = http.client.HTTPConnection("localhost", timeout=_SECONDS)
    client.sock = socket.socket(socket.AF_UNIX)
    client.sock.settimeout(_SECONDS)
    client.sock.connect(socket_path)
    client.request(method, path, headers={"Authorization": f"token {token}"})
    return str(client.getresponse().status)


def run_program(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=15, check=False, stdin=subprocess.DEVNULL
    )
    said = " ".join((done.stdout + done.stderr).split())[:300]
    if done.returncode:
        raise PermissionError(errno.EPERM, said or f"exit status {done.returncode}")
    return said or "done"


def unshare(flags: int) -> str:
    child = os.fork()
    if not child:
        libc = ctypes.CDLL(None, use_errno=True)
        os._exit(ctypes.get_errno() if libc.unshare(flags) == -1 else 0)
    number = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if number:
        raise OSError(number, os.strerror(number))
    return "made"


def mount(folder: str) -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", folder.encode(), b"tmpfs", 0, None) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return "mounted"


def set_uid_file(path: str) -> str:
    file = Path(path)
    file.touch()
    file.chmod(0o4755)
    return "made" if file.stat().st_mode & stat.S_ISUID else "ignored"


def read_those_of_others(*folders: str) -> str:
    """The beginnings of files in these folders that belong to somebody else."""
    found = []
    refused: OSError = FileNotFoundError(errno.ENOENT, "there is nothing of others")
    for folder in folders:
        try:
            others = [one for one in Path(folder).iterdir() if one.lstat().st_uid != os.getuid()]
        except OSError as error:
            refused = error
            continue
        for file in others:
            try:
                found.append(f"{file}: {read(str(file))}")
            except OSError as error:
                refused = error
    if not found:
        raise refused
    return " ".join(found)[:500]


def read_key(number: int) -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    held = ctypes.create_string_buffer(200)
    length = libc.syscall(
        ctypes.c_long(_KEYCTL), ctypes.c_long(_KEYCTL_READ), ctypes.c_long(number), held,
        ctypes.c_long(200),
    )  # fmt: skip
    if length == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return held.raw[:length].decode(errors="replace")


def ask_preload_daemon(path: str, pid: int) -> str:
    """Ask for a process as if another process had asked, and with what is no request."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_SECONDS)
        client.connect(path)
        whose = struct.pack("3i", pid, os.getuid(), os.getgid())
        descriptors = array.array("i", [0, 1, 2])
        with contextlib.suppress(PermissionError):
            client.sendmsg(
                [b"as another"],
                [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, whose)],
            )
        client.sendmsg([b"\0\xff" * 512], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
        client.shutdown(socket.SHUT_WR)
        return client.recv(400).decode(errors="replace").strip() or "no answer"


def own_status() -> str:
    """What root compares with what it sees itself."""
    return str(os.getpid())


TRIES: dict[str, Callable[..., str]] = {
    "read": read,
    "list": list_folder,
    "write": write,
    "others": processes_of_others,
    "stop": stop,
    "trace": trace,
    "unix": connect_unix,
    "tcp": connect_tcp,
    "hub": ask_hub,
    "run": run_program,
    "unshare": unshare,
    "mount": mount,
    "setuid": set_uid_file,
    "others-files": read_those_of_others,
    "key": read_key,
    "preload": ask_preload_daemon,
    "self": own_status,
}


def run(tries: dict[str, list[Any]]) -> str:
    """JSON of what came of each: whether it was done, what was said, and the error's name."""
    found = {}
    for name, (kind, *arguments) in tries.items():
        try:
            found[name] = [True, TRIES[kind](*arguments), ""]
        except subprocess.TimeoutExpired:
            found[name] = [False, "it did not end", "ETIMEDOUT"]
        except (OSError, http.client.HTTPException) as error:
            number = getattr(error, "errno", None)
            name_of = "ETIMEDOUT" if isinstance(error, TimeoutError) else ""
            found[name] = [False, str(error), name_of or errno.errorcode.get(number or 0, "")]
    return json.dumps(found)
