"""Which folder and which Unix groups belong to which class: allocated once, stored, never reused.

A later class of the same name must not get what an earlier one left, and a number in a file's
access list means for ever the people that it meant first. As with accounts, every change is stored
before it is made on the machine. Who is in a class is stored here alone: servers get the groups
when they start, and /etc/group names no members.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from appliance.errors import SpawnRefused
from appliance.names import Username
from appliance.systemd_spawner.accounts import StoreDamagedError, write_atomically

# Below the accounts' numbers, above those of packages and people; not above 65535, which machines
# in containers don't have.
FIRST_GROUP: Final = 10_000
LAST_GROUP: Final = 19_999

STUDENT: Final = "student"
TEACHER: Final = "teacher"

_FORMAT: Final = 1
_SLUG_MAX: Final = 20


class ClassState(StrEnum):
    """How far a class's making or removal has come."""

    PLANNED = "planned"
    READY = "ready"
    RETIRING = "retiring"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class StoredClass:
    """A class with its folder's name, the numbers of its groups, and who is in it."""

    name: str
    slug: str
    students_group: int
    teachers_group: int
    state: ClassState = ClassState.PLANNED
    students: frozenset[Username] = frozenset()
    teachers: frozenset[Username] = frozenset()
    settled: Mapping[Username, str] = field(default_factory=dict)
    """Who has drop box and links, and as what."""
    nbgrader: bool = False
    """Whether it is a course of nbgrader's, with an exchange."""

    @property
    def is_current(self) -> bool:
        return self.state in (ClassState.PLANNED, ClassState.READY)

    def role_of(self, user: Username) -> str:
        """student, teacher, or empty for others."""
        if user in self.teachers:
            return TEACHER
        return STUDENT if user in self.students else ""

    def group_of(self, user: Username) -> int:
        return self.teachers_group if user in self.teachers else self.students_group

    @property
    def group_names(self) -> dict[str, int]:
        return {f"nbc-{self.slug}": self.students_group, f"nbt-{self.slug}": self.teachers_group}


