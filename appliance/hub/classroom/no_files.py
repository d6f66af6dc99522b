"""Classes on a spawner that keeps no files of classes: people and rights work, materials don't."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Never

from appliance.errors import SpawnRefused
from appliance.interfaces import (
    Archived,
    Area,
    ClassFolder,
    Collected,
    Entry,
    HandedOut,
    Rule,
)
from appliance.names import Username


class NoClassFiles:
    """Fulfils `ClassFiles` for a spawner of one's own that doesn't."""

    async def set_class(
        self,
        name: str,
        *,
        members: Sequence[Username],
        teachers: Sequence[Username],
        nbgrader: bool = False,
    ) -> ClassFolder:
        return ClassFolder("")

    async def list_folder(
        self, name: str, user: Username, folder: str, area: Area = Area.SHARED
    ) -> list[Entry]:
        _refuse()

    async def put_file(self, name: str, user: Username, path: str, source: int) -> None:
        _refuse()

    async def hand_out(self, name: str, user: Username, folder: str, rule: Rule) -> HandedOut:
        _refuse()

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
        _refuse()

    async def archive_class(
        self,
        name: str,
        archive: str,
        members: Sequence[Username],
        *,
        told: Callable[[Username], None] | None = None,
    ) -> Archived:
        _refuse()

    async def delete_archive(self, archive: str) -> None:
        return

    async def forget_class(self, name: str) -> None:
        return


def _refuse() -> Never:
    raise SpawnRefused(
        "cannot work with the files of classes",
        why="the configured spawner keeps none",
        mend="use the appliance's own spawner",
    )
