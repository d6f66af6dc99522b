"""Environments of packages that other people wrote and that must work with us, unmodified.

Each is pinned in tests/peers/NAME.txt, made once by uv, and kept in $APPLIANCE_PEERS (default
/var/tmp/appliance-peers) under a hash of its pins. After a change of a NAME.in:
`uv pip compile tests/peers/NAME.in --universal --python-version 3.11 --generate-hashes
--no-emit-index-url --no-emit-find-links --no-header --no-annotate -o tests/peers/NAME.txt`
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

PINS: Final = Path(__file__).parent.parent / "peers"
_MINUTES: Final = 5


def peer_environment(name: str) -> Path:
    """The environment of that name; programs are in its `bin`."""
    pins = PINS / f"{name}.txt"
    kept = Path(os.environ.get("APPLIANCE_PEERS", "/var/tmp/appliance-peers"))
    kept.mkdir(parents=True, exist_ok=True)
    key = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = kept / f"{name}-{key}"
    with (kept / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _make(folder, pins)
    return folder


def _make(folder: Path, pins: Path) -> None:
    # From scratch: what is there was left behind by a run that was broken off.
    shutil.rmtree(folder, ignore_errors=True)
    _uv("venv", "--quiet", "--python", sys.executable, str(folder))
    _uv(
        "pip", "install", "--quiet", "--require-hashes", "--compile-bytecode",
        "--python", str(folder / "bin" / "python"), "--requirements", str(pins),
    )  # fmt: skip
    (folder / "complete").touch()


def _uv(*arguments: str) -> None:
    beside = Path(sys.executable).parent / "uv"
    program = str(beside) if beside.exists() else "uv"
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=60 * _MINUTES, check=False
    )
    if done.returncode:
        raise RuntimeError(f"cannot make an environment of peers: {done.stderr[-2000:]}")
