"""What was asked for, in files below /etc/appliance that make the environments anew at any time.

Everybody's packages are in `user-requirements.txt`, which the installer reads too. A kernel's
environment NAME has the same two files in `environments/`, and a third that says how it is shown.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.errors import ApplianceError, NotFound
from appliance.places import Places
from installer.environments import LOCKED, WANTED
from installer.files import write_file

EVERYBODY: Final = ""
"""The name of the environment that users' servers run in."""
SYSTEM_PYTHON: Final = "/usr/bin/python3"
TITLE_MAX: Final = 60

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,30}")
# Kernels that are there already, and words that would read as something else.
_TAKEN: Final = frozenset({"python3", "python", "user", "hub", "spawner"})


@dataclass(frozen=True, slots=True)
class Record:
    """One environment as its owner wants it."""

    name: str = EVERYBODY
    wanted: str = ""
    locked: str = ""
    title: str = ""
    python: str = SYSTEM_PYTHON


def check_name(name: str) -> str:
    """Raise ApplianceError for what can't be the name of an environment."""
    what = f"cannot call an environment '{name}'"
    if not _NAME.fullmatch(name):
        raise ApplianceError(
            what,
            why="a name is up to 31 of a-z, 0-9, - and _, and begins with a letter or digit",
            mend="what people read can be longer: --title",
        )
    if name in _TAKEN:
        raise ApplianceError(what, why="the name is taken", mend="choose another")
    return name


class Records:
    """Reads and writes them."""

    def __init__(self, places: Places) -> None:
        self._settings = places.settings
        self._folder = places.settings / "environments"

    def names(self) -> list[str]:
        """All but everybody's."""
        return sorted(path.stem for path in self._folder.glob("*.json"))

    def read(self, name: str) -> Record:
        """Raises NotFound for a name that nobody gave."""
        wanted, locked = self._files(name)
        if name == EVERYBODY:
            return Record(name, _text(wanted), _text(locked))
        path = self._folder / f"{name}.json"
        try:
            found = json.loads(path.read_text("utf-8"))
            title, python = str(found["title"]), str(found["python"])
        except FileNotFoundError:
            known = ", ".join(self.names()) or "none yet"
            raise NotFound(
                f"cannot find the environment '{name}'",
                why=f"there are: {known}",
                mend="appliance env create NAME PACKAGE…",
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ApplianceError(
                f"cannot read {path}", why=str(error), mend=f"appliance env create {name} anew"
            ) from error
        return Record(name, _text(wanted), _text(locked), title, python)

    def write(self, record: Record) -> None:
        """The file that says what is asked for comes last: it puts the rest in force."""
        wanted, locked = self._files(record.name)
        if record.name != EVERYBODY:
            shown = {"title": record.title, "python": record.python}
            write_file(self._folder / f"{record.name}.json", json.dumps(shown).encode())
        write_file(locked, record.locked.encode())
        write_file(wanted, record.wanted.encode())

    def delete(self, name: str) -> None:
        for path in (self._folder / f"{name}.json", *self._files(name)):
            path.unlink(missing_ok=True)

    def _files(self, name: str) -> tuple[Path, Path]:
        if name == EVERYBODY:
            return self._settings / WANTED, self._settings / LOCKED
        return self._folder / f"{name}.txt", self._folder / f"{name}.lock"


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ApplianceError(
            f"cannot read {path}", why=str(error), mend="correct or delete it"
        ) from error
