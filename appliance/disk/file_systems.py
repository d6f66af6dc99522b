"""Which file system a folder is on, how full it is, and whether it counts and refuses by user.

Standard library only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.disk.quotactl import Kind, QuotaError, read_state

MOUNTS: Final = Path("/proc/self/mountinfo")
# Those whose quotas we know how to use.
_WITH_QUOTAS: Final = frozenset({"ext4", "xfs"})
_ESCAPE: Final = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of proc_pid_mountinfo(5)."""

    device: str
    """As major:minor."""
    root: str
    point: str
    source: str
    kind: str
    options: tuple[str, ...]
    """The file system's own."""


@dataclass(frozen=True, slots=True)
class QuotaState:
    """What a file system counts, and what it refuses."""

    users_counted: bool = False
    users_enforced: bool = False
    projects_counted: bool = False
    projects_enforced: bool = False
    why: str = ""
    """Why nothing is counted."""


@dataclass(frozen=True, slots=True)
class FileSystem:
    """One file system, found by a folder on it."""

    folder: str
    """One of those that were asked about: it is there in every sandbox of ours."""
    mount: Mount
    size: int
    free: int
    """For users who aren't root."""
    files: int
    """Zero where there is no end of them."""
    files_free: int
    quota: QuotaState

    @property
    def used_percent(self) -> int:
        """As df(1) has it: of what users could ever have."""
        return _percent(self.size - self.free, self.size)

    @property
    def files_percent(self) -> int:
        return _percent(self.files - self.files_free, self.files)


def _percent(used: int, whole: int) -> int:
    return 0 if whole <= 0 else max(0, min(100, -(-100 * used // whole)))


def parse_mounts(text: str) -> list[Mount]:
    """The lines of a mountinfo file; those that make no sense are left out."""
    found = []
    for line in text.splitlines():
        head, separator, tail = line.partition(" - ")
        fields, after = head.split(" "), tail.split(" ")
        if not separator or len(fields) < 6 or len(after) < 3:
            continue
        found.append(
            Mount(
                device=fields[2],
                root=_plain(fields[3]),
                point=_plain(fields[4]),
                kind=after[0],
                source=_plain(after[1]),
                options=tuple(after[2].split(",")),
            )
        )
    return found


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)


def mount_of(folder: Path, mounts: Iterable[Mount]) -> Mount | None:
    """The file system that a folder is on.

    By its device, of whose mounts the one nearest to the whole is the best name: sandboxes have
    many. Where the kernel gives files another number than their mount (btrfs), by the path.
    """
    mounts = list(mounts)
    number = folder.stat().st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    same = [mount for mount in mounts if mount.device == device]
    if same:
        return min(same, key=lambda mount: (len(mount.root), len(mount.point)))
    path = f"{folder.resolve()}/"
    above = [mount for mount in mounts if path.startswith(f"{mount.point.rstrip('/')}/")]
    return max(above, key=lambda mount: len(mount.point), default=None)


def quota_state(folder: Path, mount: Mount) -> QuotaState:
    """Asked of the kernel, which knows what mount options only suggest."""
    if mount.kind not in _WITH_QUOTAS:
        return QuotaState(why=f"{mount.kind} has no quotas by user")
    try:
        state = read_state(folder)
    except QuotaError as error:
        return QuotaState(why=error.why)
    if not state.counted:
        return QuotaState(why="quotas are not turned on")
    return QuotaState(
        users_counted=Kind.USER in state.counted,
        users_enforced=Kind.USER in state.enforced,
        projects_counted=Kind.PROJECT in state.counted,
        projects_enforced=Kind.PROJECT in state.enforced,
    )


def find(folders: Iterable[Path], *, mounts: Path = MOUNTS) -> list[FileSystem]:
    """The file systems of the folders that exist, each once, in that order."""
    try:
        listed = parse_mounts(mounts.read_text("utf-8", errors="surrogateescape"))
    except OSError:
        listed = []
    found: dict[str, FileSystem] = {}
    for folder in folders:
        with suppress(OSError):
            mount = mount_of(folder, listed)
            if mount is None or mount.point in found:
                continue
            room = os.statvfs(folder)
            found[mount.point] = FileSystem(
                folder=str(folder),
                mount=mount,
                size=(room.f_blocks - room.f_bfree + room.f_bavail) * room.f_frsize,
                free=room.f_bavail * room.f_frsize,
                files=room.f_files,
                files_free=room.f_favail,
                quota=quota_state(folder, mount),
            )
    return list(found.values())
