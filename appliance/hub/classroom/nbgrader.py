"""nbgrader for classes: whether it is on, and whether it is installed for everybody's notebooks.

Which courses somebody has follows from the class folders that they may enter; what nbgrader itself
is told is written by the users' servers (`appliance/singleuser/nbgrader.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.errors import Conflict
from appliance.hub.classroom.classes import Classes, ClassView
from appliance.hub.classroom.people import People
from appliance.texts import say

MEND = (
    "install the package nbgrader for everybody's notebooks (sudo appliance env install nbgrader)"
)


@dataclass(frozen=True, slots=True)
class NbgraderState:
    """What the page says of nbgrader in a class."""

    on: bool
    version: str
    """The installed version; empty means that it isn't there."""
    course: str
    """The course's name, which is that of the class's folder."""


class Nbgrader:
    """Switches nbgrader on and off for classes."""

    def __init__(self, *, classes: Classes, people: People, user_environment: Path) -> None:
        self._classes = classes
        self._people = people
        self._environment = user_environment

    @property
    def version(self) -> str:
        """The version that servers would load; empty if there is none."""
        found = self._environment.glob("lib/python3*/site-packages/nbgrader-*.dist-info")
        return next((one.name.split("-")[1].removesuffix(".dist") for one in found), "")

    def state(self, one: ClassView, slug: str) -> NbgraderState:
        return NbgraderState(one.has_nbgrader, self.version, slug)

    async def switch(self, one: ClassView, *, on: bool) -> ClassView:
        """Let the class have nbgrader, or not; raises Conflict where it isn't installed."""
        if on and not self.version:
            raise Conflict(
                say("cannot switch nbgrader on for the class {name!r}", name=one.name),
                why="it is not installed",
                mend=MEND,
            )
        changed = self._classes.change(one.name, has_nbgrader=on)
        # The class's folder follows.
        await self._people.changed(one.name)
        return changed
