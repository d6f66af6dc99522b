"""From a student's home to the teachers: packed by the student's program, unpacked by theirs."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any, BinaryIO, Final

from appliance.file_worker.bundles import Item, Reader, Writer
from appliance.file_worker.reading import Steady
from appliance.file_worker.trees import (
    Found,
    RefusedError,
    Skipped,
    is_full,
    is_mostly_holes,
    make_below,
    open_below,
    open_file,
    open_folder,
    opened,
    sentence,
    status_of,
    walk,
)

FILES_MAX: Final = 10_000
BYTES_MAX: Final = 2**30

_TOO_MUCH: Final = "there is more than 1 GB in it"
_MEND_TOO_MUCH: Final = "ask the student to move large data out of the folder"


def pack(source: int, stream: BinaryIO) -> dict[str, Any]:
    """Write what is below a folder into a bundle."""
    skipped = Skipped()
    writer = Writer(stream)
    total = 0
    try:
        for found in walk(source, skipped, most=FILES_MAX):
            if found.is_folder:
                writer.folder(found.path, max(0, found.status.st_mtime_ns))
            elif found.is_file:
                total += _pack_file(found, writer, skipped, BYTES_MAX - total)
            else:
                skipped.add(found.path, "it is a link" if found.is_link else "it is no file")
        writer.end()
    except OSError as err:
        if is_full(err):
            raise _disk_is_full() from err
        raise
    return {"skipped": skipped.told()}


def _pack_file(found: Found, writer: Writer, skipped: Skipped, room: int) -> int:
    if is_mostly_holes(found.status):
        skipped.add(found.path, "it is large and almost all of it is empty")
        return 0
    if found.status.st_size > room:
        raise RefusedError(_TOO_MUCH, mend=_MEND_TOO_MUCH)
    try:
        descriptor = open_file(found.name, found.folder)
    except OSError as err:
        skipped.add(found.path, sentence(err))
        return 0
    with opened(descriptor):
        steady = Steady(descriptor)
        if steady.size > room:
            raise RefusedError(_TOO_MUCH, mend=_MEND_TOO_MUCH)
        stream = writer.file(found.path, steady.size, steady.modified_ns)
        for chunk in steady.chunks():
            stream.write(chunk)
    if steady.changed:
        skipped.add(found.path, "it changed while it was read, so it may be half old and half new")
    return steady.size


class Unpacking:
    """One student's bundle into collected/PLACE/USER, which appears complete or not at all."""

    def __init__(self, place: int, user: str) -> None:
        self._place = place
        self._user = user
        self._part = f".{user}.part"
        self._manifest = f"{user}.manifest.json"
        self._files: list[dict[str, Any]] = []
        self._count = 0
        self._bytes = 0

    def run(self, stream: BinaryIO, about: dict[str, Any]) -> dict[str, Any]:
        """`about` goes into the manifest; raises RefusedError with nothing left behind."""
        if status_of(self._user, self._place) is not None:
            raise RefusedError(
                "it was collected to this place before", mend="collect to another place"
            )
        self._clean()
        try:
            os.mkdir(self._part, 0o777, dir_fd=self._place)
            with opened(open_folder(self._part, self._place)) as top:
                reader = Reader(stream)
                for item in reader.items():
                    self._take(item, reader, top)
            self._write_manifest(about)
            os.rename(self._part, self._user, src_dir_fd=self._place, dst_dir_fd=self._place)
            os.fsync(self._place)
        except (OSError, RefusedError) as err:
            self._clean()
            if isinstance(err, OSError) and is_full(err):
                raise _disk_is_full() from err
            raise
        return {"files": len(self._files), "bytes": self._bytes}

    def _clean(self) -> None:
        shutil.rmtree(self._part, ignore_errors=True, dir_fd=self._place)
        if status_of(self._manifest, self._place) is not None:
            os.unlink(self._manifest, dir_fd=self._place)

    def _take(self, item: Item, reader: Reader, top: int) -> None:
        self._count += 1
        self._bytes += item.size or 0
        if self._count > FILES_MAX or self._bytes > BYTES_MAX:
            raise RefusedError(_TOO_MUCH, mend=_MEND_TOO_MUCH)
        with opened(open_below(top, item.path[:-1])) as folder:
            if item.is_folder:
                os.mkdir(item.path[-1], 0o777, dir_fd=folder)
                return
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with opened(os.open(item.path[-1], flags, 0o666, dir_fd=folder)) as target:
                digest = reader.copy(item, target)
                os.utime(target, ns=(item.modified_ns, item.modified_ns))
                os.fsync(target)
        self._files.append(
            {
                "path": "/".join(item.path),
                "size": item.size,
                "modified": item.modified_ns // 10**9,
                "sha256": digest,
            }
        )

    def _write_manifest(self, about: dict[str, Any]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._manifest, flags, 0o666, dir_fd=self._place)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump({**about, "files": self._files}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())


def open_place(collected: int, parts: tuple[str, ...]) -> int:
    """collected/PLACE, made if need be; class mates of the teacher's get in by its access list."""
    return make_below(collected, parts, 0o777)


def _disk_is_full() -> RefusedError:
    return RefusedError(
        "the disk with the classes' files is full", mend="tell whoever runs the machine"
    )
