"""How much of the disk the server's own user may still fill, asked of the file system.

Linux tells everybody their own numbers. Where there are no quotas there is nothing to say.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

from .control_group import Item

# quotactl_fd(2), which has the same number everywhere, with Q_GETQUOTA for a user.
_SYSCALL: Final = 443
_COMMAND: Final = 0x800007 << 8
# struct if_dqblk: of its numbers the limit in blocks of 1024 bytes, and the bytes that are used.
_FORMAT: Final = "8QI4x"
_BLOCK: Final = 1024


def own_quota(folder: str | None = None) -> Item | None:
    """What the home's file system says; nothing without a limit."""
    try:
        descriptor = os.open(folder or os.path.expanduser("~"), os.O_RDONLY | os.O_DIRECTORY)  # noqa: PTH111
    except OSError:
        return None
    answer = ctypes.create_string_buffer(struct.calcsize(_FORMAT))
    try:
        failed = ctypes.CDLL(None).syscall(
            ctypes.c_long(_SYSCALL),
            ctypes.c_uint(descriptor),
            ctypes.c_uint(_COMMAND),
            ctypes.c_uint(os.getuid()),
            answer,
        )
    finally:
        os.close(descriptor)
    if failed:
        return None
    limit, _soft, used, *_ = struct.unpack(_FORMAT, answer.raw)
    return Item("disk", used, limit * _BLOCK, "bytes") if limit else None
