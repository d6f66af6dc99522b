"""Numbers of accounts and groups on this machine, and of files that another machine's had."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

_OURS: Final = ("appliance-", "svc-")


def system_ids() -> dict[str, dict[str, int]]:
    """Numbers that differ between machines, by name, for the manifest."""
    users = {one.pw_name: one.pw_uid for one in pwd.getpwall() if one.pw_name.startswith(_OURS)}
    groups = {one.gr_name: one.gr_gid for one in grp.getgrall() if one.gr_name.startswith(_OURS)}
    return {"users": users, "groups": groups}


def give_to_same_names(folder: Path, ids: Mapping[str, Mapping[str, int]]) -> None:
    """Where system accounts have other numbers here than in the backup, change files' owners."""
    users = _changes(ids.get("users", {}), uid_of)
    groups = _changes(ids.get("groups", {}), gid_of)
    for parent, folders, files in os.walk(folder):
        for path in (Path(parent), *(Path(parent, name) for name in (*folders, *files))):
            status = path.lstat()
            uid, gid = (
                users.get(status.st_uid, status.st_uid),
                groups.get(status.st_gid, status.st_gid),
            )
            if (uid, gid) != (status.st_uid, status.st_gid):
                os.chown(path, uid, gid, follow_symlinks=False)


def _changes(ids: Mapping[str, int], lookup: Callable[[str], int | None]) -> dict[int, int]:
    return {
        number: found
        for name, number in ids.items()
        if name.startswith(_OURS) and (found := lookup(name)) is not None and found != number
    }


def uid_of(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def name_of(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def gid_of(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def group_of(gid: int) -> str | None:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return None
