"""Writing files so that a power cut leaves the old content or the new, never half of one."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
from pathlib import Path


def write_file(path: Path, content: bytes, *, mode: int = 0o644) -> bool:
    """Put content and mode in place; False if they were there already."""
    if path.is_file() and not path.is_symlink() and path.read_bytes() == content:
        if path.stat().st_mode & 0o7777 == mode:
            return False
        path.chmod(mode)
        return True
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_directory(path.parent)
    return True


def sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def point_link(link: Path, target: str) -> bool:
    """Make a symbolic link point to `target` by one rename; False if it did."""
    if link.is_symlink() and str(link.readlink()) == target:
        return False
    if link.is_dir() and not link.is_symlink():
        # No release of ours made a directory here; put what it is aside instead of deleting it.
        link.rename(link.with_name(f"{link.name}.old-{os.getpid()}"))
    link.parent.mkdir(parents=True, exist_ok=True)
    beside = link.with_name(f".{link.name}.new")
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    beside.replace(link)
    sync_directory(link.parent)
    return True


def digest_of(*parts: bytes | str) -> str:
    """A short name for content; parts are delimited, so that no two lists give the same."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()[:12]


def remove_tree(path: Path) -> None:
    """Delete a directory and what is in it; nothing there is no error."""
    if not path.exists():
        return
    try:
        shutil.rmtree(path)
    except RecursionError:
        # Users' folders can be deeper than Python goes; rm(1) manages any.
        command = ["rm", "-rf", "--one-file-system", "--", str(path)]
        subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, check=False)
        if path.exists():
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(path)) from None
