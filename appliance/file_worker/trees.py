"""Folders by descriptors: nothing here follows a link, wherever somebody puts one meanwhile."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

DEPTH_MAX: Final = 64
"""Folders in folders; each takes a descriptor."""
NAME_MAX: Final = 255
"""Bytes of a file's name."""

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A fifo would wait for somebody who writes to it.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_SKIPPED_MAX: Final = 100
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# Larger than that and less than a sixteenth of it written: holes, which pack to days of zeros.
_SPARSE_BYTES: Final = 2**30
_SPARSE_SHARE: Final = 16


class RefusedError(Exception):
    """The job can't be done: why, and how to mend it, in sentences for a teacher."""

    def __init__(self, why: str, *, mend: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.mend = mend


@dataclass(slots=True)
class Skipped:
    """What was left out, in sentences; bounded, because somebody may make a million of them."""

    lines: list[str] = field(default_factory=list)
    more: int = 0

    def add(self, path: tuple[str, ...], why: str) -> None:
        if len(self.lines) < _SKIPPED_MAX - 1:
            self.lines.append(f"{shown('/'.join(path))}: {why}")
        else:
            self.more += 1

    def told(self) -> list[str]:
        return [*self.lines, f"… and {self.more} more"] if self.more else list(self.lines)


@dataclass(frozen=True, slots=True)
class Found:
    """Something in a tree; `folder` is the descriptor of what it lies in, while it is looked at."""

    path: tuple[str, ...]
    folder: int
    status: os.stat_result

    @property
    def name(self) -> str:
        return self.path[-1]

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.status.st_mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.status.st_mode)


# A folder's path, its descriptor, and what of it is still to come.
_Level = tuple[tuple[str, ...], int, Iterator[str]]


def shown(name: str) -> str:
    """A file's name for people: at most 200 characters, and all of them can be printed."""
    text = os.fsencode(name).decode(errors="replace")
    text = "".join(char if char.isprintable() else "\ufffd" for char in text)
    return text if len(text) <= 200 else text[:199] + "…"


def is_full(error: OSError) -> bool:
    """Whether there is no room, by disk, quota or limit."""
    return error.errno in _FULL


def is_mostly_holes(status: os.stat_result) -> bool:
    written = status.st_blocks * 512
    return status.st_size > _SPARSE_BYTES and written < status.st_size // _SPARSE_SHARE


def write_all(descriptor: int, content: bytes) -> None:
    """write(2) until nothing is left."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


@contextmanager
def opened(descriptor: int) -> Iterator[int]:
    """Close it in the end."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_top(path: str) -> int:
    """A folder that the daemon names."""
    return os.open(path, _FOLDER)


def open_folder(name: str, folder: int) -> int:
    return os.open(name, _FOLDER, dir_fd=folder)


def open_file(name: str, folder: int) -> int:
    """A regular file for reading; raises OSError with ELOOP for a link, EINVAL for other kinds."""
    descriptor = os.open(name, _FILE, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no file")
    return descriptor


def open_below(folder: int, parts: tuple[str, ...]) -> int:
    """The folder that far below another, by a descriptor of its own."""
    current = os.dup(folder)
    for part in parts:
        with opened(current):
            current = open_folder(part, current)
    return current


def make_below(folder: int, parts: tuple[str, ...], mode: int) -> int:
    """The same, making what is missing."""
    current = os.dup(folder)
    for part in parts:
        with opened(current):
            with suppress(FileExistsError):
                os.mkdir(part, mode, dir_fd=current)
            current = open_folder(part, current)
    return current


def status_of(name: str, folder: int) -> os.stat_result | None:
    """What is there, itself and not what it points to; None for nothing."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def walk(top: int, skipped: Skipped, *, most: int) -> Iterator[Found]:
    """All that is below a folder, each folder before what it holds.

    Raises RefusedError when that is more than `most`.
    """
    count = 0
    stack: list[_Level] = [((), os.dup(top), iter(_names(top, most)))]
    try:
        while stack:
            path, folder, names = stack[-1]
            name = next(names, None)
            if name is None:
                os.close(folder)
                stack.pop()
                continue
            count += 1
            if count > most:
                raise RefusedError(f"there are more than {most} files in it")
            status = status_of(name, folder)
            if status is None:
                skipped.add((*path, name), "it went away meanwhile")
                continue
            found = Found((*path, name), folder, status)
            if not found.is_folder:
                yield found
                continue
            level = _enter(found, skipped, most)
            if level:
                yield found
                stack.append(level)
    finally:
        for _, folder, _ in stack:
            os.close(folder)


def _enter(found: Found, skipped: Skipped, most: int) -> _Level | None:
    if len(found.path) >= DEPTH_MAX:
        skipped.add(found.path, f"it lies more than {DEPTH_MAX} folders deep")
        return None
    try:
        folder = open_folder(found.name, found.folder)
    except OSError as err:
        skipped.add(found.path, sentence(err))
        return None
    try:
        return found.path, folder, iter(_names(folder, most))
    except OSError as err:
        os.close(folder)
        skipped.add(found.path, sentence(err))
        return None


def _names(folder: int, most: int) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in islice(entries, most + 1))


def sentence(error: OSError) -> str:
    """Why a file was left out."""
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return "it may not be read"
        case errno.ENOENT:
            return "it went away meanwhile"
        case errno.ELOOP | errno.ENOTDIR:
            return "it is a link"
        case errno.EINVAL | errno.ENXIO:
            return "it is no file"
    return error.strerror or str(error)


def with_mark(name: str, mark: str) -> str:
    """NAME with a mark before its ending, so that programs still know what it is; fits always."""
    stem, dot, ending = name.rpartition(".")
    stem, ending = (stem, dot + ending) if stem else (name, "")
    if len(os.fsencode(ending)) > NAME_MAX // 4:
        stem, ending = name, ""
    room = NAME_MAX - len(os.fsencode(mark)) - len(os.fsencode(ending))
    return os.fsdecode(os.fsencode(stem)[:room]) + mark + ending
