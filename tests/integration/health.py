"""What must be true of every machine after every test: nothing failed, nothing complained."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

_UNIT_FIELDS: Final = ("_SYSTEMD_UNIT", "UNIT", "OBJECT_SYSTEMD_UNIT", "COREDUMP_UNIT")
_OURS: Final = "appliance-"

_FAILED: Final = "systemctl list-units --all --state=failed --plain --no-legend --full"
_LEFT: Final = "systemctl list-units --all --plain --no-legend --full 'appliance-user-*'"
_ERRORS: Final = "journalctl --no-pager --priority=err --output=json"


@dataclass
class Allowed:
    """Regular expressions for what a test brings about on purpose."""

    errors: list[str] = field(default_factory=list)
    failed_units: list[str] = field(default_factory=list)
    left_units: list[str] = field(default_factory=list)


def find_problems(execute: Callable[[str], str], allowed: Allowed) -> list[str]:
    """Sentences about everything wrong with a machine; `execute` runs a command on it."""
    failed = _names(execute(_FAILED), allowed.failed_units)
    left = _names(execute(_LEFT), allowed.left_units)
    errors = _without(_our_errors(execute(_ERRORS)), allowed.errors)
    return [
        *(f"failed unit: {name}" for name in failed),
        *(f"unit left over: {name}" for name in left),
        *(f"error in the journal: {line}" for line in errors),
    ]


def _names(listing: str, allowed: list[str]) -> list[str]:
    return _without([line.split()[0] for line in listing.splitlines() if line.split()], allowed)


def _without(lines: Iterable[str], allowed: list[str]) -> list[str]:
    return [line for line in lines if not any(re.search(pattern, line) for pattern in allowed)]


def _our_errors(journal: str) -> list[str]:
    """`unit: message` of the journal's entries that a unit of ours wrote or that are about one."""
    found = []
    for line in journal.splitlines():
        entry = json.loads(line)
        units = [str(entry[name]) for name in _UNIT_FIELDS if name in entry]
        ours = [unit for unit in units if unit.startswith(_OURS)]
        if ours:
            found.append(f"{ours[0]}: {_text(entry.get('MESSAGE'))}")
    return found


def _text(message: object) -> str:
    # journalctl writes what isn't UTF-8 as a list of bytes.
    if isinstance(message, list):
        return bytes(message).decode(errors="replace")
    return str(message)
