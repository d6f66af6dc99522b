"""JupyterLab's and Notebook's own files, served by the proxy: the same for all, never changing.

When a class opens Lab at once, no Python process touches these. Only files whose name carries a
hash of their content are served this way, so that a browser may keep them for ever. They need no
log-in, as in jupyter_server itself: they are parts of public packages.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

COMPRESSED_TYPES: Final = frozenset({".js", ".css", ".json", ".svg", ".map", ".ttf", ".eot"})
# Below this a compressed answer saves no packet.
SMALLEST_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class StaticRoots:
    """Directories of the user environment by the address below a server; None: not installed."""

    lab: Path | None = None
    """static/lab/"""
    notebook: Path | None = None
    """static/notebook/"""
    extensions: Path | None = None
    """lab/extensions/"""


def find_static_roots(user_env: Path) -> StaticRoots:
    """Look where the packages in a user environment put their files."""
    notebook = sorted(user_env.glob("lib/python3*/site-packages/notebook/static"))
    return StaticRoots(
        lab=_directory(user_env / "share/jupyter/lab/static"),
        notebook=_directory(notebook[-1]) if notebook else None,
        extensions=_directory(user_env / "share/jupyter/labextensions"),
    )


def _directory(path: Path) -> Path | None:
    return path if path.is_dir() else None


def precompress(user_env: Path) -> int:
    """Write a .gz beside each file worth it, for nginx's gzip_static; returns how many are new.

    Part of installing the user environment, and safe to run again: what is up to date is kept.
    """
    roots = find_static_roots(user_env)
    written = 0
    for root in (roots.lab, roots.notebook, roots.extensions):
        for path in _compressible(root) if root else ():
            written += _compress(path)
    return written


def _compressible(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        wanted = path.suffix in COMPRESSED_TYPES and path.is_file()
        if wanted and path.stat().st_size >= SMALLEST_BYTES:
            yield path


def _compress(path: Path) -> bool:
    packed = path.with_name(f"{path.name}.gz")
    status = path.stat()
    if packed.exists() and packed.stat().st_mtime_ns == status.st_mtime_ns:
        return False
    partial = path.with_name(f".{path.name}.gz.new")
    # The file's own time goes on the copy, not into it: the same input gives the same bytes.
    partial.write_bytes(gzip.compress(path.read_bytes(), compresslevel=9, mtime=0))
    partial.chmod(status.st_mode & 0o777)
    os.utime(partial, ns=(status.st_atime_ns, status.st_mtime_ns))
    partial.replace(packed)
    return True
