"""Who asks for a process: everything that the new one must have in common with it.

The kernel says who holds the other end of a connection. What /proc says of that process is worth
something only while it lives, so its pidfd is opened first and asked last. What could change in
between to a malicious user's gain is held by descriptors: namespaces above all, since this process
will enter them while it is still root.
"""

from __future__ import annotations

import os
import re
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import linux
from .seccomp import CannotCopyError, Program, read_filters

CGROUPS: Final = Path("/sys/fs/cgroup")
# Only servers' units, and not below them: there, a unit with Delegate= would be the user's to make.
_UNIT: Final = re.compile(
    r"/appliance\.slice/appliance-users\.slice/appliance-user-[^/]+\.service", re.ASCII
)

# <linux/sched.h>; the order of entering: mounts last, because /proc changes with them.
NAMESPACES: Final = {
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "net": 0x40000000,
    "mnt": 0x00020000,
}
# Entering these would take more than setns; a process that has its own of them starts cold.
_COMMON_NAMESPACES: Final = ("user", "pid", "pid_for_children", "time", "time_for_children")
# What no server's unit changes, so that it need not be copied: it must be as it is here.
_COMMON_FILES: Final = ("attr/current", "personality", "coredump_filter", "timerslack_ns")
_NO_CAPABILITIES: Final = ("CapInh", "CapPrm", "CapEff", "CapAmb")
# Of proc_pid_stat(5), counted from the state; <linux/sched.h>.
_FLAGS: Final = 6
_IS_EXITING: Final = 0x4
_PENDING: Final = 28
_KILL: Final = 1 << signal.SIGKILL - 1
_UNLIMITED: Final = -1
_LIMITS: Final = 16


class RefusedError(Exception):
    """This process gets nothing; the message says why, without secrets."""


@dataclass(frozen=True, slots=True)
class Own:
    """What peers are compared with: this daemon."""

    pid: int
    namespaces: dict[str, tuple[int, int]]
    files: dict[str, bytes]
    bounding_set: int
    limits: tuple[tuple[int, int], ...]

    @classmethod
    def read(cls) -> Own:
        folder = f"/proc/{os.getpid()}"
        return cls(
            pid=os.getpid(),
            namespaces={name: _identity(f"{folder}/ns/{name}") for name in _names(folder)},
            files={name: _read_optional(f"{folder}/{name}") for name in _COMMON_FILES},
            bounding_set=int(_status(folder)["CapBnd"], 16),
            limits=_limits(folder),
        )


@dataclass(frozen=True, slots=True)
class Peer:
    """A process of a user's server, and what confines it."""

    pid: int
    pidfd: int
    uid: int
    gid: int
    groups: tuple[int, ...]
    cgroup: int
    """Descriptor of cgroup.procs of its unit."""
    root: tuple[int, int]
    """Device and inode of its root directory."""
    namespaces: tuple[tuple[int, int], ...]
    """Descriptor and flag of each that differs from ours."""
    limits: tuple[tuple[int, int], ...]
    oom_score_adj: bytes
    nice: int
    scheduler: int
    scheduler_priority: int
    affinity: frozenset[int]
    io_priority: int
    umask: int
    no_new_privileges: bool
    bounding_set: int
    filters: tuple[Program, ...]


def credentials(connection: socket.socket) -> tuple[int, int, int]:
    """Process, user and group of whoever connected; SO_PEERCRED of unix(7)."""
    size = linux.CREDENTIALS.size
    pid, uid, gid = linux.CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    return pid, uid, gid


