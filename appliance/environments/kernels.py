"""Kernels that everybody sees: of environments, of other languages, and the ones Debian brings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from appliance.environments.kinds import write_spec
from appliance.environments.records import Records, check_name
from appliance.errors import ApplianceError, NotFound
from appliance.places import Places
from installer.files import remove_tree

CONNECTION: Final = "{connection_file}"
_SYSTEM: Final = (Path("/usr/local/share/jupyter"), Path("/usr/share/jupyter"))


@dataclass(frozen=True, slots=True)
class Recipe:
    """A kernel that is known to work, and what it needs."""

    command: tuple[str, ...]
    title: str
    language: str
    needs: str
    """A file in everybody's environment."""
    mend: str


RECIPES: Final = {
    "bash": Recipe(
        ("python", "-m", "bash_kernel", "-f", CONNECTION),
        "Bash",
        "bash",
        "lib/python3*/site-packages/bash_kernel",
        "sudo appliance env install bash_kernel",
    ),
}


@dataclass(frozen=True, slots=True)
class KernelSpec:
    """One, as Jupyter finds it; `origin`: environment, added, package or system."""

    name: str
    title: str
    language: str
    command: str
    origin: str
    works: bool
    """Whether its program is there."""


def kernels(places: Places) -> list[KernelSpec]:
    """In the order in which servers look: the first of a name counts."""
    found: dict[str, KernelSpec] = {}
    environments = set(Records(places).names())
    for folder, origin in _folders(places):
        for spec in sorted(folder.glob("kernels/*/kernel.json")):
            name = spec.parent.name
            if origin == "added" and name in environments:
                one = _read(places, spec, "environment")
            else:
                one = _read(places, spec, origin)
            if one:
                found.setdefault(name, one)
    return list(found.values())


def _folders(places: Places) -> Iterator[tuple[Path, str]]:
    yield places.jupyter, "added"
    yield places.user_environment / "share/jupyter", "package"
    for folder in _SYSTEM:
        yield folder, "system"


def _read(places: Places, path: Path, origin: str) -> KernelSpec | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        program = str(found["argv"][0])
        title, language = str(found["display_name"]), str(found["language"])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    return KernelSpec(
        path.parent.name, title, language, program, origin, _is_there(places, program)
    )


def _is_there(places: Places, program: str) -> bool:
    """As a server finds programs."""
    path = f"{places.user_environment}/bin:/usr/local/bin:/usr/bin:/bin"
    return shutil.which(program, path=path) is not None


def add_kernel(
    places: Places, name: str, command: Sequence[str], *, title: str, language: str
) -> None:
    """Let everybody see a kernel whose program is installed already; raises ApplianceError."""
    check_name(name)
    what = f"cannot add the kernel '{name}'"
    if name in Records(places).names():
        raise ApplianceError(what, why="an environment has the name", mend="choose another")
    recipe = None if command else RECIPES.get(name)
    if recipe:
        _check_needs(places, what, recipe)
        command, title = recipe.command, title or recipe.title
        language = language or recipe.language
    _check_command(places, what, command)
    spec = {
        "argv": list(command),
        "display_name": title or name,
        "language": language or name,
    }
    write_spec(places.jupyter / "kernels" / name, spec)


def _check_needs(places: Places, what: str, recipe: Recipe) -> None:
    if not any(places.user_environment.glob(recipe.needs)):
        raise ApplianceError(what, why="its program isn't installed", mend=recipe.mend)


def _check_command(places: Places, what: str, command: Sequence[str]) -> None:
    if not any(CONNECTION in word for word in command):
        known = ", ".join(RECIPES)
        raise ApplianceError(
            what,
            why=f"its command has no {CONNECTION}" if command else "there is no command",
            mend=f"appliance env kernel add NAME -- PROGRAM WORDS '{CONNECTION}'; "
            f"known without a command: {known}",
        )
    if not _is_there(places, command[0]):
        raise ApplianceError(what, why=f"there is no program {command[0]}", mend="install it first")


def remove_kernel(places: Places, name: str) -> None:
    """Take away one that was added."""
    check_name(name)
    folder = places.jupyter / "kernels" / name
    what = f"cannot remove the kernel '{name}'"
    if name in Records(places).names():
        raise ApplianceError(
            what, why="it is of an environment", mend=f"appliance env delete {name}"
        )
    if not folder.is_dir():
        raise NotFound(what, why="nobody added it", mend="appliance env kernel list")
    remove_tree(folder)
