"""POSIX access lists as Linux keeps them in extended attributes (acl(5), xattr(7)).

They let several people into a folder whatever the umask of their programs: users' servers run with
0077, so that nothing of theirs is readable by accident, and a default list takes its place.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from appliance.errors import SpawnRefused

ACCESS: Final = "system.posix_acl_access"
DEFAULT: Final = "system.posix_acl_default"

READ: Final = 4
WRITE: Final = 2
ENTER: Final = 1
LOOK: Final = READ | ENTER
CHANGE: Final = READ | WRITE | ENTER

# <linux/posix_acl_xattr.h>
_VERSION: Final = 2
_HEAD: Final = struct.Struct("<I")
_ENTRY: Final = struct.Struct("<HHI")
_OWNER, _USER, _OWNING_GROUP, _GROUP, _MASK, _OTHER = 1, 2, 4, 8, 16, 32
_NOBODY: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Grant:
    """What one user or one group may do besides the owner, who may do everything."""

    permissions: int
    group: int | None = None
    user: int | None = None


def pack(grants: Iterable[Grant]) -> bytes:
    """An attribute's value: the owner everything, these what they are granted, others nothing."""
    users = sorted((grant.user, grant.permissions) for grant in grants if grant.user is not None)
    groups = sorted((one.group, one.permissions) for one in grants if one.group is not None)
    mask = 0
    for _, permissions in (*users, *groups):
        mask |= permissions
    # The kernel wants them in this order.
    rows = [
        (_OWNER, CHANGE, _NOBODY),
        *((_USER, permissions, number) for number, permissions in users),
        (_OWNING_GROUP, 0, _NOBODY),
        *((_GROUP, permissions, number) for number, permissions in groups),
        (_MASK, mask, _NOBODY),
        (_OTHER, 0, _NOBODY),
    ]
    return _HEAD.pack(_VERSION) + b"".join(_ENTRY.pack(*row) for row in rows)


def put_list(
    descriptor: int, grants: Iterable[Grant], *, inherited: Iterable[Grant] | None
) -> None:
    """Give an open folder its access list, and what is made in it another if there is one."""
    _set(descriptor, DEFAULT, b"" if inherited is None else pack(inherited))
    _set(descriptor, ACCESS, pack(grants))


def _set(descriptor: int, name: str, content: bytes) -> None:
    try:
        if content:
            os.setxattr(descriptor, name, content)
        else:
            os.removexattr(descriptor, name)
    except OSError as err:
        if err.errno == errno.ENODATA:
            return
        if err.errno != errno.ENOTSUP:
            raise
        raise SpawnRefused(
            "cannot make the class's folder",
            why="the file system below /srv/appliance knows no access lists",
            mend="keep it on ext4, xfs or btrfs, mounted with them",
        ) from err
