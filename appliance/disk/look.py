"""Measuring: what every home and every class's folder takes, and how full the disks are.

Where the file system counts by user, it is asked; else every home is walked through, the one that
was measured longest ago first, until the time of a round is over.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from appliance.config.schema import Config
from appliance.disk.file_systems import FileSystem, find
from appliance.disk.limits import Limit
from appliance.disk.measure import measure
from appliance.disk.need import memory_file
from appliance.disk.people import ClassFolder, Owner, class_folders, owners
from appliance.disk.projects import project_of
from appliance.disk.quotactl import Kind, QuotaError, read_quota
from appliance.disk.quotas import Memory, limits_of
from appliance.disk.report import MEASURED, QUOTA, Report, Room, Used, read_report, report_file
from appliance.places import Places

log = logging.getLogger("appliance.disk")

ROUND_SECONDS: Final = 480.0
ONE_SECONDS: Final = 120.0
"""For one home: a million files take about that long on a busy disk."""


def folders_of(places: Places) -> dict[str, Path]:
    """What lies where, by the names that people are told."""
    return {
        "homes": places.homes,
        "classes": places.class_files,
        "state": places.state,
        "settings": places.settings,
        "software": places.software,
        "log": Path("/var/log"),
        "temporary files": Path("/var/tmp"),  # noqa: S108 - looked at, not used
        "/tmp": Path("/tmp"),  # noqa: S108 - the same
        "/run": Path("/run"),
        "system": Path("/"),
    }


def look_around(config: Config, places: Places) -> Report:
    """One round; raises ApplianceError when the stores can't be read."""
    memory = Memory.read(memory_file(places))
    people, classes = owners(places), class_folders(places)
    limits = limits_of(config, places, people, memory)
    before = read_report(report_file(places))
    systems = find(folders_of(places).values())
    round_ = _Round(systems, time.monotonic() + ROUND_SECONDS)
    most = config.disk.class_folder or 0
    found_classes = round_.classes(classes, most, before.classes)
    return Report(
        at=time.time(),
        warn_percent=config.disk.warn_percent,
        users=round_.homes(people, limits, before.users),
        classes=found_classes,
        rooms=tuple(rooms(systems, places)),
    )


def rooms(systems: Iterable[FileSystem], places: Places) -> list[Room]:
    """The file systems for people; what lies in memory or can't be written is left out."""
    holders: dict[int, list[str]] = {}
    for name, folder in folders_of(places).items():
        if folder.exists():
            holders.setdefault(folder.stat().st_dev, []).append(name)
    return [
        Room(
            place=one.mount.point,
            kind=one.mount.kind,
            size=one.size,
            free=one.free,
            percent=one.used_percent,
            files_percent=one.files_percent,
            quota=quota_word(one),
            holds=tuple(holders.get(Path(one.folder).stat().st_dev, ())),
        )
        for one in systems
        if one.size
    ]


def quota_word(one: FileSystem) -> str:
    """enforced, counted, or why there are no quotas."""
    if one.quota.users_enforced:
        return "enforced"
    return "counted" if one.quota.users_counted else one.quota.why


class _Round:
    """What a round shares."""

    def __init__(self, systems: Iterable[FileSystem], deadline: float) -> None:
        self._by_device = {Path(one.folder).stat().st_dev: one for one in systems}
        self._deadline = deadline

    def homes(
        self, people: Iterable[Owner], limits: Mapping[int, Limit], before: Mapping[str, Used]
    ) -> dict[str, Used]:
        found = {}
        for one in sorted(people, key=lambda one: _when(before, one.user)):
            used = self._quota_of(one.home, Kind.USER, one.uid) or self._measured(
                one.home, before.get(one.user)
            )
            if used is not None:
                limit = limits.get(one.uid, Limit())
                found[one.user] = _with_limit(used, limit)
        return dict(sorted(found.items()))

    def classes(
        self, classes: Iterable[ClassFolder], most: int, before: Mapping[str, Used]
    ) -> dict[str, Used]:
        found = {}
        for one in sorted(classes, key=lambda one: _when(before, one.name)):
            used = self._project_of(one) or self._measured(one.folder, before.get(one.name))
            if used is not None:
                found[one.name] = _with_limit(used, Limit(most))
        return dict(sorted(found.items()))

    def _project_of(self, one: ClassFolder) -> Used | None:
        try:
            if project_of(one.folder) != one.number:
                return None
        except OSError:
            return None
        return self._quota_of(one.folder, Kind.PROJECT, one.number)

    def _quota_of(self, folder: Path, kind: Kind, number: int) -> Used | None:
        """What the file system says, if it counts."""
        try:
            system = self._by_device[folder.stat().st_dev]
            counts = (
                system.quota.users_counted if kind is Kind.USER else system.quota.projects_counted
            )
            if not counts:
                return None
            said = read_quota(Path(system.folder), kind, number)
        except (OSError, KeyError, QuotaError):
            return None
        enforced = (
            system.quota.users_enforced if kind is Kind.USER else system.quota.projects_enforced
        )
        holds = enforced and bool(said.limit or said.files_limit)
        return Used(
            bytes=said.used,
            files=said.files,
            limit=said.limit or None,
            files_limit=said.files_limit or None,
            by=QUOTA if holds else MEASURED,
            at=time.time(),
        )

    def _measured(self, folder: Path, before: Used | None) -> Used | None:
        """What is found by looking; what was found before if time is over or nobody can look."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            return before
        try:
            use = measure(folder, deadline=time.monotonic() + min(left, ONE_SECONDS))
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("cannot measure %s: %s", folder, error)
            return before
        return Used(bytes=use.bytes, files=use.files, at=time.time(), complete=use.complete)


def _when(before: Mapping[str, Used], name: str) -> tuple[float, str]:
    return (before[name].at if name in before else 0.0, name)


def _with_limit(used: Used, limit: Limit) -> Used:
    """What the settings say, unless the file system holds to a limit: then that is what counts."""
    if used.by == QUOTA:
        return used
    return replace(used, limit=limit.bytes or None, files_limit=limit.files or None)
