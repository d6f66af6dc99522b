"""Telling file systems how much everybody may keep, and turning enforcement on where they only
count.

What an admin set by hand for others, or where we have no limit, is left alone: only what was set
here is ever taken back.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from appliance.config.files import write_atomically
from appliance.config.schema import Config
from appliance.disk.file_systems import FileSystem, find
from appliance.disk.limits import HubGroups, Limit, home_limits, with_classes
from appliance.disk.need import memory_file, writable_folders
from appliance.disk.people import ClassFolder, Owner, class_folders, owners
from appliance.disk.projects import give_project, project_of
from appliance.disk.quotactl import Kind, QuotaError, enforce, read_quota, set_quota
from appliance.places import Places

log = logging.getLogger("appliance.disk")


@dataclass(slots=True)
class Memory:
    """What was set before, by file system, kind and number; and who was in which group."""

    given: dict[str, list[int]] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Memory:
        with suppress(OSError, ValueError, TypeError, KeyError):
            found = json.loads(path.read_bytes())
            return cls(dict(found["given"]), dict(found["groups"]))
        return cls()

    def write(self, path: Path) -> None:
        content = {"given": self.given, "groups": self.groups}
        write_atomically(path, json.dumps(content, indent=1) + "\n", mode=0o600)


def limits_of(
    config: Config, places: Places, people: Iterable[Owner], memory: Memory
) -> dict[int, Limit]:
    """Each user's limit; remembers whom the hub said to be in which group."""
    groups = HubGroups(places, memory.groups)
    limits = home_limits(config, people, groups.members_of)
    memory.groups = groups.known
    return limits


def set_all(config: Config, places: Places) -> list[str]:
    """Make all quotas what the settings say; what could not be done, a sentence each."""
    memory = Memory.read(memory_file(places))
    before = (dict(memory.given), memory.groups)
    people, classes = owners(places), class_folders(places)
    limits = limits_of(config, places, people, memory)
    work = _Work(memory)
    for one in find(writable_folders(places)):
        if one.quota.users_counted:
            shared = _is_on(places.class_files, one)
            own = with_classes(limits, people, classes, config) if shared else limits
            work.set_users(one, own)
        if one.quota.projects_counted and _is_on(places.class_files, one):
            work.set_classes(one, classes, config.disk.class_folder or 0)
    if (memory.given, memory.groups) != before:
        memory.write(memory_file(places))
    return work.problems


def _is_on(folder: Path, one: FileSystem) -> bool:
    return folder.exists() and folder.stat().st_dev == Path(one.folder).stat().st_dev


class _Work:
    """One run."""

    def __init__(self, memory: Memory) -> None:
        self._given = memory.given
        self.problems: list[str] = []

    def set_users(self, one: FileSystem, limits: Mapping[int, Limit]) -> None:
        if any(limit != Limit() for limit in limits.values()):
            self._enforce(one, Kind.USER, on=one.quota.users_enforced)
        for uid, limit in limits.items():
            self._set(one, Kind.USER, uid, limit)

    def set_classes(self, one: FileSystem, classes: Iterable[ClassFolder], most: int) -> None:
        if most:
            self._enforce(one, Kind.PROJECT, on=one.quota.projects_enforced)
        for school_class in classes:
            if most and self._has_project(school_class):
                self._set(one, Kind.PROJECT, school_class.number, Limit(most))
            elif not most:
                self._set(one, Kind.PROJECT, school_class.number, Limit())

    def _has_project(self, one: ClassFolder) -> bool:
        try:
            if project_of(one.folder) != one.number:
                give_project(one.folder, one.number)
        except FileNotFoundError:
            return False
        except OSError as error:
            self._failed(f"cannot count the files of the class {one.name} together", str(error))
            return False
        return True

    def _enforce(self, one: FileSystem, kind: Kind, *, on: bool) -> None:
        if on:
            return
        try:
            enforce(Path(one.folder), kind)
        except QuotaError as error:
            self._failed(f"cannot turn the limits of {one.mount.point} on", error.why)

    def _set(self, one: FileSystem, kind: Kind, number: int, limit: Limit) -> None:
        key = f"{one.mount.source} {kind.name.lower()} {number}"
        wanted = [limit.bytes, limit.files]
        if limit == Limit() and key not in self._given:
            return
        folder = Path(one.folder)
        try:
            now = read_quota(folder, kind, number)
            # Blocks are counted in units of 1024 bytes.
            if [now.limit, now.files_limit] != [-(-limit.bytes // 1024) * 1024, limit.files]:
                set_quota(folder, kind, number, limit=limit.bytes, files_limit=limit.files)
        except QuotaError as error:
            self._failed(f"cannot set a limit of {one.mount.point}", error.why)
            return
        if limit == Limit():
            self._given.pop(key, None)
        else:
            self._given[key] = wanted

    def _failed(self, what: str, why: str) -> None:
        sentence = f"{what}: {why}"
        if sentence not in self.problems:
            self.problems.append(sentence)
