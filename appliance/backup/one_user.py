"""One user's files from a backup, beside what the user has now: nothing is overwritten."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from appliance import audit
from appliance.audit import Action, AuditLog
from appliance.backup.errors import BackupError
from appliance.backup.manifest import Part
from appliance.backup.place import Backup, Room
from appliance.backup.plan import read_stores, stores_in
from appliance.backup.sources import HOME
from appliance.backup.tar import ENVIRONMENT
from appliance.backup.unpack import in_sandbox, unpack
from appliance.errors import BadRequest, NotFound
from appliance.names import Username
from appliance.places import Places

_MKDIR_SECONDS = 60
# What tar says of a name that it was to unpack and didn't come across.
_MISSING = "Not found in archive"


@dataclass(frozen=True)
class Request:
    """Whose files, and which."""

    user: Username
    file: str = ""
    """A path in the home; empty means all."""


def restore_user(
    places: Places,
    backup: Backup,
    request: Request,
    *,
    identities: Sequence[Any],
    prefix: Callable[[str, Path], list[str]] = in_sandbox,
) -> Path:
    """Unpack them as the user into ~/restored-NAME; the new folder. Raises ApplianceError."""
    part = _part_of(places, backup, request.user, identities)
    account = _account_now(places, request.user)
    home = places.homes / account
    if not home.is_dir() or home.is_symlink():
        raise NotFound(
            f"cannot restore files of {request.user}",
            why=f"there is no home {home}",
            mend=f"start the user's server once: sudo appliance server start {request.user}",
        )
    Room(home, beside_homes=False).check(0 if request.file else part.content_size)
    target = _free_name(home, backup.manifest.name)
    # A trial's files all belong to whoever runs it.
    become = [] if places.trial else prefix(account, home)
    done = subprocess.run(
        [*become, "mkdir", "--mode=0700", "--", str(target)],
        capture_output=True, text=True, check=False, timeout=_MKDIR_SECONDS, env=ENVIRONMENT,
    )  # fmt: skip
    if done.returncode:
        raise BackupError(
            f"cannot restore files of {request.user}",
            why=" ".join(done.stderr.split())[:300],
            mend=f"is the home full? df -h {home}",
        )
    try:
        unpack(
            backup, part, target, identities=identities, keep_owners=False,
            prefix=become, only=_member(request.file), by_path=True,
        )  # fmt: skip
    except BackupError as error:
        if _MISSING not in (error.why or ""):
            raise
        subprocess.run([*become, "rmdir", "--", str(target)], check=False, env=ENVIRONMENT)
        raise NotFound(
            f"cannot restore {request.file} of {request.user}",
            why="the backup has no file or folder of that name in the home",
            mend="such as --file notebooks/lab1.ipynb; without --file all of the home comes",
        ) from error
    log = AuditLog(places.root_audit)
    targets = [request.user, backup.manifest.name]
    log.add(audit.at_the_terminal(), Action.RESTORE_BACKUP, targets)
    return target


def _member(file: str) -> str:
    """The name in the archive."""
    if not file:
        return ""
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts or "\0" in file:
        raise BadRequest(
            f"cannot restore the file {file[:100]!r}",
            why="it must be a path in the home",
            mend="such as --file notebooks/lab1.ipynb",
        )
    return f"./{path}"


def _part_of(places: Places, backup: Backup, user: Username, identities: Sequence[Any]) -> Part:
    """By the account that the user had when the backup was made."""
    account = user if places.trial else _find(stores_in(backup, places, identities), user)
    part = backup.manifest.find(f"{HOME}{account}") if account else None
    if part is None:
        why = "the backup has no homes" if not backup.manifest.has_homes else "it has no such user"
        raise NotFound(f"cannot restore files of {user}", why=why, mend="appliance backup list")
    return part


def _account_now(places: Places, user: Username) -> str:
    account = user if places.trial else _find(read_stores(places.spawner_state), user)
    if not account:
        raise NotFound(
            f"cannot restore files of {user}",
            why="the user has no account on this machine",
            mend=f"sudo appliance user add {user}; sudo appliance server start {user}",
        )
    return account


def _find(stores: dict[str, dict[str, Any]], user: Username) -> str:
    rows = stores["accounts"].get("accounts", [])
    for row in rows:
        if row["user"] == user and row["state"] in ("planned", "ready"):
            return str(row["name"])
    return ""


def _free_name(home: Path, backup: str) -> Path:
    number = 1
    while True:
        target = home / (f"restored-{backup}" if number == 1 else f"restored-{backup}-{number}")
        if not target.is_symlink() and not target.exists():
            return target
        number += 1
