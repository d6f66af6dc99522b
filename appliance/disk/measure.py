"""How much a folder takes on the disk, as du(1) counts it: blocks, and hard links once.

It follows no link, leaves the file system nowhere, and gives up when its time is over. Every step
goes by a descriptor, so that whoever owns the folder can't lead it elsewhere meanwhile. Standard
library only.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOATIME
DEPTH_MAX: Final = 2000
"""Folders in folders; each takes a descriptor."""
NAMES_MAX: Final = 1_000_000
"""Of files with several names, and of folders that are still to be entered, so many are kept in
mind: whoever makes more must not end the measuring of everybody's for want of memory."""
_BLOCK: Final = 512
_LOOKS_BETWEEN_CLOCKS: Final = 256


@dataclass(slots=True)
class Use:
    """What was found."""

    bytes: int = 0
    files: int = 0
    """Folders and all else that takes an entry of the disk's table."""
    complete: bool = True
    """Whether everything was seen: else it is at least that much."""


class _OutOfTime(Exception):
    """The deadline is over."""


class _Counter:
    def __init__(self, device: int, deadline: float) -> None:
        self.use = Use()
        self.waiting = 0
        """Folders that are known and not entered yet."""
        self._device = device
        self._deadline = deadline
        self._linked: set[tuple[int, int]] = set()
        self._looks = 0

    def count(self, status: os.stat_result) -> None:
        self._looks += 1
        if self._looks % _LOOKS_BETWEEN_CLOCKS == 0 and time.monotonic() > self._deadline:
            raise _OutOfTime
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            file = status.st_dev, status.st_ino
            if file in self._linked:
                return
            # Beyond that each name counts.
            if len(self._linked) < NAMES_MAX:
                self._linked.add(file)
        self.use.bytes += status.st_blocks * _BLOCK
        self.use.files += 1

    def is_ours(self, status: os.stat_result) -> bool:
        return status.st_dev == self._device


def measure(top: Path, *, deadline: float) -> Use:
    """What a folder takes with all that is in it; raises OSError if it can't be entered."""
    descriptor = _enter(str(top), None)
    try:
        counter = _Counter(os.fstat(descriptor).st_dev, deadline)
        counter.count(os.fstat(descriptor))
        try:
            _walk(descriptor, counter)
        except _OutOfTime:
            counter.use.complete = False
        return counter.use
    finally:
        os.close(descriptor)


def _walk(top: int, counter: _Counter) -> None:
    stack: list[tuple[int, Iterator[str]]] = [(os.dup(top), iter(_look(top, counter)))]
    try:
        while stack:
            folder, inner = stack[-1]
            name = next(inner, None)
            if name is None:
                os.close(folder)
                stack.pop()
                continue
            counter.waiting -= 1
            if len(stack) >= DEPTH_MAX:
                counter.use.complete = False
                continue
            try:
                descriptor = _enter(name, folder)
                # It must be closed whatever happens next.
                stack.append((descriptor, iter(())))
                stack[-1] = (descriptor, iter(_look(descriptor, counter)))
            except OSError:
                # It went away, or isn't a folder any more.
                counter.use.complete = False
    finally:
        for folder, _ in stack:
            os.close(folder)


def _look(folder: int, counter: _Counter) -> list[str]:
    """Count what lies in a folder; the names of folders in it, which are counted, too."""
    inner = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                status = os.stat(entry.name, dir_fd=folder, follow_symlinks=False)
                is_folder = stat.S_ISDIR(status.st_mode)
                # Files of an overlay say that they are on the disk of their layer.
                if is_folder and not counter.is_ours(status):
                    continue
                counter.count(status)
                if not is_folder:
                    continue
                if counter.waiting >= NAMES_MAX:
                    counter.use.complete = False
                    continue
                counter.waiting += 1
                inner.append(entry.name)
    return inner


def _enter(name: str, folder: int | None) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except PermissionError:
        # O_NOATIME is for the owner and root.
        return os.open(name, _FOLDER & ~os.O_NOATIME, dir_fd=folder)
