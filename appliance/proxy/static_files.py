"""JupyterLab's and Notebook's own files, served by the proxy: the same for all, never changing.

When a class opens Lab at once, no Python process touches these. Only files whose name carries a
hash of their content are served this way, so that a browser may keep them for ever. They need no
log-in, as in jupyter_server itself: they are parts of public packages. Those of the hub's pages,
which have the hash in the query, are served the same way.
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
    """Directories of the user environment by the address below a server; None: not there."""

    lab: Path | None = None
    """static/lab/"""
    notebook: Path | None = None
    """static/notebook/"""
    extensions: Path | None = None
    """lab/extensions/"""
    hub: Path | None = None
    """The hub's static/, of the hub's environment"""


def find_static_roots(user_env: Path, hub_env: Path | None = None) -> StaticRoots:
    """Look where the packages in the environments put their files."""
    return StaticRoots(
        lab=_directory(user_env / "share/jupyter/lab/static"),
        notebook=_of_package(user_env, "notebook/static"),
        extensions=_directory(user_env / "share/jupyter/labextensions"),
        hub=_of_package(hub_env, "appliance/web/static") if hub_env else None,
    )


def _of_package(environment: Path, folder: str) -> Path | None:
    found = sorted(environment.glob(f"lib/python3*/site-packages/{folder}"))
    return _directory(found[-1]) if found else None


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
