"""Classes' files in memory: paths and contents in dicts, which tests fill and look at."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from appliance.errors import SpawnRefused
from appliance.interfaces import (
    UPLOAD_MAX,
    Archived,
    Area,
    ClassFolder,
    Collected,
    Entry,
    HandedOut,
    Rule,
)
from appliance.names import Username, parse_archive, parse_folder, parse_home_folder

_WHEN = datetime(2026, 9, 1, 8, 0, tzinfo=UTC)


class FakeClassFiles:
    """Fulfils `appliance.interfaces.ClassFiles`."""

    def __init__(self) -> None:
        self.classes: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
        """Members and teachers by class."""
        self.courses: set[str] = set()
        """Classes that are courses of nbgrader's."""
        self.common: dict[tuple[str, str], bytes] = {}
        """By class and path below its folder: ("bio", "shared/lab/a.ipynb")."""
        self.homes: dict[tuple[str, str], bytes] = {}
        """By user and path below the home: ("ada", "bio/lab/a.ipynb")."""
        self.full_homes: set[str] = set()
        self.needs_restart: tuple[Username, ...] = ()
        """What the next `set_class` says."""
        self.archives: dict[str, list[str]] = {}
        self.forgotten_classes: list[str] = []
        self.files_failure: SpawnRefused | None = None
        """What every method here raises."""

    async def set_class(
        self,
        name: str,
        *,
        members: Sequence[Username],
        teachers: Sequence[Username],
        nbgrader: bool = False,
    ) -> ClassFolder:
        self._check_files()
        self.classes[name] = (frozenset(members) - frozenset(teachers), frozenset(teachers))
        (self.courses.add if nbgrader else self.courses.discard)(name)
        return ClassFolder(_slug(name), self.needs_restart)

    async def list_folder(
        self, name: str, user: Username, folder: str, area: Area = Area.SHARED
    ) -> list[Entry]:
        self._check_teacher(name, user)
        parse_folder(folder, may_be_empty=True)
        prefix = f"{area}/{folder}/" if folder else f"{area}/"
        sizes: dict[tuple[bool, str], int] = {}
        for (owner, path), content in self.common.items():
            if owner == name and path.startswith(prefix):
                first, _, rest = path.removeprefix(prefix).partition("/")
                sizes[not rest, first] = 0 if rest else len(content)
        return [
            Entry(one, "file" if is_file else "folder", size, _WHEN)
            for (is_file, one), size in sorted(sizes.items())
        ]

    async def put_file(self, name: str, user: Username, path: str, source: int) -> None:
        self._check_teacher(name, user)
        content = bytearray()
        while chunk := os.read(source, 2**16):
            content += chunk
            if len(content) > UPLOAD_MAX:
                raise SpawnRefused("cannot store the file", why="it is too large")
        self.common[name, f"shared/{parse_folder(path)}"] = bytes(content)

    async def hand_out(self, name: str, user: Username, folder: str, rule: Rule) -> HandedOut:
        self._check_member(name, user)
        prefix = f"shared/{parse_home_folder(folder)}/"
        found = {
            f"{_slug(name)}/{path.removeprefix('shared/')}": content
            for (owner, path), content in self.common.items()
            if owner == name and path.startswith(prefix)
        }
        if not found:
            raise SpawnRefused("cannot hand the folder out", why="there is no such folder")
        if user in self.full_homes:
            raise SpawnRefused("cannot hand the folder out", why="the home is full")
        counts: Counter[str] = Counter()
        for path, content in found.items():
            there = self.homes.get((user, path))
            kind, place = "copied", path
            if there == content or (there is not None and rule is Rule.KEEP):
                counts["kept"] += 1
                continue
            if there is not None and rule is Rule.REPLACE:
                kind = "replaced"
                self.homes[user, f"{path}.before-2026-09-01"] = there
            elif there is not None:
                kind, place = "beside", f"{path}-2"
            self.homes[user, place] = content
            counts[kind] += 1
            counts["bytes"] += len(content)
        return HandedOut(
            counts["copied"], counts["kept"], counts["replaced"], counts["beside"], counts["bytes"]
        )

    async def collect(
        self,
        name: str,
        users: Sequence[Username],
        teacher: Username,
        folder: str,
        place: str,
        *,
        told: Callable[[Username, Collected], None] | None = None,
    ) -> dict[Username, Collected]:
        self._check_teacher(name, teacher)
        reports = {}
        for user in users:
            self._check_member(name, user)
            reports[user] = self._collect_one(
                name, user, parse_home_folder(folder), parse_folder(place)
            )
            if told:
                told(user, reports[user])
        return reports

    def _collect_one(self, name: str, user: str, folder: str, place: str) -> Collected:
        prefix = f"{_slug(name)}/{folder}/"
        found = {
            path.removeprefix(prefix): content
            for (owner, path), content in self.homes.items()
            if owner == user and path.startswith(prefix)
        }
        if not found:
            return Collected(failure="there is no such folder")
        for path, content in found.items():
            self.common[name, f"collected/{place}/{user}/{path}"] = content
        return Collected(len(found), sum(map(len, found.values())))

    async def archive_class(
        self,
        name: str,
        archive: str,
        members: Sequence[Username],
        *,
        told: Callable[[Username], None] | None = None,
    ) -> Archived:
        self._check_class(name)
        homes = {
            user: sum(len(content) for (owner, _), content in self.homes.items() if owner == user)
            for user in members
        }
        for user in members:
            if told:
                told(user)
        self.archives[parse_archive(archive)] = [*members]
        return Archived(f"/srv/appliance/archives/{archive}", sum(homes.values()), homes, {})

    async def delete_archive(self, archive: str) -> None:
        self._check_files()
        self.archives.pop(parse_archive(archive), None)

    async def forget_class(self, name: str) -> None:
        self._check_files()
        self.classes.pop(name, None)
        self.common = {key: content for key, content in self.common.items() if key[0] != name}
        self.forgotten_classes.append(name)

    def _check_files(self) -> None:
        if self.files_failure:
            raise self.files_failure

    def _check_class(self, name: str) -> None:
        self._check_files()
        if name not in self.classes:
            raise SpawnRefused("cannot find the class's files", why="no such class is known here")

    def _check_teacher(self, name: str, user: str) -> None:
        self._check_class(name)
        if user not in self.classes[name][1]:
            raise SpawnRefused("cannot use the class's files", why=f"'{user}' does not teach it")

    def _check_member(self, name: str, user: str) -> None:
        self._check_class(name)
        if not any(user in people for people in self.classes[name]):
            raise SpawnRefused("cannot use the class's files", why=f"'{user}' is not in it")


def _slug(name: str) -> str:
    return name.lower().replace(" ", "-")
