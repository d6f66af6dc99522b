"""The ordered list of steps, and what going through it means.

Every step finds out by itself what is left to do, so the same list installs, heals what an
interruption or a person broke, and updates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from installer.events import Reporter


class Step(Protocol):
    """One thing that must be so on the machine."""

    title: str

    def is_done(self) -> bool:
        """Look, and change nothing."""
        ...

    def apply(self) -> None:
        """Make it so; InstallError says why not. Being interrupted anywhere does no harm."""
        ...


def carry_out(steps: Sequence[Step], reporter: Reporter) -> list[str]:
    """Apply what isn't done, in order; the titles of what was applied."""
    applied = []
    for step in steps:
        if step.is_done():
            reporter.output(f"is done: {step.title}")
            continue
        reporter.stage(step.title)
        step.apply()
        applied.append(step.title)
    return applied
