"""The power supply of a test machine: User-Mode Linux as a process that can't outlive its owner.

The machine runs in a process namespace of its own. The namespace's first process ends when its
standard input does, and the other end of that pipe is ours: closing it, or dying in any way, cuts
the power of the whole machine at once.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_SUPERVISE: Final = 'exec 3<&0; "$@" </dev/null 3<&- & cat <&3 >/dev/null & wait -n'
_SECONDS_TO_DIE: Final = 20


class Power:
    """One machine's supply, off at first."""

    def __init__(self, *, console: Path) -> None:
        self._console = console
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_on(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def switch_on(self, kernel: Sequence[str]) -> int:
        """Run a kernel's command line; returns the process to kill should we be killed."""
        self.cut()
        with self._console.open("ab") as console:
            self._process = subprocess.Popen(
                ["unshare", "--pid", "--fork", "--kill-child",
                 "bash", "-c", _SUPERVISE, "supervise", *kernel],
                stdin=subprocess.PIPE, stdout=console, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        return self._process.pid

    def cut(self) -> None:
        """Take the power away; returns when no process of the machine is left."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_SECONDS_TO_DIE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_SECONDS_TO_DIE)
        self._process = None

    def wait_for_off(self, *, timeout: float) -> bool:
        """Whether the machine switched itself off within the time."""
        if self._process is not None:
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                return False
            self.cut()
        return True

    def console_tail(self, lines: int = 20) -> str:
        """The last lines of the serial console, for error messages."""
        if not self._console.exists():
            return "(no console output)"
        text = self._console.read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])
