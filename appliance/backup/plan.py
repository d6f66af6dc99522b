"""What a restore would do, found out without changing anything."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from appliance.backup.claims import check_part, check_stores
from appliance.backup.database import check_revision
from appliance.backup.machine import Machine
from appliance.backup.manifest import Part
from appliance.backup.merge import Merged, merge
from appliance.backup.place import Backup
from appliance.backup.sources import CLASS, HOME, SERVICE
from appliance.backup.tame import check_plain
from appliance.backup.unpack import unpack
from appliance.db import migrations
from appliance.places import Places

STORES: Final = {
    "accounts": "accounts.json",
    "classes": "classes.json",
    "services": "service-accounts.json",
}


class Files(StrEnum):
    """What becomes of homes, classes' folders and services' folders."""

    MISSING = "missing"
    """Those that aren't there are brought back; the others stay as they are."""
    ALL = "all"
    """All are as in the backup."""
    NONE = "none"


@dataclass(frozen=True)
class Wish:
    """One part and the folder that it becomes."""

    part: Part
    live: Path


@dataclass
class Plan:
    """All of it, for people to read and for the restore to follow."""

    merged: Merged
    conflicts: list[str]
    state: list[Wish] = field(default_factory=list)
    files: list[Wish] = field(default_factory=list)
    staying: list[str] = field(default_factory=list)
    """Names of parts whose folders are there and stay."""
    servers: list[str] = field(default_factory=list)
    """Users' servers that will be stopped."""
    notes: list[str] = field(default_factory=list)


def read_stores(folder: Path) -> dict[str, dict[str, Any]]:
    """The spawner daemon's; empty where there is none."""
    found = {}
    for name, file in STORES.items():
        try:
            found[name] = dict(json.loads((folder / file).read_bytes()))
        except FileNotFoundError:
            found[name] = {}
    return found


def stores_in(
    backup: Backup, places: Places, identities: Sequence[Any]
) -> dict[str, dict[str, Any]]:
    """The same of a backup."""
    part = backup.manifest.find("spawner")
    if part is None:
        return {name: {} for name in STORES}
    with tempfile.TemporaryDirectory(prefix="appliance-restore-", dir=places.state) as scratch:
        unpack(backup, part, Path(scratch), identities=identities, keep_owners=False)
        check_plain(Path(scratch), part.name)
        stores = read_stores(Path(scratch))
    check_stores(stores)
    return stores


def make_plan(
    backup: Backup,
    places: Places,
    machine: Machine,
    *,
    identities: Sequence[Any],
    files: Files,
) -> Plan:
    """Raises BackupError if the backup can't be used by this version at all."""
    manifest = backup.manifest
    check_revision(manifest.schema, what=f"the backup {manifest.name}")
    merged = merge(stores_in(backup, places, identities), read_stores(places.spawner_state))
    plan = Plan(merged, [*merged.conflicts, *machine.conflicts(merged)])
    plan.servers = machine.running_servers()
    fixed = {
        "hub": places.hub_state,
        "spawner": places.spawner_state,
        "certificates": places.certificates,
        "settings": places.settings,
    }
    for part in manifest.parts:
        check_part(part, merged)
        if part.name in fixed:
            plan.state.append(Wish(part, fixed[part.name]))
            continue
        live = live_folder(part, places)
        if live is None or files is Files.NONE:
            continue
        if files is Files.MISSING and not _is_missing(live):
            plan.staying.append(part.name)
        else:
            plan.files.append(Wish(part, live))
    if manifest.schema != migrations.HEAD:
        plan.notes.append("the database is of an earlier version, and is brought up to date")
    if not manifest.has_homes:
        plan.notes.append("the backup has no homes")
    return plan


def live_folder(part: Part, places: Places) -> Path | None:
    """Where a part's files belong, for those that are one folder each."""
    if part.name.startswith(HOME):
        return places.homes / part.name.removeprefix(HOME)
    if part.name.startswith(CLASS):
        return places.class_files / "classes" / part.name.removeprefix(CLASS)
    if part.name.startswith(SERVICE):
        return places.state / "services" / part.name.removeprefix(SERVICE)
    return places.class_files / "archives" if part.name == "archives" else None


def _is_missing(folder: Path) -> bool:
    """Not there, or an empty folder."""
    if folder.is_symlink() or not folder.exists():
        return not folder.is_symlink()
    return folder.is_dir() and not any(folder.iterdir())
