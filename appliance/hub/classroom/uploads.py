"""Files on their way in: written to the disk as they come, never held in memory.

A form's body is read part by part (RFC 7578), because a teacher's videos are larger than what a
small machine has to spare. Files have no name here, so that nothing is left of a broken upload.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from appliance.db.errors import StorageError
from appliance.errors import BadRequest, TooMany
from appliance.interfaces import UPLOAD_MAX
from appliance.texts import say
from appliance.web.failures import TooLarge

_AT_ONCE: Final = 6
_HEADERS_MAX: Final = 8 * 1024
FORM_MAX: Final = 512 * 2**20
"""The largest body of a form, as the proxy lets it pass."""


class Spool:
    """One file that comes in."""

    def __init__(
        self, file: IO[bytes], *, most: int = UPLOAD_MAX, folder: Path | None = None
    ) -> None:
        """With the `folder` that it lies in, it leaves what the disk keeps back."""
        self.file = file
        self._folder = folder
        self.size = 0
        self._most = most

    def write(self, chunk: bytes) -> None:
        """Keep what has come; raises TooLarge or StorageError."""
        self.size += len(chunk)
        if self.size > self._most:
            raise TooLarge(
                "cannot take the file",
                why=say("it is larger than {most} MB", most=self._most // 2**20),
                mend="put it on a web server, or into several files",
            )
        with _stored():
            # The hub may use what the disk keeps for root; people's files may not.
            if self._folder and os.statvfs(self._folder).f_bavail == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.file.write(chunk)

    def rewind(self) -> IO[bytes]:
        """The file, to be read from its beginning."""
        with _stored():
            self.file.flush()
        self.file.seek(0)
        return self.file


@contextmanager
def _stored() -> Iterator[None]:
    try:
        yield
    except OSError as err:
        raise StorageError(
            "cannot take the file",
            why="the disk is full" if err.errno == errno.ENOSPC else str(err.strerror),
            mend="tell whoever runs the machine",
        ) from err


class Uploads:
    """Makes spools, some at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = 0

    @contextmanager
    def spool(self) -> Iterator[Spool]:
        """A new spool, gone with the block; raises TooMany."""
        if self._open >= _AT_ONCE:
            raise TooMany(
                "cannot take the file now",
                why="many files are being uploaded",
                mend="try again in a minute",
                retry_after_seconds=30,
            )
        self._open += 1
        try:
            with tempfile.TemporaryFile(dir=self._folder) as file:
                yield Spool(file, folder=self._folder)
        finally:
            self._open -= 1


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a form begins: a field, or a file if it has a file's name."""

    name: str
    filename: str | None


class PartEnd:
    """A part is over."""


Event = Part | bytes | PartEnd


class FormReader:
    """Cuts a multipart/form-data body, as it comes, into its parts."""

    def __init__(self, content_type: str) -> None:
        """Raises BadRequest for what is no such form."""
        found = re.search(r'boundary="?([0-9A-Za-z\'()+_,./:=? -]{1,70})"?', content_type)
        if not content_type.lower().startswith("multipart/form-data") or not found:
            raise _bad("it is no form with files")
        self._mark = b"\r\n--" + found[1].strip().encode()
        # The first boundary has no line before it.
        self._buffer = b"\r\n"
        self._read = self._look_for_mark
        self._in_part = False
        self.complete = False

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """What the next bytes bring; raises BadRequest."""
        self._buffer += chunk
        while not self.complete:
            events = self._read()
            if events is None:
                return
            yield from events

    def _look_for_mark(self) -> list[Event] | None:
        at = self._buffer.find(self._mark)
        events: list[Event] = []
        # What may be the beginning of a boundary waits for the rest of it.
        end = at if at >= 0 else len(self._buffer) - len(self._mark) + 1
        if end > 0 and self._in_part:
            events.append(self._buffer[:end])
        if at < 0:
            self._buffer = self._buffer[max(end, 0) :]
            return events or None
        if self._in_part:
            events.append(PartEnd())
        self._in_part = False
        self._buffer = self._buffer[at + len(self._mark) :]
        self._read = self._look_for_headers
        return events

    def _look_for_headers(self) -> list[Event] | None:
        if self._buffer.startswith(b"--"):
            self.complete = True
            return []
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if len(head) > _HEADERS_MAX:
            raise _bad("a part of it has too many headers")
        if not found:
            return None
        self._buffer = rest
        self._in_part = True
        self._read = self._look_for_mark
        return [_part(head.decode("utf-8", errors="replace"))]


def _part(head: str) -> Part:
    found = re.search(r"content-disposition:\s*form-data\s*;([^\r\n]*)", head, re.IGNORECASE)
    if not found:
        raise _bad("a part of it has no name")
    values = dict(re.findall(r'(?:^|[\s;])(name|filename)="([^"]*)"', found[1]))
    filename = values.get("filename")
    return Part(values.get("name", ""), None if filename is None else _base(filename))


def _base(filename: str) -> str:
    """A file's own name, as browsers write it: some send the path on the sender's machine."""
    name = filename.replace("%22", '"').replace("%0D", " ").replace("%0A", " ")
    return re.split(r"[/\\]", name)[-1].strip()


def _bad(why: str) -> BadRequest:
    return BadRequest("cannot read the upload", why=why)
