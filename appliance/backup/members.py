"""What an archive of ours holds, and what root may have put into a folder that is no part of it.

Devices, and programs that run with another's rights, are no files of anybody's work. An archive
that has them could have been made to do harm, so none is unpacked. So that one of them in a home
makes no backup useless, they don't come into it.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from typing import Final, Protocol

from appliance.backup.errors import BackupError
from appliance.backup.manifest import NOTES_MAX
from appliance.backup.sources import Source

SET_ID: Final = 0o6000
_BLOCK: Final = tarfile.BLOCKSIZE
_CHUNK: Final = 256 * 1024
_RECORD: Final = re.compile(rb"(\d+) ([^=]+)=")
# Where a header has the mode, and the sum of its bytes.
_MODE: Final = slice(100, 108)
_SUM: Final = slice(148, 156)
_SHOWN: Final = 200


class Readable(Protocol):
    """Gives bytes."""

    def read(self, size: int, /) -> bytes: ...


def is_of_files(member: tarfile.TarInfo) -> bool:
    """Whether it is something that a user could have made."""
    return (
        member.isreg()
        or member.isdir()
        or member.issym()
        or member.islnk()
        or member.type in (tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE)
        or _is_whiteout(member)
    )


def _is_whiteout(member: tarfile.TarInfo) -> bool:
    """The device 0:0 is none. Linux lets everybody make it: layers of containers mark by it what
    isn't there any more."""
    return member.ischr() and (member.devmajor, member.devminor) == (0, 0)


def has_roots_power(member: tarfile.TarInfo) -> bool:
    """Whether who starts it gets root's rights."""
    return member.isreg() and member.uid == 0 and bool(member.mode & SET_ID)


class Sieve:
    """An archive as tar writes it, without what may not be in one of ours.

    Looking for it beforehand would not do: users move their files about while tar reads them.
    """

    def __init__(self, tar: Readable, source: Source) -> None:
        self.count = 0
        """Of files that are left out, or without a bit."""
        self.notes: list[str] = []
        """The first of them, and why."""
        self._tar = tar
        self._source = source
        self._pieces = self._look_through()
        self._ready = bytearray()

    def read(self, size: int, /) -> bytes:
        while len(self._ready) < size and (piece := next(self._pieces, b"")):
            self._ready += piece
        found = bytes(self._ready[:size])
        del self._ready[:size]
        return found

    def _look_through(self) -> Iterator[bytes]:
        before, said = b"", dict[str, str]()
        while header := self._tar.read(_BLOCK):
            if len(header) < _BLOCK or not any(header):
                yield before + header
                continue
            member = _member(header, said)
            if member.type == tarfile.XHDTYPE:
                content = self._tar.read(_padded(member.size))
                before, said = header + content, dict(_records(content[: member.size]))
                continue
            kept = self._look_at(member, header)
            if kept:
                yield before + kept
            left = _padded(member.size) if member.isreg() else 0
            while left and (piece := self._tar.read(min(left, _CHUNK))):
                left -= len(piece)
                if kept:
                    yield piece
            before, said = b"", {}

    def _look_at(self, member: tarfile.TarInfo, header: bytes) -> bytes:
        """The header as it stays; empty if the member goes."""
        if not is_of_files(member):
            self._note(member, "a device, which isn't in the backup")
            return b""
        if self._source.plain and (member.isfifo() or _is_whiteout(member)):
            self._note(member, "no ordinary file, so it isn't in the backup")
            return b""
        is_anothers = member.isreg() and self._source.uid not in (0, member.uid)
        if has_roots_power(member) or (is_anothers and member.mode & SET_ID):
            self._note(member, "in the backup without its set-uid and set-gid bits")
            return _without_bits(header, member.mode)
        return header

    def _note(self, member: tarfile.TarInfo, why: str) -> None:
        self.count += 1
        if self.count <= NOTES_MAX:
            self.notes.append(f"{member.name[:_SHOWN]!r}: {why}")


def _member(header: bytes, said: dict[str, str]) -> tarfile.TarInfo:
    """What a header says, and over it what the extra header before it said."""
    try:
        found = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        found.size = int(said.get("size", found.size))
        found.uid = int(said.get("uid", found.uid))
    except (tarfile.HeaderError, ValueError) as err:
        raise BackupError("cannot pack files", why=f"tar wrote what is no archive: {err}") from err
    found.name = said.get("GNU.sparse.name") or said.get("path") or found.name
    return found


def _records(content: bytes) -> Iterator[tuple[str, str]]:
    place = 0
    while match := _RECORD.match(content, place):
        end = place + int(match[1])
        value = content[match.end() : end - 1]
        yield match[2].decode(errors="replace"), value.decode("utf-8", "surrogateescape")
        place = end


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _without_bits(header: bytes, mode: int) -> bytes:
    changed = bytearray(header)
    changed[_MODE] = b"%07o\0" % (mode & ~SET_ID)
    changed[_SUM] = b" " * 8
    changed[_SUM] = b"%06o\0 " % sum(changed)
    return bytes(changed)
