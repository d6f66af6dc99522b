"""The file system that machines start from: Debian 12 with both sides' Debian packages, cached.

It also carries warm package caches, filled by installing both sides once in a copy that is thrown
away, so that a measured install downloads nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks import host
from benchmarks.console import say
from benchmarks.machine import booted

NODE: Final = "node@22"
_SUITE: Final = "bookworm"
_PACKAGES: Final = (
    "systemd,systemd-sysv,dbus,ca-certificates,curl,git,iproute2,procps,sudo,"
    "python3,python3-venv,python3-pystemd,nginx-light,nodejs,npm,wrk"
)
_CACHES: Final = ("root/.cache", "root/.npm", "opt/appliance/wheels/cache")


def base(cache: Path) -> Path:
    """Return the base file system, made now if the cache has none; a half-made one is made anew."""
    key = hashlib.sha256(f"{_SUITE} {_PACKAGES} {NODE}".encode()).hexdigest()[:12]
    root = cache / f"base-{key}"
    if (root / "benchmark-ready").exists():
        host.copy_settings_to(root)
        return root
    remove(root)
    cache.mkdir(parents=True, exist_ok=True)
    say(f"making the base file system in {root} (once)")
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={_PACKAGES}",
         "--aptopt=APT::Install-Recommends \"false\"", _SUITE, str(root)],
        check=True, timeout=600,
    )  # fmt: skip
    host.copy_settings_to(root)
    # Debian's nginx starts by itself; neither side uses it as it comes.
    nginx = root / "etc/systemd/system/multi-user.target.wants/nginx.service"
    nginx.unlink(missing_ok=True)
    with booted(root) as machine:
        machine.run(f"npm install -g --no-audit --no-fund --prefix /opt/node {NODE}", timeout=300)
    (root / "benchmark-ready").touch()
    return root


@contextlib.contextmanager
def copied(root: Path, target: Path, *, keep: bool = False) -> Iterator[Path]:
    """Copy a file system, and remove the copy at the end unless it shall be kept."""
    remove(target)
    subprocess.run(["cp", "-a", "--reflink=auto", str(root), str(target)], check=True, timeout=300)
    try:
        yield target
    finally:
        if not keep:
            remove(target)


def has_warm_caches(root: Path, what: str) -> bool:
    """Whether caches were filled by installing `what`, with the packages asked for now."""
    return _mark(root, what).exists()


def carry_caches(source: Path, target: Path, what: str) -> None:
    """Put the package caches of one file system into another, which then counts as warm."""
    for name in _CACHES:
        if (source / name).is_dir():
            remove(target / name)
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", str(source / name), str(target / name)], check=True)
    _mark(target, what).touch()


def _mark(root: Path, what: str) -> Path:
    folder = Path(__file__).parent
    asked = sorted((folder.parent / "installer/requirements").glob("*.txt"))
    asked.append(folder / "peer_files/requirements.txt")
    text = b"".join(path.read_bytes() for path in asked)
    return root / f"benchmark-warm-{what}-{hashlib.sha256(text).hexdigest()[:12]}"


def remove(root: Path) -> None:
    """Remove a tree that may hold immutable leftovers of a machine that was killed."""
    if root.exists():
        subprocess.run(["chattr", "-R", "-i", str(root)], check=False, capture_output=True)
        shutil.rmtree(root)
