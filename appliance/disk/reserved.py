"""The blocks that ext4 keeps for root, a twentieth of the disk: the hub may use them, too.

Users can't take them, so whoever fills the disk, the hub goes on. And when root has taken them as
well, what the hub gives up of its own is of use to it: to others' eyes the disk is full until all
of the twentieth is free again. A mount option says who else may; it holds until the next boot.

Standard library only.
"""

from __future__ import annotations

import ctypes
import grp
import logging
import os
from pathlib import Path
from typing import Final

from appliance.disk.file_systems import MOUNTS, Mount, mount_of, parse_mounts

log = logging.getLogger("appliance.disk")

GROUP: Final = "appliance-hub"
_KINDS: Final = frozenset({"ext4", "ext3", "ext2"})

_FORGOTTEN: Final = "lazytime"
"""By ext4 of Linux 5.15, unless it is said again."""

# linux/mount.h; the numbers of the calls are the same on every architecture.
_SYS_FSPICK: Final = 433
_SYS_FSCONFIG: Final = 431
_HERE: Final = -100
_CLOSE_ON_EXEC: Final = 1
_SET_FLAG: Final = 0
_SET_STRING: Final = 1
_RECONFIGURE: Final = 7


def share_with_hub(folder: Path, *, mounts: Path = MOUNTS, group: str = GROUP) -> bool:
    """Whether the file system of the hub's folder was told so now.

    A machine that doesn't let us, as a container, stays as it is; so does what an admin chose.
    """
    try:
        mount = mount_of(folder, parse_mounts(mounts.read_text("utf-8", errors="surrogateescape")))
        number = grp.getgrnam(group).gr_gid
        if mount is None or not _is_open(mount):
            return False
        _set_option(mount, "resgid", str(number))
    except (OSError, KeyError) as error:
        log.debug("the hub can't have what the disk keeps for root: %s", error)
        return False
    log.info("the hub may use what the disk of %s keeps for root", mount.point)
    return True


def _is_open(mount: Mount) -> bool:
    return (
        mount.kind in _KINDS
        and "ro" not in mount.options
        and not any(option.startswith(("resuid=", "resgid=")) for option in mount.options)
    )


def _set_option(mount: Mount, name: str, value: str) -> None:
    """Change one option and nothing else, as mount(8) can't: it reads fstab, and sees the sandbox's
    flags for the file system's."""
    descriptor = _call(
        _SYS_FSPICK, ctypes.c_int(_HERE), os.fsencode(mount.point), ctypes.c_uint(_CLOSE_ON_EXEC)
    )
    try:
        if _FORGOTTEN in mount.options:
            _configure(descriptor, _SET_FLAG, _FORGOTTEN.encode(), None)
        _configure(descriptor, _SET_STRING, name.encode(), value.encode())
        _configure(descriptor, _RECONFIGURE, None, None)
    finally:
        os.close(descriptor)


def _configure(descriptor: int, command: int, key: bytes | None, value: bytes | None) -> None:
    _call(
        _SYS_FSCONFIG, ctypes.c_int(descriptor), ctypes.c_uint(command), key, value, ctypes.c_int(0)
    )


def _call(number: int, *arguments: ctypes._SimpleCData[int] | bytes | None) -> int:
    done: int = ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *arguments)
    if done < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return done
