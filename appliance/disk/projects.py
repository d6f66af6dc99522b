"""Which project a class's files belong to: what makes a file system count them together.

Standard library only.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

_GET: Final = 0x801C581F
_SET: Final = 0x401C5820
_FORMAT: Final = "IIIII8x"
_INHERIT: Final = 0x200
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A fifo would wait for somebody who writes to it.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def project_of(folder: Path) -> int:
    """The project of a folder whose new files get it too; 0 for none. Raises OSError."""
    descriptor = os.open(folder, _FOLDER)
    try:
        flags, number = _read(descriptor)
        return number if flags & _INHERIT else 0
    finally:
        os.close(descriptor)


def give_project(folder: Path, number: int) -> None:
    """Put a folder, what is in it and what will be into a project; raises OSError.

    The folder itself comes last: as long as it has no project, this isn't done.
    """
    descriptor = os.open(folder, _FOLDER)
    try:
        _give_inner(descriptor, number)
        _give(descriptor, number, is_folder=True)
    finally:
        os.close(descriptor)


def _give_inner(top: int, number: int) -> None:
    """Each folder before what it holds, so that nothing new in it is missed."""
    stack = [os.dup(top)]
    try:
        while stack:
            folder = stack.pop()
            try:
                stack += _give_in(folder, number)
            finally:
                os.close(folder)
    finally:
        for folder in stack:
            os.close(folder)


def _give_in(folder: int, number: int) -> list[int]:
    inner = []
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    for name in names:
        with suppress(OSError):
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                descriptor = os.open(name, _FOLDER, dir_fd=folder)
                inner.append(descriptor)
                _give(descriptor, number, is_folder=True)
            elif stat.S_ISREG(status.st_mode):
                descriptor = os.open(name, _FILE, dir_fd=folder)
                try:
                    _give(descriptor, number, is_folder=False)
                finally:
                    os.close(descriptor)
    return inner


def _read(descriptor: int) -> tuple[int, int]:
    try:
        packed = fcntl.ioctl(descriptor, _GET, bytes(struct.calcsize(_FORMAT)))
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.ENOTSUP):
            return 0, 0
        raise
    flags, _size, _extents, number, _copies = struct.unpack(_FORMAT, packed)
    return flags, number


def _give(descriptor: int, number: int, *, is_folder: bool) -> None:
    packed = fcntl.ioctl(descriptor, _GET, bytes(struct.calcsize(_FORMAT)))
    flags, size, extents, before, copies = struct.unpack(_FORMAT, packed)
    wanted = flags | _INHERIT if is_folder else flags
    if (before, flags) != (number, wanted):
        fcntl.ioctl(descriptor, _SET, struct.pack(_FORMAT, wanted, size, extents, number, copies))
