"""What tests ask of a machine, whatever it runs on."""

from __future__ import annotations

import shlex
import time
from abc import ABC, abstractmethod

from tests.integration.health import Allowed, find_problems
from tests.integration.ssh import CommandError, Result

COMMAND_SECONDS = 120


class Commands(ABC):
    """Lines of shell as root in a machine, and what is made of them."""

    def __init__(self) -> None:
        self.allowed = Allowed()

    @abstractmethod
    def attempt(
        self, command: str, *, timeout: float = COMMAND_SECONDS, stdin: bytes | str = b""
    ) -> Result:
        """Run a line of shell as root, whatever comes of it."""

    def execute(
        self, command: str, *, timeout: float = COMMAND_SECONDS, stdin: bytes | str = b""
    ) -> str:
        """Run a line of shell as root and return what it printed; raises when it fails."""
        result = self.attempt(command, timeout=timeout, stdin=stdin)
        if result.code != 0:
            raise CommandError(result.describe())
        return result.stdout

    def fail(self, command: str, *, timeout: float = COMMAND_SECONDS) -> Result:
        """Run a line of shell that must fail."""
        result = self.attempt(command, timeout=timeout)
        if result.code == 0:
            raise CommandError(f"this should have failed: {result.describe()}")
        return result

    def wait_until(self, command: str, *, timeout: float = 60) -> str:
        """Repeat a line of shell until it succeeds."""
        deadline = time.monotonic() + timeout
        while (result := self.attempt(command, timeout=timeout)).code != 0:
            if time.monotonic() > deadline:
                raise CommandError(f"no success within {timeout:.0f} s: {result.describe()}")
            time.sleep(0.3)
        return result.stdout

    def write_file(self, path: str, content: bytes | str, *, mode: int = 0o644) -> None:
        target = shlex.quote(path)
        self.execute(
            f"mkdir -p $(dirname {target}) && cat >{target} && chmod {mode:o} {target}",
            stdin=content,
        )

    def read_file(self, path: str) -> str:
        return self.execute(f"cat {shlex.quote(path)}")

    def journal(self, unit: str | None = None, *, lines: int = 200) -> str:
        """The journal's last lines, of one unit or of everything."""
        only = f"--unit={shlex.quote(unit)}" if unit else ""
        return self.attempt(f"journalctl --no-pager --lines={lines} {only}").stdout

    def problems(self) -> list[str]:
        """Sentences about failed units, complaints of ours, and servers left running."""
        return find_problems(self.execute, self.allowed)

    @abstractmethod
    def note_failed_test(self) -> None:
        """Save what helps to understand it; a machine of a failed test isn't checked at the end."""
