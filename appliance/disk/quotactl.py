"""quotactl(2) by a folder's descriptor: the same calls for ext4 and XFS, and no device is needed.

Standard library only. Reading one's own numbers and the state is everybody's; all else is root's.
"""

from __future__ import annotations

import ctypes
import errno
import os
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

# The same on every architecture that Linux got it for.
_SYS_QUOTACTL_FD: Final = 443

_GET_QUOTA: Final = 0x800007
_SET_QUOTA: Final = 0x800008
_TURN_ON: Final = 0x5801
_GET_STATE: Final = 0x5808

_BLOCK: Final = 1024
_LIMITS: Final = 1 | 4
_STATE_VERSION: Final = 1


class Kind(IntEnum):
    """By whom files are counted."""

    USER = 0
    PROJECT = 2

    @property
    def counted_flag(self) -> int:
        return 1 << (2 * self)

    @property
    def enforced_flag(self) -> int:
        return 2 << (2 * self)


class QuotaError(Exception):
    """The kernel said no; `why` is a sentence."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.why = _WHY.get(number, os.strerror(number))
        super().__init__(self.why)


_WHY: Final = {
    errno.ENOSYS: "quotas are not turned on",
    errno.EPERM: "this machine doesn't let us ask for quotas; in a container, its host must",
    errno.ESRCH: "quotas are not turned on",
    errno.EROFS: "the file system is mounted for reading only",
    errno.EINVAL: "the file system has no quotas of this kind",
    errno.ENOTSUP: "the file system has no quotas of this kind",
}


class _Numbers(ctypes.Structure):
    """struct if_dqblk."""

    _fields_ = (
        ("bytes_limit", ctypes.c_uint64),
        ("bytes_soft", ctypes.c_uint64),
        ("bytes_used", ctypes.c_uint64),
        ("files_limit", ctypes.c_uint64),
        ("files_soft", ctypes.c_uint64),
        ("files_used", ctypes.c_uint64),
        ("bytes_time", ctypes.c_uint64),
        ("files_time", ctypes.c_uint64),
        ("valid", ctypes.c_uint32),
    )


class _State(ctypes.Structure):
    """struct fs_quota_statv; of the rest, which is about files and times, only the size matters."""

    _fields_ = (
        ("version", ctypes.c_int8),
        ("pad", ctypes.c_uint8),
        ("flags", ctypes.c_uint16),
        ("rest", ctypes.c_uint8 * 156),
    )


@dataclass(frozen=True, slots=True)
class State:
    """What is counted on a file system, and where more than the limit is refused."""

    counted: frozenset[Kind]
    enforced: frozenset[Kind]


@dataclass(frozen=True, slots=True)
class Quota:
    """What one user or project uses and may; a limit of 0 is none."""

    used: int = 0
    files: int = 0
    limit: int = 0
    files_limit: int = 0


def read_state(folder: Path) -> State:
    """Raises QuotaError."""
    said = _State(version=_STATE_VERSION)
    _call(folder, _GET_STATE, Kind.USER, 0, said)
    return State(
        counted=frozenset(kind for kind in Kind if said.flags & kind.counted_flag),
        enforced=frozenset(kind for kind in Kind if said.flags & kind.enforced_flag),
    )


def enforce(folder: Path, kind: Kind) -> None:
    """Refuse from now on what is only counted so far; raises QuotaError."""
    _call(folder, _TURN_ON, kind, 0, ctypes.c_uint32(kind.enforced_flag))


def read_quota(folder: Path, kind: Kind, number: int) -> Quota:
    """All zeros for whoever has nothing there; raises QuotaError."""
    said = _Numbers()
    try:
        _call(folder, _GET_QUOTA, kind, number, said)
    except QuotaError as error:
        if error.number == errno.ENOENT:
            return Quota()
        raise
    return Quota(
        used=said.bytes_used,
        files=said.files_used,
        limit=said.bytes_limit * _BLOCK,
        files_limit=said.files_limit,
    )


def set_quota(folder: Path, kind: Kind, number: int, *, limit: int, files_limit: int) -> None:
    """Limits that are never passed; 0 is none. Raises QuotaError."""
    told = _Numbers(
        bytes_limit=-(-limit // _BLOCK), files_limit=files_limit, valid=_LIMITS
    )  # fmt: skip
    _call(folder, _SET_QUOTA, kind, number, told)


def _call(folder: Path, command: int, kind: Kind, number: int, argument: ctypes._CDataType) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        done = library.syscall(
            ctypes.c_long(_SYS_QUOTACTL_FD),
            ctypes.c_uint(descriptor),
            ctypes.c_uint((command << 8) | kind),
            ctypes.c_uint(number),
            ctypes.byref(argument),
        )
        if done != 0:
            raise QuotaError(ctypes.get_errno())
    finally:
        os.close(descriptor)
