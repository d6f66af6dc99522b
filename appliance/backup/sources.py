"""What goes into a backup: which folders and files, and whose they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from appliance.backup.errors import BackupError
from appliance.backup.sealing import passphrase_file
from appliance.places import Places

HUB_ACCOUNT: Final = "appliance-hub"
HOME: Final = "home-"
CLASS: Final = "class-"
SERVICE: Final = "service-"


@dataclass(frozen=True, slots=True)
class Source:
    """A folder."""

    name: str
    folder: Path
    exclude: tuple[str, ...] = ()
    """Paths in the folder, with wildcards."""
    exclude_names: tuple[str, ...] = ()
    """Names, wherever they are."""
    account: str = ""
    uid: int = 0
    members: tuple[str, ...] = (".",)
    """What is packed, if not all of it."""
    plain: bool = False
    """Folders and files alone: a restore gives them to root, and refuses what is anything else."""


def state_sources(places: Places) -> list[Source]:
    """What there always is: small, and first of all."""
    found = [
        Source("spawner", places.spawner_state, plain=True),
        Source(
            "hub",
            places.hub_state,
            # The database is copied apart; the reserve is air, uploads are on their way through.
            exclude=(f"{places.database.name}*", "backup.sqlite", "reserve*", "uploads"),
            account="" if places.trial else HUB_ACCOUNT,
        ),
        Source("certificates", places.certificates, plain=True),
        Source("audit", places.root_audit, plain=True),
    ]
    if places.trial:
        # Its settings lie in the folder that holds everything else, too.
        names = (places.config_file.name, places.config_history.name)
        there = tuple(f"./{name}" for name in names if (places.settings / name).exists())
        found.append(Source("settings", places.settings, members=there, plain=True))
    else:
        secret = passphrase_file(places).name
        found.append(Source("settings", places.settings, exclude=(secret,), plain=True))
    return [one for one in found if one.folder.is_dir()]


def service_sources(places: Places) -> Iterator[Source]:
    """What services that the appliance runs have written."""
    accounts = _json(places.spawner_state / "service-accounts.json").get("accounts", {})
    for account in sorted(accounts.values()):
        folder = places.state / "services" / _service_of(account, accounts)
        if folder.is_dir() and not folder.is_symlink():
            yield Source(f"{SERVICE}{folder.name}", folder, account=account)


def _service_of(account: str, accounts: dict[str, str]) -> str:
    return next(service for service, one in accounts.items() if one == account)


def class_sources(places: Places) -> Iterator[Source]:
    """Classes' folders, and the archives of those that are over."""
    for folder in _folders(places.class_files / "classes"):
        yield Source(f"{CLASS}{folder.name}", folder)
    archives = places.class_files / "archives"
    if archives.is_dir() and any(archives.iterdir()):
        yield Source("archives", archives)


def home_sources(places: Places, exclude: list[str]) -> Iterator[Source]:
    """Every user's files; those of removed users, which root keeps, too."""
    paths = tuple(one for one in exclude if "/" in one)
    names = tuple(one for one in exclude if "/" not in one)
    if places.trial:
        for folder in _folders(places.homes):
            yield Source(f"{HOME}{folder.name}", folder, paths, names)
        return
    for row in accounts_in(places.spawner_state / "accounts.json"):
        home = places.homes / row["name"]
        if home.is_dir() and not home.is_symlink():
            yield Source(f"{HOME}{row['name']}", home, paths, names, row["name"], int(row["uid"]))


def accounts_in(path: Path) -> list[dict[str, str]]:
    """The rows of accounts.json."""
    return list(_json(path).get("accounts", []))


def _folders(parent: Path) -> list[Path]:
    try:
        found = sorted(parent.iterdir())
    except OSError:
        return []
    return [
        one
        for one in found
        if one.is_dir() and not one.is_symlink() and not one.name.startswith(".")
    ]


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as err:
        raise BackupError(
            "cannot make a backup",
            why=f"{path} can't be read: {err}",
            mend="bring it back from an earlier backup: appliance backup list",
        ) from err
