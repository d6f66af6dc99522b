"""Unix accounts that somebody changed by hand: told, and never given a new owner blindly."""

from __future__ import annotations

import json
import pwd
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from appliance.doctor.hub_layers import account_files
from appliance.doctor.report import Check, fail, fine, warn
from appliance.places import Places

NAME: Final = "accounts"
_SHOWN: Final = 5


@dataclass(slots=True)
class _Found:
    count: int = 0
    gone: list[str] = field(default_factory=list)
    other_id: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    homeless: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


def checks(places: Places) -> Iterator[Check]:
    """Compare what the daemon noted with the machine's accounts and homes."""
    store = account_files(places)
    try:
        rows = json.loads(store.read_bytes())["accounts"]
    except FileNotFoundError:
        yield fine(NAME, "no server has run yet, so there are none")
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield fail(
            NAME, "which Unix account belongs to whom can't be read", why=f"{store}: {error}",
            mend=f"restore {store} from a backup; appliance backup list",
        )  # fmt: skip
        return
    accounts = {entry.pw_name: entry for entry in pwd.getpwall()}
    found = _compare(rows, accounts, places.homes)
    problems = list(_tell(found))
    yield from problems
    if not problems:
        yield fine(NAME, f"{found.count} accounts and homes are as they were made")


def _compare(
    rows: list[dict[str, object]], accounts: Mapping[str, pwd.struct_passwd], homes: Path
) -> _Found:
    found = _Found()
    owners = {entry.pw_uid: name for name, entry in accounts.items()}
    for row in rows:
        if row.get("state") != "ready":
            continue
        name, uid, user = str(row["name"]), int(str(row["uid"])), str(row["user"])
        found.count += 1
        entry = accounts.get(name)
        if entry is None:
            found.gone.append(f"{name} of {user}")
            if uid in owners:
                found.reused.append(f"{uid} of {name} is {owners[uid]}'s now")
        elif entry.pw_uid != uid:
            found.other_id.append(f"{name} has {entry.pw_uid}, not {uid}")
        _look_at_home(found, homes / name, uid)
    return found


def _look_at_home(found: _Found, home: Path, uid: int) -> None:
    try:
        owner = home.lstat().st_uid
    except OSError:
        found.homeless.append(str(home))
        return
    if owner != uid:
        found.foreign.append(f"{home} belongs to the id {owner}, not {uid}")


def _tell(found: _Found) -> Iterator[Check]:
    if found.reused:
        yield fail(
            NAME, f"numbers of users' accounts were given to others: {_few(found.reused)}",
            why="who has a user's number owns that user's files",
            mend="give the other account another number: sudo usermod --uid NUMBER NAME",
        )  # fmt: skip
    if found.other_id:
        yield fail(
            NAME, f"accounts have other numbers than they were made with: {_few(found.other_id)}",
            why="their servers don't start, so that nobody gets another's files",
            mend="sudo usermod --uid NUMBER NAME, with the number that it had",
        )  # fmt: skip
    if found.foreign:
        yield fail(
            NAME, f"homes belong to somebody else: {_few(found.foreign)}",
            why="somebody copied or changed them by hand; their servers don't start",
            mend="look whose files they are; only if they are that user's: sudo chown -hR",
        )  # fmt: skip
    if found.gone:
        yield warn(
            NAME, f"accounts were removed by hand: {_few(found.gone)}",
            why="they are made again, with the same number, when their servers start",
            mend="appliance user remove NAME, if the users have left",
        )  # fmt: skip
    if found.homeless:
        yield warn(
            NAME, f"homes are missing: {_few(found.homeless)}",
            why="is a disk not mounted? Their servers don't start without",
            mend="findmnt --target /home; appliance backup list",
        )  # fmt: skip


def _few(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
