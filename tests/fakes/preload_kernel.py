"""Kernels from a template, asked for as users' servers ask, without root and systemd."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.preload_server import ENVIRON, ROOT

PROGRAM = Path(__file__).with_name("preload_kernel_program.py")


@dataclass(frozen=True)
class KernelTemplate:
    socket: Path
    process: subprocess.Popen[bytes]
    found: dict[str, Any]
    """What it says of itself: remarks, threads, files, environ, cpu."""


@contextlib.contextmanager
def kernel_template(
    folder: Path,
    *,
    packages: tuple[str, ...] = (),
    python: str | Path = sys.executable,
    **environ: str,
) -> Iterator[KernelTemplate]:
    """A template that is ready to fork kernels; those outlive the block."""
    home = folder / "template-home"
    home.mkdir()
    path = folder / "kernel.sock"
    with subprocess.Popen(
        [str(python), str(PROGRAM), str(ROOT), str(path), json.dumps(packages)],
        env=ENVIRON | {"HOME": str(home)} | environ, cwd="/",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            assert process.stdout
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the template ended with status {process.wait()}")
            yield KernelTemplate(path, process, json.loads(line))
        finally:
            process.kill()