class ClassStore:
    """The stored mapping; every method may be called from any thread."""

    def __init__(
        self,
        path: Path,
        *,
        is_slug_taken: Callable[[str], bool],
        is_id_taken: Callable[[int], bool],
    ) -> None:
        """Read the store; raise StoreDamagedError rather than begin anew and reuse numbers."""
        self._path = path
        self._is_slug_taken = is_slug_taken
        self._is_id_taken = is_id_taken
        self._lock = threading.RLock()
        self._classes, self._next_group = _read(path)

    def find(self, name: str) -> StoredClass | None:
        with self._lock:
            return next((one for one in self._classes if one.is_current and one.name == name), None)

    def all_in(self, state: ClassState) -> list[StoredClass]:
        with self._lock:
            return [one for one in self._classes if one.state is state]

    def classes_of(self, user: Username) -> list[StoredClass]:
        """Those that a user is in or teaches, with their folders made."""
        with self._lock:
            return [
                one for one in self._classes if one.state is ClassState.READY and one.role_of(user)
            ]

    def plan(self, name: str) -> StoredClass:
        """The class of that name, allocated now if need be; raises SpawnRefused."""
        with self._lock:
            found = self.find(name)
            if found is not None:
                return found
            taken = {one.slug for one in self._classes}
            slug = next(
                slug
                for slug in _candidates(name)
                if slug not in taken and not self._is_slug_taken(slug)
            )
            students_group = self._free_id(name, self._next_group)
            teachers_group = self._free_id(name, students_group + 1)
            planned = StoredClass(name, slug, students_group, teachers_group)
            self._write([*self._classes, planned], teachers_group + 1)
            return planned

    def _free_id(self, name: str, first: int) -> int:
        for number in range(first, LAST_GROUP + 1):
            if not self._is_id_taken(number):
                return number
        raise SpawnRefused(
            f"cannot make the folder of the class '{name}'",
            why=f"all group ids from {FIRST_GROUP} to {LAST_GROUP} have been used",
            mend="use a new machine; ids of removed classes are never used again",
        )

    def change(self, slug: str, **values: Any) -> StoredClass:
        """Set some fields of the class with that folder."""
        with self._lock:
            before = next(one for one in self._classes if one.slug == slug)
            after = replace(before, **values)
            if after != before:
                self._put([after if one is before else one for one in self._classes])
            return after

    def set_people(
        self, slug: str, *, students: Collection[Username], teachers: Collection[Username]
    ) -> StoredClass:
        """Say who is in the class; who is in it anew is yet to be settled."""
        with self._lock:
            one = next(one for one in self._classes if one.slug == slug)
            taught = frozenset(teachers)
            attended = frozenset(students) - taught
            settled = {
                user: role for user, role in one.settled.items() if user in attended | taught
            }
            return self.change(slug, students=attended, teachers=taught, settled=settled)

    def settle(self, slug: str, user: Username, role: str) -> None:
        """Remember that the user has drop box and links."""
        with self._lock:
            one = next(one for one in self._classes if one.slug == slug)
            self.change(slug, settled={**one.settled, user: role})

    def rename_user(self, user: Username, new: Username) -> None:
        """Let what is the user's be the new name's."""
        self._map_users(lambda one: new if one == user else one)

    def forget_user(self, user: Username) -> None:
        """Take a user out of every class."""
        self._map_users(lambda one: None if one == user else one)

    def _map_users(self, mapped: Callable[[Username], Username | None]) -> None:
        def people(users: Collection[Username]) -> frozenset[Username]:
            return frozenset(new for user in users if (new := mapped(user)) is not None)

        with self._lock:
            changed = [
                replace(
                    one,
                    students=people(one.students),
                    teachers=people(one.teachers),
                    settled={
                        new: role
                        for user, role in one.settled.items()
                        if (new := mapped(user)) is not None
                    },
                )
                for one in self._classes
            ]
            if changed != self._classes:
                self._put(changed)

    def _put(self, classes: list[StoredClass]) -> None:
        self._write(classes, self._next_group)

    def _write(self, classes: list[StoredClass], next_group: int) -> None:
        """Store first, then remember: memory never runs ahead of the disk."""
        content = {
            "format": _FORMAT,
            "next_group": next_group,
            "classes": [_row(one) for one in classes],
        }
        try:
            write_atomically(self._path, json.dumps(content, indent=1).encode())
        except OSError as err:
            raise SpawnRefused(
                "cannot store the classes",
                why=str(err),
                mend=f"see whether the disk of {self._path.parent} is full or read-only",
            ) from err
        self._classes, self._next_group = classes, next_group


def _candidates(name: str) -> Iterator[str]:
    """biology-7b, biology-7b-2, …: of a group's alphabet, and short enough for a group's name."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower())[:_SLUG_MAX].strip("-") or "class"
    yield slug
    number = 2
    while True:
        yield f"{slug}-{number}"
        number += 1


def _row(one: StoredClass) -> dict[str, Any]:
    return {
        "name": one.name,
        "slug": one.slug,
        "students_group": one.students_group,
        "teachers_group": one.teachers_group,
        "state": one.state,
        "students": sorted(one.students),
        "teachers": sorted(one.teachers),
        "settled": dict(one.settled),
        "nbgrader": one.nbgrader,
    }


def _read(path: Path) -> tuple[list[StoredClass], int]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return [], FIRST_GROUP
    except (OSError, ValueError) as err:
        raise _damaged(path, str(err)) from err
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise _damaged(path, f"its format is not {_FORMAT}")
    try:
        classes = [_class_of(row) for row in content["classes"]]
        highest = max((one.teachers_group for one in classes), default=FIRST_GROUP - 1)
        return classes, max(int(content["next_group"]), highest + 1)
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise _damaged(path, f"{type(err).__name__}: {err}") from err


def _class_of(row: dict[str, Any]) -> StoredClass:
    return StoredClass(
        str(row["name"]),
        str(row["slug"]),
        int(row["students_group"]),
        int(row["teachers_group"]),
        ClassState(row["state"]),
        frozenset(Username(str(user)) for user in row["students"]),
        frozenset(Username(str(user)) for user in row["teachers"]),
        {Username(str(user)): str(role) for user, role in row["settled"].items()},
        nbgrader=bool(row.get("nbgrader", False)),
    )


def _damaged(path: Path, why: str) -> StoreDamagedError:
    return StoreDamagedError(
        "cannot read which folders and groups belong to which class",
        why=f"{path}: {why}",
        mend=f"restore {path} from a backup",
    )
