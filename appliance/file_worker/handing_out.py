"""Copying a folder that a teacher hands out into a home, all of it or nothing.

First everything is written into a folder beside the target; only when that is on the disk, files
get their names there. So a home that gets full, or a power cut, leaves no half copy: what a run
left beside is removed by the next one.
"""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from appliance.file_worker.trees import (
    Found,
    RefusedError,
    Skipped,
    is_full,
    open_below,
    open_file,
    open_folder,
    opened,
    sentence,
    shown,
    status_of,
    walk,
    with_mark,
    write_all,
)

FILES_MAX: Final = 20_000

_STAGING: Final = ".hand-out-"
_CHUNK: Final = 2**20
_TRIES: Final = 1000
_MEND_FULL: Final = "remove files from the home, or give it more room"
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS})


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder to be made; `moved` is the name that what is there gets first."""

    path: tuple[str, ...]
    moved: str = ""


@dataclass(frozen=True, slots=True)
class _File:
    """A staged file, the path it gets, and the name that what is there gets first."""

    staged: str
    path: tuple[str, ...]
    moved: str = ""


@dataclass(slots=True)
class _Counts:
    copied: int = 0
    kept: int = 0
    replaced: int = 0
    beside: int = 0
    bytes: int = 0


@dataclass(slots=True)
class HandOut:
    """One run: `own` is the class's folder in the home, `source` what is handed out."""

    own: int
    source: int
    folder: tuple[str, ...]
    rule: str
    date: str
    _skipped: Skipped = field(default_factory=Skipped)
    _counts: _Counts = field(default_factory=_Counts)
    _steps: list[_Folder | _File] = field(default_factory=list)
    # Where each folder of the source goes; None if it doesn't.
    _places: dict[tuple[str, ...], tuple[str, ...] | None] = field(default_factory=dict)
    _new: set[tuple[str, ...]] = field(default_factory=set)

    def run(self) -> dict[str, Any]:
        """Raises RefusedError with nothing left behind."""
        remove_leftovers(self.own)
        staging = _STAGING + secrets.token_hex(8)
        try:
            os.mkdir(staging, 0o700, dir_fd=self.own)
            with opened(open_folder(staging, self.own)) as into:
                self._stage(into)
                _sync(into)
                self._commit(into)
                _sync(into)
        except OSError as err:
            if is_full(err):
                raise RefusedError("the home is full", mend=_MEND_FULL) from err
            if err.errno in _FORBIDDEN:
                raise RefusedError(
                    "a folder in the home may not be written", mend="let its owner make it writable"
                ) from err
            raise
        finally:
            shutil.rmtree(staging, ignore_errors=True, dir_fd=self.own)
        counts = self._counts
        return {
            "copied": counts.copied,
            "kept": counts.kept,
            "replaced": counts.replaced,
            "beside": counts.beside,
            "bytes": counts.bytes,
            "skipped": self._skipped.told(),
        }

    # Looking, and writing aside

    def _stage(self, into: int) -> None:
        self._places[()] = self._place_top()
        for number, found in enumerate(walk(self.source, self._skipped, most=FILES_MAX)):
            place = self._places.get(found.path[:-1])
            if place is None:
                self._counts.kept += found.is_file
            elif found.is_folder:
                self._places[found.path] = self._place_folder((*place, found.name))
            elif found.is_file:
                self._stage_file(found, (*place, found.name), into, f"{number}")
            else:
                why = "it is a link" if found.is_link else "it is no file"
                self._skipped.add(found.path, why)

    def _place_top(self) -> tuple[str, ...] | None:
        place: tuple[str, ...] | None = ()
        for name in self.folder:
            if place is None:
                return None
            place = self._place_folder((*place, name))
        return place

    def _place_folder(self, path: tuple[str, ...]) -> tuple[str, ...] | None:
        """Where a folder goes: there if it is one already, else by the rule."""
        status = self._status(path)
        if status is None:
            return self._make(path)
        if stat.S_ISDIR(status.st_mode):
            return path
        if self.rule == "replace":
            return self._make(path, moved=self._free(path, f".before-{self.date}"))
        if self.rule == "beside":
            return self._place_folder((*path[:-1], self._next_folder(path)))
        return None

    def _next_folder(self, path: tuple[str, ...]) -> str:
        """NAME-2, NAME-3, …: the first that is a folder, or nothing yet."""
        with opened(open_below(self.own, path[:-1])) as folder:
            for number in range(2, _TRIES):
                name = with_mark(path[-1], f"-{number}")
                status = status_of(name, folder)
                if status is None or stat.S_ISDIR(status.st_mode):
                    return name
        raise RefusedError(f"there are too many copies of {shown(path[-1])}")

    def _make(self, path: tuple[str, ...], *, moved: str = "") -> tuple[str, ...]:
        self._steps.append(_Folder(path, moved))
        self._new.add(path)
        return path

    def _stage_file(self, found: Found, path: tuple[str, ...], into: int, staged: str) -> None:
        try:
            source = open_file(found.name, found.folder)
        except OSError as err:
            self._skipped.add(found.path, sentence(err))
            return
        with opened(source):
            status = self._status(path)
            moved = ""
            if status is not None:
                if self._is_same(source, path) or self.rule == "keep":
                    self._counts.kept += 1
                    return
                if self.rule == "replace":
                    moved = self._free(path, f".before-{self.date}")
                else:
                    beside = self._free(path, "", like=source)
                    if not beside:
                        self._counts.kept += 1
                        return
                    path = (*path[:-1], beside)
            self._counts.bytes += _copy(source, staged, into)
        self._steps.append(_File(staged, path, moved))
        if status is None:
            self._counts.copied += 1
        elif moved:
            self._counts.replaced += 1
        else:
            self._counts.beside += 1

    def _status(self, path: tuple[str, ...]) -> os.stat_result | None:
        if path[:-1] in self._new:
            return None
        with opened(open_below(self.own, path[:-1])) as folder:
            return status_of(path[-1], folder)

    def _is_same(self, source: int, path: tuple[str, ...]) -> bool:
        with opened(open_below(self.own, path[:-1])) as folder:
            return _has_content_of(source, path[-1], folder)

    def _free(self, path: tuple[str, ...], mark: str, *, like: int | None = None) -> str:
        """A name that nothing has: NAME-2, NAME-3, …, or with the mark; "" if one is `like` that.

        The first number of a marked name is left out.
        """
        with opened(open_below(self.own, path[:-1])) as folder:
            for number in range(1 if mark else 2, _TRIES):
                name = with_mark(path[-1], mark if number == 1 else f"{mark}-{number}")
                if status_of(name, folder) is None:
                    return name
                if like is not None and _has_content_of(like, name, folder):
                    return ""
        raise RefusedError(f"there are too many copies of {shown(path[-1])}")

    # Giving names

    def _commit(self, into: int) -> None:
        undo: list[Callable[[], None]] = []
        try:
            for step in self._steps:
                with opened(open_below(self.own, step.path[:-1])) as folder:
                    self._take(step, into, folder)
                undo.append(partial(self._take_back, step))
        except OSError:
            for action in reversed(undo):
                with suppress(OSError):
                    action()
            raise

    def _take(self, step: _Folder | _File, into: int, folder: int) -> None:
        name = step.path[-1]
        if step.moved and isinstance(step, _Folder):
            os.rename(name, step.moved, src_dir_fd=folder, dst_dir_fd=folder)
        elif step.moved:
            _keep(name, step.moved, folder)
        try:
            if isinstance(step, _Folder):
                os.mkdir(name, 0o700, dir_fd=folder)
            elif step.moved:
                os.rename(step.staged, name, src_dir_fd=into, dst_dir_fd=folder)
            else:
                _give_name(step.staged, into, name, folder)
        except OSError:
            if step.moved:
                _put_back(step.moved, name, folder)
            raise

    def _take_back(self, step: _Folder | _File) -> None:
        with opened(open_below(self.own, step.path[:-1])) as folder:
            if isinstance(step, _Folder):
                os.rmdir(step.path[-1], dir_fd=folder)
            elif not step.moved:
                os.unlink(step.path[-1], dir_fd=folder)
            if step.moved:
                _put_back(step.moved, step.path[-1], folder)


