"""What a chore is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.config.schema import Config
from appliance.places import Places


@dataclass(frozen=True, slots=True)
class Chore:
    """Something that is looked at regularly; `run` is quick, or starts a unit of its own.

    It writes findings (`appliance/findings.py`); ApplianceError and OSError from it are logged.
    """

    name: str
    every_seconds: int
    """Shorter than the timer's quarter of an hour means: each time."""
    run: Callable[[Config, Places], None]
