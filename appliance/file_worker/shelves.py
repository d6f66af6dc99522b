"""What lies in a class's folder: its listing, uploads, and the links to it in homes."""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Mapping
from typing import Any, Final

from appliance.file_worker.trees import (
    RefusedError,
    is_full,
    make_below,
    opened,
    shown,
    status_of,
    write_all,
)

ENTRIES_MAX: Final = 5000

_UPLOAD: Final = ".upload-"
_CHUNK: Final = 2**20
# Longer than any upload takes; what is older was broken off.
_STALE_SECONDS: Final = 2 * 3600.0


def listing(folder: int) -> list[dict[str, Any]]:
    """What is in a folder and isn't hidden: folders first, then by name."""
    rows = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            status = status_of(entry.name, folder)
            if status is not None:
                rows.append(_row(entry.name, status))
            if len(rows) >= ENTRIES_MAX:
                break
    return sorted(rows, key=lambda row: (row["kind"] != "folder", row["name"].casefold()))


def _row(name: str, status: os.stat_result) -> dict[str, Any]:
    kind = "other"
    if stat.S_ISDIR(status.st_mode):
        kind = "folder"
    elif stat.S_ISREG(status.st_mode):
        kind = "file"
    size = status.st_size if kind == "file" else 0
    return {"name": shown(name), "kind": kind, "size": size, "modified": int(status.st_mtime)}


def put(top: int, parts: tuple[str, ...], source: int, most: int) -> dict[str, Any]:
    """Write what can be read from a descriptor; the file has its name once all of it is there."""
    with opened(make_below(top, parts[:-1], 0o777)) as folder:
        _remove_stale(folder)
        there = status_of(parts[-1], folder)
        if there is not None and stat.S_ISDIR(there.st_mode):
            raise RefusedError(
                f"{shown(parts[-1])} is a folder there", mend="choose another name for the file"
            )
        temporary = _UPLOAD + secrets.token_hex(8)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with opened(os.open(temporary, flags, 0o666, dir_fd=folder)) as target:
                size = _pour(source, target, most)
                os.fsync(target)
            os.rename(temporary, parts[-1], src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
        except (OSError, RefusedError) as err:
            if status_of(temporary, folder) is not None:
                os.unlink(temporary, dir_fd=folder)
            if isinstance(err, OSError) and is_full(err):
                raise RefusedError(
                    "the disk with the classes' files is full", mend="tell whoever runs the machine"
                ) from err
            raise
    return {"bytes": size}


def _pour(source: int, target: int, most: int) -> int:
    size = 0
    while chunk := os.read(source, _CHUNK):
        size += len(chunk)
        if size > most:
            raise RefusedError(f"it is larger than {most // 2**20} MB")
        write_all(target, chunk)
    return size


def _remove_stale(folder: int) -> None:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(_UPLOAD)]
    for name in names:
        status = status_of(name, folder)
        if status is not None and status.st_mtime < time.time() - _STALE_SECONDS:
            os.unlink(name, dir_fd=folder)


def own_folder(home: int, slug: str) -> int:
    """The class's folder in a home, made if need be."""
    try:
        return make_below(home, (slug,), 0o700)
    except OSError as err:
        if is_full(err):
            raise RefusedError(
                "the home is full", mend="remove files from the home, or give it more room"
            ) from err
        raise RefusedError(
            f"in the home, {slug} is no folder", mend=f"give {slug} another name there"
        ) from err


def make_links(own: int, links: Mapping[str, str], names: list[str], root: str) -> None:
    """Have just these links among `names`: others to somewhere below `root` go.

    What else has one of the names is the user's own, and stays.
    """
    for name in names:
        there, wanted = _target(name, own), links.get(name)
        if there is not None and there != wanted and there.startswith(f"{root}/"):
            os.unlink(name, dir_fd=own)
        if wanted is None or status_of(name, own) is not None:
            continue
        try:
            os.symlink(wanted, name, dir_fd=own)
        except OSError as err:
            if is_full(err):
                raise RefusedError(
                    "the home is full", mend="remove files from the home, or give it more room"
                ) from err
            raise


def _target(name: str, folder: int) -> str | None:
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:
        return None
