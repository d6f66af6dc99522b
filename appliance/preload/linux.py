"""The calls of Linux that Python 3.11 has no name for, by ctypes.

libc is loaded when this module is: nothing may be loaded between entering a user's mount namespace
and becoming that user. Every function raises OSError with the name of the call.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long
_LIBC.ptrace.restype = ctypes.c_long
_LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_LIBC.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]

# <asm/unistd.h> of x86-64, and of arm64 and what shares its table.
_NUMBERS: Final = {
    "x86_64": {"keyctl": 250, "ioprio_set": 251, "ioprio_get": 252},
    "aarch64": {"keyctl": 219, "ioprio_set": 30, "ioprio_get": 31},
}
_SYSCALLS: Final = _NUMBERS.get(os.uname().machine, {})

# The manual's page ptrace.
PTRACE_DETACH: Final = 17
PTRACE_SEIZE: Final = 0x4206
PTRACE_INTERRUPT: Final = 0x4207
PTRACE_SECCOMP_GET_FILTER: Final = 0x420C
# Of waitpid: wait for a tracee whatever it was cloned with.
WALL: Final = 0x40000000

# The manual's page prctl.
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NAME: Final = 15
_PR_SET_SECCOMP: Final = 22
_PR_CAPBSET_DROP: Final = 24
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2

# The manual's pages: keyctl, ioprio_set, ioctl_ns.
_KEYCTL_JOIN_SESSION_KEYRING: Final = 1
_IOPRIO_WHO_PROCESS: Final = 1
_NS_GET_USERNS: Final = 0xB701
# A kernel without keyrings, and a container's own filter.
_NO_KEYRINGS: Final = (errno.ENOSYS, errno.EPERM)

# <linux/capability.h>: effective, permitted, inheritable, each twice 32 bits.
_CAPABILITY_VERSION_3: Final = 0x20080522
_CAPABILITY_SETS_BYTES: Final = 24

# unix(7); <asm-generic/socket.h> has the second one from Linux 6.5 on.
SO_PEERPIDFD: Final = 77
CREDENTIALS: Final = struct.Struct("3i")


class _Program(ctypes.Structure):
    """struct sock_fprog of seccomp(2)."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def is_known_machine() -> bool:
    """Whether the numbers of the system calls are known here."""
    return bool(_SYSCALLS)


def _checked(result: int, what: str) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def ptrace(
    request: int, pid: int, address: int = 0, data: ctypes.Array[ctypes.c_char] | None = None
) -> int:
    return _checked(_LIBC.ptrace(request, pid, ctypes.c_void_p(address), data), "ptrace")


def setns(descriptor: int, kind: int) -> None:
    """Enter the namespace behind the descriptor; `kind` is its CLONE_NEW… flag."""
    _checked(_LIBC.setns(descriptor, kind), "setns")


def owner_of_namespace(descriptor: int) -> int:
    """A descriptor of the user namespace that owns the namespace."""
    return int(fcntl.ioctl(descriptor, _NS_GET_USERNS))


def drop_from_bounding_set(capability: int) -> None:
    _checked(_LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0), "prctl(PR_CAPBSET_DROP)")


def drop_all_capabilities() -> None:
    """Empty all sets but the bounding one; capset(2).

    Changing the user empties those that count now, and not what programs would inherit, of which
    systemd 257 gives root's services all that they may have.
    """
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    _checked(_LIBC.capset(header, bytes(_CAPABILITY_SETS_BYTES)), "capset")


def set_no_new_privileges() -> None:
    _checked(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")


def set_dumpable() -> None:
    """Let /proc/self belong to whom this process now belongs to."""
    _checked(_LIBC.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl(PR_SET_DUMPABLE)")


def add_filter(program: ctypes.Array[ctypes.c_char]) -> None:
    """Install a seccomp program; its length in bytes is a multiple of 8."""
    found = _Program(len(program) // 8, ctypes.addressof(program))
    address = ctypes.addressof(found)
    _checked(_LIBC.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, address, 0, 0), "seccomp")


def join_new_session_keyring() -> None:
    """Leave the keyring of root's daemon; a kernel without keyrings has none to leave."""
    result = _LIBC.syscall(_SYSCALLS["keyctl"], _KEYCTL_JOIN_SESSION_KEYRING, None)
    if result == -1 and ctypes.get_errno() not in _NO_KEYRINGS:
        _checked(result, "keyctl")


def io_priority(pid: int) -> int:
    number = _SYSCALLS["ioprio_get"]
    return _checked(_LIBC.syscall(number, _IOPRIO_WHO_PROCESS, pid), "ioprio_get")


def set_io_priority(value: int) -> None:
    _checked(_LIBC.syscall(_SYSCALLS["ioprio_set"], _IOPRIO_WHO_PROCESS, 0, value), "ioprio_set")


def set_title(words: Sequence[str]) -> None:
    """Be shown as a process with these arguments by ps(1), as far as there is room.

    They are written over the first arguments, and on over the first environment; then Linux takes
    it all for one line (proc_pid_cmdline(5)). libc must not use that environment any more.
    """
    fields = Path("/proc/self/stat").read_bytes().rsplit(b")", 1)[1].split()
    start, arguments_end, end = int(fields[45]), int(fields[46]), int(fields[48])
    if not 0 < start < arguments_end <= end:
        return
    encoded = [os.fsencode(word) for word in words]
    text = b"\0".join(encoded)
    if len(text) >= arguments_end - start:
        text = b" ".join(encoded)[: end - start - 1]
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, text, len(text))
