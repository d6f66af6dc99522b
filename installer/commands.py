"""Running other programs: their lines are reported as they come, and kept for the error message."""

from __future__ import annotations

import os
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from appliance.errors import InstallError
from installer.events import Reporter

_LINES_KEPT = 12


def run(
    command: Sequence[str | Path],
    *,
    failure: str,
    reporter: Reporter,
    mend: str = "",
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a program to its end; raise InstallError with its last lines if it fails."""
    words = [str(word) for word in command]
    reporter.output("+ " + " ".join(words))
    last: deque[str] = deque(maxlen=_LINES_KEPT)
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **(environment or {})},
        )
    except OSError as err:
        raise InstallError(failure, why=f"{words[0]}: {err.strerror}", mend=mend) from err
    with process:
        for line in process.stdout or ():
            last.append(line.rstrip())
            reporter.output(line.rstrip())
    if process.returncode:
        why = "\n".join(last) or f"{words[0]} ended with code {process.returncode}"
        raise InstallError(failure, why=why, mend=mend)


def succeeds(*command: str) -> bool:
    """Whether a program says yes by its exit code; it may be missing."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