def inspect(connection: socket.socket, own: Own) -> Peer:
    """All about the process at the other end; raises RefusedError, or OSError if it goes away."""
    pid, uid, gid = credentials(connection)
    if uid == 0 or gid == 0:
        raise RefusedError("it belongs to root")
    pidfd = _open_process(connection, pid)
    folder = f"/proc/{pid}"
    status = _status(folder)
    _check_status(status, uid, gid)
    path = _unit_path(folder)
    namespaces = _namespaces(folder, own)
    for name, ours in own.files.items():
        if _read_optional(f"{folder}/{name}") != ours:
            raise RefusedError(f"its {name} is not the daemon's")
    bounding_set = int(status["CapBnd"], 16)
    if bounding_set & ~own.bounding_set:
        raise RefusedError("it has capabilities in its bounding set that the daemon lacks")
    root = os.stat(f"{folder}/root")
    scheduler = os.sched_getscheduler(pid)
    peer = Peer(
        pid=pid,
        pidfd=pidfd,
        uid=uid,
        gid=gid,
        groups=tuple(int(number) for number in status["Groups"].split()),
        cgroup=os.open(f"{CGROUPS}{path}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC),
        root=(root.st_dev, root.st_ino),
        namespaces=namespaces,
        limits=_limits(folder),
        oom_score_adj=_read(f"{folder}/oom_score_adj"),
        nice=os.getpriority(os.PRIO_PROCESS, pid),
        scheduler=scheduler,
        scheduler_priority=os.sched_getparam(pid).sched_priority,
        affinity=frozenset(os.sched_getaffinity(pid)),
        io_priority=linux.io_priority(pid),
        umask=int(status["Umask"], 8),
        no_new_privileges=status["NoNewPrivs"] == "1",
        bounding_set=bounding_set,
        filters=_filters(pid, status),
    )
    # It still lives, so nothing of the above was another's with the same number.
    signal.pidfd_send_signal(pidfd, 0)
    return peer


def is_ending(peer: Peer) -> bool:
    """Whether it has ended, or begun to, or been killed and not noticed yet."""
    try:
        fields = _read(f"/proc/{peer.pid}/stat").rpartition(b")")[2].split()
        # If not, that was another one's of the same number.
        signal.pidfd_send_signal(peer.pidfd, 0)
    except OSError:
        return True
    return bool(int(fields[_FLAGS]) & _IS_EXITING or int(fields[_PENDING]) & _KILL)


def _open_process(connection: socket.socket, pid: int) -> int:
    """The kernel's own descriptor of the peer where it has one (Linux 6.5), else by number.

    By number, it may be a later process of that number; that one passes only if it is in a unit of
    the same user, who then gains nothing.
    """
    try:
        return connection.getsockopt(socket.SOL_SOCKET, linux.SO_PEERPIDFD)
    except OSError:
        return os.pidfd_open(pid)


def _check_status(status: dict[str, str], uid: int, gid: int) -> None:
    if {int(number) for number in status["Uid"].split()} != {uid}:
        raise RefusedError("it has more than one user id")
    if {int(number) for number in status["Gid"].split()} != {gid}:
        raise RefusedError("it has more than one group id")
    if any(int(status[name], 16) for name in _NO_CAPABILITIES):
        raise RefusedError("it has capabilities")


def _unit_path(folder: str) -> str:
    """Its cgroup, if that is the one of a server's unit; proc_pid_cgroup(5).

    Below a login's own cgroup people name cgroups as they like.
    """
    path = next((line[3:] for line in _lines(f"{folder}/cgroup") if line.startswith("0::")), "")
    if _UNIT.fullmatch(path) and ".." not in path.split("/"):
        return path
    raise RefusedError("it does not belong to the unit of a user's server")


def _namespaces(folder: str, own: Own) -> tuple[tuple[int, int], ...]:
    for name in _COMMON_NAMESPACES:
        if name in own.namespaces and _identity(f"{folder}/ns/{name}") != own.namespaces[name]:
            raise RefusedError(f"its {name} namespace is not the daemon's")
    found = []
    for name, flag in NAMESPACES.items():
        descriptor = os.open(f"{folder}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) == own.namespaces[name]:
            os.close(descriptor)
            continue
        # One made in a user namespace of the user's own would be full of traps for root.
        owner = linux.owner_of_namespace(descriptor)
        owned = os.fstat(owner)
        os.close(owner)
        if (owned.st_dev, owned.st_ino) != own.namespaces["user"]:
            raise RefusedError(f"its {name} namespace was made in another user namespace")
        found.append((descriptor, flag))
    return tuple(found)


def _filters(pid: int, status: dict[str, str]) -> tuple[Program, ...]:
    mode = status.get("Seccomp", "0")
    if mode == "0":
        return ()
    if mode != "2":
        raise RefusedError("it is in strict seccomp mode")
    if status["NoNewPrivs"] != "1":
        raise RefusedError("it has system call filters and may gain privileges")
    try:
        return tuple(read_filters(pid))
    except CannotCopyError as err:
        raise RefusedError(str(err)) from err


def _names(folder: str) -> list[str]:
    wanted = (*_COMMON_NAMESPACES, *NAMESPACES)
    return [name for name in wanted if os.path.lexists(f"{folder}/ns/{name}")]


def _identity(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _status(folder: str) -> dict[str, str]:
    """proc_pid_status(5)"""
    pairs = (line.partition(":") for line in _lines(f"{folder}/status"))
    return {name: value.strip() for name, _, value in pairs}


def _limits(folder: str) -> tuple[tuple[int, int], ...]:
    """Soft and hard limits by number; proc_pid_limits(5) has fixed columns in that order."""
    lines = _lines(f"{folder}/limits")[1:]
    if len(lines) != _LIMITS:
        raise RefusedError("this kernel has limits that the daemon does not know")
    return tuple((_limit(line[26:47]), _limit(line[47:68])) for line in lines)


def _limit(text: str) -> int:
    return _UNLIMITED if text.strip() == "unlimited" else int(text)


def _lines(path: str) -> list[str]:
    r"""Lines as the kernel makes them; str.splitlines() would take a name's "\x0b" for an end."""
    return _read(path).decode(errors="replace").removesuffix("\n").split("\n")


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 1 << 16)
    finally:
        os.close(descriptor)


def _read_optional(path: str) -> bytes:
    """Empty where this kernel has no such file, or nothing to say in it."""
    try:
        return _read(path)
    except OSError:
        return b""