def remove_leftovers(own: int) -> None:
    """What runs that were broken off left."""
    with os.scandir(own) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(_STAGING)]
    for name in names:
        shutil.rmtree(name, ignore_errors=True, dir_fd=own)


def _copy(source: int, name: str, into: int) -> int:
    """Write a file aside, with the time of its source; how many bytes it has."""
    status = os.fstat(source)
    mode = 0o700 if status.st_mode & stat.S_IXUSR else 0o600
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    size = 0
    os.lseek(source, 0, os.SEEK_SET)
    with opened(os.open(name, flags, mode, dir_fd=into)) as target:
        while chunk := os.read(source, _CHUNK):
            size += len(chunk)
            write_all(target, chunk)
        os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))
    return size


def _has_content_of(source: int, name: str, folder: int) -> bool:
    try:
        other = open_file(name, folder)
    except OSError:
        return False
    with opened(other):
        if os.fstat(other).st_size != os.fstat(source).st_size:
            return False
        offset = 0
        while chunk := os.pread(source, _CHUNK, offset):
            if os.pread(other, _CHUNK, offset) != chunk:
                return False
            offset += len(chunk)
    return True


def _give_name(staged: str, into: int, name: str, folder: int) -> None:
    """Name a file that must not take another's place; raises FileExistsError."""
    try:
        os.link(staged, name, src_dir_fd=into, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as err:
        if err.errno not in _NO_LINKS:
            raise
        if status_of(name, folder) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from err
        os.rename(staged, name, src_dir_fd=into, dst_dir_fd=folder)


def _keep(name: str, kept: str, folder: int) -> None:
    """Let what is there have another name as well, or instead where a second isn't possible."""
    status = status_of(name, folder)
    if status is not None and stat.S_ISREG(status.st_mode):
        try:
            os.link(name, kept, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except OSError as err:
            if err.errno not in _NO_LINKS:
                raise
        else:
            return
    os.rename(name, kept, src_dir_fd=folder, dst_dir_fd=folder)


def _put_back(kept: str, name: str, folder: int) -> None:
    os.rename(kept, name, src_dir_fd=folder, dst_dir_fd=folder)
    # Two names of one file: then rename(2) does nothing at all.
    with suppress(FileNotFoundError):
        os.unlink(kept, dir_fd=folder)


def _sync(folder: int) -> None:
    """Everything that its file system has, on the disk: one call instead of one a file."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(folder) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
