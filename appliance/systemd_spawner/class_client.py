"""The hub's side of classes' files: requests to whoever carries them out, and what comes back.

The root daemon does it on an installed appliance, threads of the hub itself in a trial.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from appliance.errors import ApplianceError, SpawnError
from appliance.interfaces import (
    Archived,
    Area,
    ClassFolder,
    Collected,
    Entry,
    HandedOut,
    Rule,
)
from appliance.names import Username, parse_archive, parse_folder, parse_home_folder
from appliance.systemd_spawner.class_files import JOBS_MAX

# A job's own time, twice for a collection, and a wait for another daemon's jobs.
_QUICK_SECONDS: Final = 120.0
_COPY_SECONDS: Final = 3000.0
_ARCHIVE_SECONDS: Final = 7200.0
_REMOVE_SECONDS: Final = 2000.0


class ClassFilesClient:
    """Fulfils `interfaces.ClassFiles` by requests."""

    def __init__(self) -> None:
        # Here too, so that a class that waits takes up none of the daemon's connections.
        self._turns = asyncio.Semaphore(JOBS_MAX)

    @abstractmethod
    async def ask(
        self, message: dict[str, Any], *, seconds: float, descriptor: int = -1
    ) -> dict[str, Any]:
        """The reply to a request; raises what it says went wrong."""

    async def set_class(
        self,
        name: str,
        *,
        members: Sequence[Username],
        teachers: Sequence[Username],
        nbgrader: bool = False,
    ) -> ClassFolder:
        message: dict[str, Any] = {"verb": "set_class", "class": name}
        message |= {"members": list(members), "teachers": list(teachers), "nbgrader": nbgrader}
        reply = await self.ask(message, seconds=_QUICK_SECONDS)
        outdated = tuple(Username(str(user)) for user in reply["needs_restart"])
        return ClassFolder(str(reply["slug"]), outdated)

    async def list_folder(
        self, name: str, user: Username, folder: str, area: Area = Area.SHARED
    ) -> list[Entry]:
        folder = parse_folder(folder, may_be_empty=True)
        message = {"verb": "list_folder", "class": name, "user": user, "area": str(area)}
        reply = await self.ask({**message, "folder": folder}, seconds=_QUICK_SECONDS)
        return [_entry(row) for row in reply["entries"]]

    async def put_file(self, name: str, user: Username, path: str, source: int) -> None:
        message = {"verb": "put_file", "class": name, "user": user, "folder": parse_folder(path)}
        async with self._turns:
            await self.ask(message, seconds=_COPY_SECONDS, descriptor=source)

    async def hand_out(self, name: str, user: Username, folder: str, rule: Rule) -> HandedOut:
        message = {"verb": "hand_out", "class": name, "user": user, "rule": str(rule)}
        message["folder"] = parse_home_folder(folder)
        async with self._turns:
            reply = await self.ask(message, seconds=_COPY_SECONDS)
        return HandedOut(
            copied=int(reply["copied"]),
            kept=int(reply["kept"]),
            replaced=int(reply["replaced"]),
            beside=int(reply["beside"]),
            bytes=int(reply["bytes"]),
            skipped=_lines(reply["skipped"]),
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
        message = {"verb": "collect", "class": name, "teacher": teacher}
        message |= {"folder": parse_home_folder(folder), "place": parse_folder(place)}
        # What is wrong with class or teacher is wrong with everybody's.
        await self.list_folder(name, teacher, "")

        async def one(user: Username) -> Collected:
            async with self._turns:
                report = await self._collect({**message, "user": user})
            if told:
                told(user, report)
            return report

        reports = await asyncio.gather(*map(one, users))
        return dict(zip(users, reports, strict=True))

    async def _collect(self, message: dict[str, Any]) -> Collected:
        try:
            reply = await self.ask(message, seconds=_COPY_SECONDS)
        except SpawnError as err:
            return Collected(failure=err.why or err.what)
        return Collected(int(reply["files"]), int(reply["bytes"]), _lines(reply["skipped"]))

    async def archive_class(
        self,
        name: str,
        archive: str,
        members: Sequence[Username],
        *,
        told: Callable[[Username], None] | None = None,
    ) -> Archived:
        subject = {"class": name, "archive": parse_archive(archive)}
        await self.ask({"verb": "begin_archive", **subject}, seconds=_REMOVE_SECONDS)
        try:
            return await self._archive(subject, members, told)
        except (ApplianceError, asyncio.CancelledError):
            with suppress(SpawnError):
                await self.delete_archive(archive)
            raise

    async def _archive(
        self,
        subject: dict[str, str],
        members: Sequence[Username],
        told: Callable[[Username], None] | None,
    ) -> Archived:
        homes, skipped = {}, {}
        for user in members:
            message = {"verb": "archive_home", **subject, "user": user}
            async with self._turns:
                reply = await self.ask(message, seconds=_ARCHIVE_SECONDS)
            homes[user] = int(reply["bytes"])
            if reply["skipped"]:
                skipped[user] = _lines(reply["skipped"])
            if told:
                told(user)
        async with self._turns:
            reply = await self.ask({"verb": "archive_folder", **subject}, seconds=_ARCHIVE_SECONDS)
        size = int(reply["bytes"]) + sum(homes.values())
        reply = await self.ask({"verb": "finish_archive", **subject}, seconds=_QUICK_SECONDS)
        return Archived(str(reply["place"]), size, homes, skipped)

    async def delete_archive(self, archive: str) -> None:
        message = {"verb": "delete_archive", "archive": parse_archive(archive)}
        await self.ask(message, seconds=_REMOVE_SECONDS)

    async def forget_class(self, name: str) -> None:
        await self.ask({"verb": "forget_class", "class": name}, seconds=_REMOVE_SECONDS)


def _entry(row: dict[str, Any]) -> Entry:
    modified = datetime.fromtimestamp(row["modified"], UTC)
    return Entry(str(row["name"]), str(row["kind"]), int(row["size"]), modified)


def _lines(values: Sequence[object]) -> tuple[str, ...]:
    return tuple(str(one) for one in values)
