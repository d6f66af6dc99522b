"""Files on their way from one user's program to another's: names, sizes and contents in a row.

Simpler than any archive's format, because the reader must not trust the writer: there are folders
and files, and nothing else can be said. Each begins with a line of JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from appliance.file_worker.trees import DEPTH_MAX, NAME_MAX, RefusedError, write_all

_LINE_MAX: Final = 2**19
_CHUNK: Final = 2**20
_DAMAGED: Final = "what the student's program sent is damaged"


@dataclass(frozen=True, slots=True)
class Item:
    """A folder, or a file with its size."""

    path: tuple[str, ...]
    size: int | None
    modified_ns: int

    @property
    def is_folder(self) -> bool:
        return self.size is None


class Writer:
    """Writes a bundle; nobody reads it before `end`."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def folder(self, path: tuple[str, ...], modified_ns: int) -> None:
        self._line({"path": path, "modified": modified_ns})

    def file(self, path: tuple[str, ...], size: int, modified_ns: int) -> BinaryIO:
        """Where exactly `size` bytes are to be written next."""
        self._line({"path": path, "size": size, "modified": modified_ns})
        return self._stream

    def end(self) -> None:
        self._line({"end": True})
        self._stream.flush()

    def _line(self, content: dict[str, Any]) -> None:
        self._stream.write(json.dumps(content).encode() + b"\n")


class Reader:
    """Reads a bundle once from its beginning, as somebody else may still change it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def items(self) -> Iterator[Item]:
        """What is in it; after each file its content must be read by `copy`."""
        while True:
            line = self._stream.readline(_LINE_MAX)
            try:
                content = json.loads(line)
            except (ValueError, RecursionError) as err:
                raise RefusedError(_DAMAGED) from err
            if content == {"end": True}:
                return
            yield _item(content)

    def copy(self, item: Item, target: int) -> str:
        """Write the item's content to a descriptor; its SHA-256."""
        digest = hashlib.sha256()
        left = item.size or 0
        while left:
            chunk = self._stream.read(min(left, _CHUNK))
            if not chunk:
                raise RefusedError(_DAMAGED)
            digest.update(chunk)
            left -= len(chunk)
            write_all(target, chunk)
        return digest.hexdigest()


def _item(content: object) -> Item:
    if not isinstance(content, dict):
        raise RefusedError(_DAMAGED)
    path, size, modified = content.get("path"), content.get("size"), content.get("modified")
    if not isinstance(path, list) or not 1 <= len(path) <= DEPTH_MAX + 1:
        raise RefusedError(_DAMAGED)
    if not all(isinstance(part, str) and _is_name(part) for part in path):
        raise RefusedError(_DAMAGED)
    if not isinstance(modified, int) or not (size is None or isinstance(size, int)):
        raise RefusedError(_DAMAGED)
    if not all(0 <= number < 2**63 for number in (modified, size or 0)):
        raise RefusedError(_DAMAGED)
    return Item(tuple(path), size, modified)


def _is_name(part: str) -> bool:
    try:
        length = len(os.fsencode(part))
    except UnicodeEncodeError:
        return False
    return 1 <= length <= NAME_MAX and part not in (".", "..") and not {"/", "\0"} & set(part)
