"""Reading the audit log's files: newest first, or as they grow.

Root reads here what the hub may write. So no symbolic link is followed below the state directory,
nothing but regular files is opened, no file is read beyond the size that it should have, and what
isn't printable is replaced before it can reach a terminal.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from heapq import merge
from pathlib import Path
from typing import Any, Final

from appliance.audit import FILES, LARGEST_FILE, Action, file_name
from appliance.errors import ApplianceError
from appliance.places import Places

Record = dict[str, Any]

# A little more than they grow to: the last line may have passed the limit.
_MOST_BYTES: Final = LARGEST_FILE + 1024 * 1024
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
# What root's command line alone does; in the hub's file it would be a forgery.
_ROOTS_OWN: Final = ("config.",)


@dataclass(frozen=True, slots=True)
class Source:
    """A directory of one writer."""

    base: Path
    """What the writer can't change."""
    below: tuple[str, ...]
    is_root: bool

    def open(self) -> int | None:
        """The directory, or None if nothing was written yet."""
        path = self.base
        try:
            here = os.open(path, _FLAGS | os.O_DIRECTORY)
            for name in self.below:
                path, above = path / name, here
                try:
                    here = os.open(name, _FLAGS | os.O_DIRECTORY, dir_fd=above)
                finally:
                    os.close(above)
        except FileNotFoundError:
            return None
        except OSError as err:
            raise ApplianceError(
                "cannot read the audit log",
                why=f"{path}: {err.strerror}",
                mend=f"it must be a directory and no link: ls -ld {path}",
            ) from err
        return here


def sources(places: Places) -> list[Source]:
    return [
        Source(places.state, folder.relative_to(places.state).parts, is_root)
        for folder, is_root in ((places.hub_audit, False), (places.root_audit, True))
    ]


@dataclass(slots=True)
class Log:
    """The lines of both writers as one."""

    places: Places
    unreadable: int = 0
    """Lines that were cut off or aren't the hub's to write."""
    problems: list[str] = field(default_factory=list)
    """Why one writer's files can't be read at all; the other's are shown."""
    _tails: list[_Tail] = field(default_factory=list)

    def newest_first(self) -> Iterator[Record]:
        """All records, by their time."""
        streams = [self._backwards(source) for source in sources(self.places)]
        yield from merge(*streams, key=lambda record: str(record["time"]), reverse=True)

    def _backwards(self, source: Source) -> Iterator[Record]:
        try:
            folder = source.open()
        except ApplianceError as err:
            self.problems.append(str(err))
            return
        if folder is None:
            return
        try:
            for number in range(FILES):
                for line in reversed(self._read(folder, file_name(number)).splitlines()):
                    record = self._parse(line, source)
                    if record is not None:
                        yield record
        finally:
            os.close(folder)

    def _read(self, folder: int, name: str) -> bytes:
        try:
            return _read(folder, name)
        except ApplianceError as err:
            self.problems.append(str(err))
            return b""

    def _parse(self, line: bytes, source: Source) -> Record | None:
        with suppress(ValueError, RecursionError, TypeError, KeyError, AttributeError):
            record = _checked(json.loads(line))
            if source.is_root or not record["action"].startswith(_ROOTS_OWN):
                return record
        self.unreadable += bool(line.strip())
        return None

    def begin_to_follow(self) -> None:
        """From now on `new_records` has what is added."""
        self._tails = [_Tail(source) for source in sources(self.places)]
        for tail in self._tails:
            tail.take()

    def new_records(self) -> list[Record]:
        """What was added since the last call."""
        found = [
            record
            for tail in self._tails
            for line in tail.take()
            if (record := self._parse(line, tail.source)) is not None
        ]
        return sorted(found, key=lambda record: str(record["time"]))


class _Tail:
    """One writer's newest file, also after it has become an older one."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._inode = 0
        self._offset = 0
        self._rest = b""

    def take(self) -> list[bytes]:
        try:
            folder = self.source.open()
        except ApplianceError:
            return []
        if folder is None:
            return []
        try:
            return self._take(folder)
        except ApplianceError:
            return []
        finally:
            os.close(folder)

    def _take(self, folder: int) -> list[bytes]:
        data = b""
        if self._inode and _inode(folder, file_name(0)) != self._inode:
            if _inode(folder, file_name(1)) == self._inode:
                data = _read(folder, file_name(1))[self._offset :]
            self._offset = 0
        self._inode = _inode(folder, file_name(0))
        new = _read(folder, file_name(0))
        data += new[self._offset :]
        self._offset = len(new)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines


def _inode(folder: int, name: str) -> int:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_ino
    except FileNotFoundError:
        return 0


def _read(folder: int, name: str) -> bytes:
    """A file's content, empty if there is none; raises ApplianceError for what is no file."""
    try:
        descriptor = os.open(name, _FLAGS | os.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        return b""
    except OSError as err:
        raise _cannot_read(name, err.strerror or str(err)) from err
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _cannot_read(name, "it is no regular file")
        return file.read(_MOST_BYTES)


def _cannot_read(name: str, why: str) -> ApplianceError:
    return ApplianceError(
        f"cannot read {name} of an audit log",
        why=why,
        mend="only the appliance should write there: look at who put it there, and when",
    )


def _checked(record: Any) -> Record:
    """A record with every part that is shown; raises for anything else."""
    record = _printable(record)
    datetime.fromisoformat(record["time"])
    return {
        "time": str(record["time"]),
        "actor": {str(name): str(text) for name, text in record["actor"].items()},
        "address": str(record["address"]),
        "action": str(record["action"]),
        "targets": [str(target) for target in record["targets"]],
        "outcome": str(record["outcome"]),
        "details": dict(record["details"]),
    }


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return "".join(char if char.isprintable() else "\ufffd" for char in value)
    if isinstance(value, list):
        return [_printable(one) for one in value]
    if isinstance(value, dict):
        return {_printable(name): _printable(one) for name, one in value.items()}
    return value


def known_actions() -> list[str]:
    """Every action, and every part before a dot, for completion."""
    names = [action.value for action in Action]
    return sorted({*names, *(f"{name.partition('.')[0]}." for name in names)})
