"""Reading files that somebody may be writing at this moment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

# What is smaller is read as a whole, and again if it changed meanwhile.
_WHOLE_MAX: Final = 16 * 2**20
_TRIES: Final = 3
_CHUNK: Final = 2**20


class Steady:
    """A file of which exactly `size` bytes are read, whatever happens to it meanwhile."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.changed = False
        """Once all is read: whether it may be a mixture of two versions."""
        self._whole: bytes | None = None
        status = os.fstat(descriptor)
        if status.st_size <= _WHOLE_MAX:
            self._read_whole()
            status = os.fstat(descriptor)
        self.size = status.st_size if self._whole is None else len(self._whole)
        self.modified_ns = max(0, status.st_mtime_ns)

    def _read_whole(self) -> None:
        for _ in range(_TRIES):
            before = _version(self._descriptor)
            content = b"".join(_chunks(self._descriptor, _WHOLE_MAX))
            if _version(self._descriptor) == before and len(content) == before[0]:
                self.changed = False
                self._whole = content
                return
            self.changed = True
            self._whole = content

    def chunks(self) -> Iterator[bytes]:
        """`size` bytes; zeros for those that aren't there any more."""
        if self._whole is not None:
            yield self._whole
            return
        before = _version(self._descriptor)
        left = self.size
        for chunk in _chunks(self._descriptor, self.size):
            left -= len(chunk)
            yield chunk
        while left:
            self.changed = True
            yield bytes(min(left, _CHUNK))
            left -= min(left, _CHUNK)
        self.changed = self.changed or _version(self._descriptor) != before


def _chunks(descriptor: int, most: int) -> Iterator[bytes]:
    offset = 0
    while offset < most and (chunk := os.pread(descriptor, min(_CHUNK, most - offset), offset)):
        offset += len(chunk)
        yield chunk


def _version(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_size, status.st_mtime_ns
