"""What servers wrote, and what systemd said about them, from the journal.

journalctl's arguments are fixed but for a unit's name, an invocation id and a number, all checked
before they come here; there is no shell.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Sequence
from typing import Final

log = logging.getLogger(__name__)

LINES_MAX: Final = 1000
_LINE_LENGTH_MAX: Final = 500
_TOTAL_MAX: Final = 40_000
_TIMEOUT_SECONDS: Final = 20
# SD_MESSAGE_UNIT_OUT_OF_MEMORY of sd-messages(3).
_OUT_OF_MEMORY: Final = "fe6faa94e7774663a0da52717891d8ef"


class Journal:
    """The machine's journal, seen through journalctl."""

    def read(self, unit: str, lines: int, *, sync: bool = False) -> list[str]:
        """The unit's last lines, oldest first, its own and systemd's about it.

        With `sync`, after journald has written what it was sent: a server's dying words matter
        most.
        """
        if sync:
            self._run(["--sync"])
        # fmt: off
        text = self._run([
            "--output=cat", "--no-pager", f"--lines={min(lines, LINES_MAX)}",
            f"_SYSTEMD_UNIT={unit}", "+", "_PID=1", f"UNIT={unit}",
        ])
        # fmt: on
        return _shortened(text.splitlines()[-lines:])

    def ran_out_of_memory(self, unit: str, invocation: str) -> bool:
        """Whether Linux killed a process of this life of the unit for want of memory."""
        # fmt: off
        text = self._run([
            "--output=cat", "--no-pager", "--lines=1", "--output-fields=MESSAGE_ID", "_PID=1",
            f"UNIT={unit}", f"INVOCATION_ID={invocation}", f"MESSAGE_ID={_OUT_OF_MEMORY}",
        ])
        # fmt: on
        return bool(text.strip())

    def _run(self, arguments: Sequence[str]) -> str:
        """A journal that can't be read is no reason to fail a start or a stop."""
        try:
            done = subprocess.run(
                ["journalctl", "--quiet", *arguments],
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TIMEOUT_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as err:
            log.warning("cannot read the journal: %s", err)
            return ""
        return done.stdout.decode(errors="replace")


def _shortened(lines: list[str]) -> list[str]:
    """Bounded in length and in all, the last lines kept."""
    kept: list[str] = []
    total = 0
    for line in reversed(lines):
        shown = line if len(line) <= _LINE_LENGTH_MAX else line[:_LINE_LENGTH_MAX] + "…"
        total += len(shown)
        if total > _TOTAL_MAX:
            break
        kept.append(shown)
    return kept[::-1]
