"""Whose files are whose: the stores of the spawner daemon, read as they are. Standard library only.

Only READY and PLANNED accounts count: those of removed users stay as they were.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from appliance.errors import ApplianceError
from appliance.places import Places

_CURRENT: Final = frozenset({"planned", "ready"})


@dataclass(frozen=True, slots=True)
class Owner:
    """A user with the Unix account that the files belong to."""

    user: str
    uid: int
    home: Path


@dataclass(frozen=True, slots=True)
class ClassFolder:
    """A class with its folder."""

    name: str
    number: int
    """That of its students' group, which no other class ever gets: the quotas' project, too."""
    folder: Path
    teachers: frozenset[str]


def owners(places: Places) -> list[Owner]:
    """Everybody who has an account; raises ApplianceError for a store that can't be read."""
    return [
        Owner(str(row["user"]), int(row["uid"]), places.homes / str(row["name"]))
        for row in _rows(places.spawner_state / "accounts.json", "accounts")
    ]


def class_folders(places: Places) -> list[ClassFolder]:
    """Every class that has a folder; raises ApplianceError like `owners`."""
    return [
        ClassFolder(
            name=str(row["name"]),
            number=int(row["students_group"]),
            folder=places.class_files / "classes" / str(row["slug"]),
            teachers=frozenset(map(str, row["teachers"])),
        )
        for row in _rows(places.spawner_state / "classes.json", "classes")
    ]


def _rows(store: Path, key: str) -> Iterator[dict[str, Any]]:
    try:
        rows = json.loads(store.read_bytes())[key]
        yield from (row for row in rows if row["state"] in _CURRENT)
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ApplianceError(
            "cannot tell whose files are whose",
            why=f"{store}: {type(error).__name__}: {error}",
            mend=f"restore {store} from a backup",
        ) from error
