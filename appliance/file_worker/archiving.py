"""Packing a whole tree into a .tar.gz for root, with links as links and nothing followed."""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
from typing import Any, BinaryIO, Final

from appliance.file_worker.reading import Steady
from appliance.file_worker.trees import (
    Found,
    RefusedError,
    Skipped,
    is_full,
    is_mostly_holes,
    open_file,
    opened,
    sentence,
    walk,
)

FILES_MAX: Final = 2_000_000
# Notebooks with pictures gain little from more, and it takes several times as long.
_LEVEL: Final = 3


def archive(source: int, top: str, stream: BinaryIO) -> dict[str, Any]:
    """Pack all that is below a folder; names in the archive begin with TOP/."""
    skipped = Skipped()
    try:
        with (
            gzip.GzipFile("", "wb", _LEVEL, stream, mtime=0) as packed,
            tarfile.open(mode="w|", fileobj=packed, format=tarfile.PAX_FORMAT) as tar,
        ):
            for found in walk(source, skipped, most=FILES_MAX):
                _add(found, top, tar, skipped)
        stream.flush()
        os.fsync(stream.fileno())
    except OSError as err:
        if is_full(err):
            raise RefusedError(
                "the disk with the archives is full", mend="delete an old archive, or make room"
            ) from err
        raise
    return {"skipped": skipped.told()}


def _add(found: Found, top: str, tar: tarfile.TarFile, skipped: Skipped) -> None:
    member = _member(found, top)
    if found.is_folder:
        member.type = tarfile.DIRTYPE
        tar.addfile(member)
    elif found.is_link:
        try:
            member.linkname = os.readlink(found.name, dir_fd=found.folder)
        except OSError as err:
            skipped.add(found.path, sentence(err))
            return
        member.type = tarfile.SYMTYPE
        tar.addfile(member)
    elif not found.is_file:
        skipped.add(found.path, "it is no file")
    elif is_mostly_holes(found.status):
        skipped.add(found.path, "it is large and almost all of it is empty")
    else:
        _add_file(found, member, tar, skipped)


def _member(found: Found, top: str) -> tarfile.TarInfo:
    status = found.status
    member = tarfile.TarInfo("/".join((top, *found.path)))
    member.mode = stat.S_IMODE(status.st_mode)
    member.uid, member.gid = status.st_uid, status.st_gid
    member.mtime = status.st_mtime
    return member


def _add_file(
    found: Found, member: tarfile.TarInfo, tar: tarfile.TarFile, skipped: Skipped
) -> None:
    try:
        descriptor = open_file(found.name, found.folder)
    except OSError as err:
        skipped.add(found.path, sentence(err))
        return
    with opened(descriptor):
        steady = Steady(descriptor)
        member.size = steady.size
        tar.addfile(member, _Stream(steady))  # type: ignore[arg-type]  # it only reads
    if steady.changed:
        skipped.add(found.path, "it changed while it was read, so it may be half old and half new")


class _Stream:
    """What `addfile` wants: a file's read()."""

    def __init__(self, steady: Steady) -> None:
        self._chunks = steady.chunks()
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        parts = []
        while size:
            if not self._rest:
                self._rest = memoryview(next(self._chunks, b""))
                if not self._rest:
                    break
            parts.append(self._rest[:size])
            self._rest = self._rest[size:]
            size -= len(parts[-1])
        return b"".join(parts)
