"""Trees that users made: as deep as they like, which is deeper than Python's own tools go."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_FOLDER: Final = OPEN | os.O_DIRECTORY


@dataclass(frozen=True, slots=True)
class Entry:
    """Something in a folder, which is open as long as nobody asks for the next one."""

    folder: int
    name: str
    shown: str
    """Its path in the tree."""
    status: os.stat_result

    def open(self) -> int:
        return os.open(self.name, OPEN, dir_fd=self.folder)


@dataclass(slots=True)
class _Level:
    shown: str
    identity: tuple[int, int]
    """Of the folder: device and inode."""
    folders: list[str] = field(default_factory=list)
    """Those in it that are still to be entered."""


def everything_in(top: Path) -> Iterator[Entry]:
    """All that is in a folder; no link is followed, and nothing is entered by its path.

    One descriptor is open at a time. Back it goes by `..`, and only into the folder that it came
    from: whoever moves folders about meanwhile is found out. Raises OSError.
    """
    here = os.open(top, _FOLDER)
    try:
        levels = [_Level("", _identity(here))]
        yield from _entries(here, levels[-1])
        while levels:
            if levels[-1].folders:
                name = levels[-1].folders.pop()
                inner = _enter(here, name)
                if inner < 0:
                    continue
                os.close(here)
                here = inner
                levels.append(_Level(f"{levels[-1].shown}{name}/", _identity(here)))
                yield from _entries(here, levels[-1])
                continue
            levels.pop()
            if levels:
                above = os.open("..", _FOLDER, dir_fd=here)
                os.close(here)
                here = above
                if _identity(here) != levels[-1].identity:
                    raise OSError(
                        errno.ESTALE, "folders were moved meanwhile", levels[-1].shown or str(top)
                    )
    finally:
        os.close(here)


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


def _enter(folder: int, name: str) -> int:
    """Its descriptor, or -1 when it went away or is something else by now."""
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except OSError as error:
        if error.errno in _GONE:
            return -1
        raise


_GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


def _entries(folder: int, level: _Level) -> Iterator[Entry]:
    for name in os.listdir(folder):
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(status.st_mode):
            level.folders.append(name)
        yield Entry(folder, name, f"{level.shown}{name}", status)


def remove(path: Path) -> None:
    """Delete whatever it is; what can't be deleted stays. rm(1) manages trees of any depth."""
    if os.path.lexists(path):
        subprocess.run(
            ["rm", "-rf", "--one-file-system", "--", str(path)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}, check=False,
        )  # fmt: skip
