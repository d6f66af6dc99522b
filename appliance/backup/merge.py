"""Who has which Unix account, and which class has which groups: the backup's and the machine's.

Numbers are never given out twice, neither those that the backup knows nor those that this machine
gave out since. What the machine knows and the backup doesn't is kept, as accounts and folders that
belong to nobody any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from appliance.systemd_spawner.accounts import FIRST_ID, LAST_ID
from appliance.systemd_spawner.class_store import FIRST_GROUP, LAST_GROUP

_CURRENT: Final = frozenset({"planned", "ready"})


@dataclass
class Merged:
    """The stores as they are to be."""

    accounts: dict[str, Any]
    classes: dict[str, Any]
    services: dict[str, Any]
    conflicts: list[str] = field(default_factory=list)
    """Why it can't be done, a sentence each."""
    to_unseal: list[tuple[str, int]] = field(default_factory=list)
    """Accounts of users who were removed since, and are back."""

    @property
    def current_accounts(self) -> list[tuple[str, int]]:
        return [
            (str(row["name"]), int(row["uid"]))
            for row in self.accounts["accounts"]
            if row["state"] in _CURRENT
        ]

    @property
    def current_groups(self) -> dict[str, int]:
        found = {}
        for row in self.classes["classes"]:
            if row["state"] in _CURRENT:
                found[f"nbc-{row['slug']}"] = int(row["students_group"])
                found[f"nbt-{row['slug']}"] = int(row["teachers_group"])
        return found


Stores = Mapping[str, Mapping[str, Any]]
"""The content of accounts.json, classes.json and service-accounts.json, by `accounts`, `classes`
and `services`; what isn't there is empty."""


def merge(backup: Stores, machine: Stores) -> Merged:
    """Pure: looks at nothing but what it is given."""
    conflicts: list[str] = []
    accounts, unseal = _merge_accounts(backup["accounts"], machine["accounts"], conflicts)
    classes = _merge_classes(backup["classes"], machine["classes"], conflicts)
    services = _merge_services(backup["services"], machine["services"], conflicts)
    return Merged(accounts, classes, services, conflicts, unseal)


def _merge_accounts(
    backup: Mapping[str, Any], machine: Mapping[str, Any], conflicts: list[str]
) -> tuple[dict[str, Any], list[tuple[str, int]]]:
    theirs = list(backup.get("accounts", []))
    mine = list(machine.get("accounts", []))
    by_uid = {int(row["uid"]): row for row in mine}
    by_name = {str(row["name"]): row for row in mine}
    unseal = []
    for row in theirs:
        uid, name = int(row["uid"]), str(row["name"])
        same, named = by_uid.get(uid), by_name.get(name)
        if same is not None and same["name"] != name:
            conflicts.append(
                f"the id {uid} is {name}'s in the backup, and {same['name']}'s on this machine"
            )
        elif named is not None and int(named["uid"]) != uid:
            conflicts.append(
                f"the account {name} has the id {uid} in the backup, and {named['uid']} on this "
                "machine"
            )
        elif same is not None and same["state"] not in _CURRENT and row["state"] in _CURRENT:
            unseal.append((name, uid))
    known = {int(row["uid"]) for row in theirs}
    later = [
        # The daemon seals them when it starts.
        {**row, "state": "retiring" if row["state"] in _CURRENT else row["state"]}
        for row in mine
        if int(row["uid"]) not in known
    ]
    merged = {
        "format": backup.get("format", machine.get("format", 1)),
        "next_id": max(_number(backup, "next_id"), _number(machine, "next_id"), 20_000),
        "accounts": [*theirs, *later],
    }
    return merged, unseal


def _merge_classes(
    backup: Mapping[str, Any], machine: Mapping[str, Any], conflicts: list[str]
) -> dict[str, Any]:
    theirs = list(backup.get("classes", []))
    mine = list(machine.get("classes", []))
    slugs = {str(row["slug"]): row for row in theirs}
    groups = {int(row[kind]): str(row["slug"]) for row in theirs for kind in _GROUPS}
    later = []
    for row in mine:
        same = slugs.get(str(row["slug"]))
        if same is not None:
            if any(int(same[kind]) != int(row[kind]) for kind in _GROUPS):
                conflicts.append(
                    f"the class folder {row['slug']} has other group ids in the backup than on "
                    "this machine"
                )
            continue
        taken = [int(row[kind]) for kind in _GROUPS if int(row[kind]) in groups]
        if taken:
            conflicts.append(
                f"the group id {taken[0]} is of the class {groups[taken[0]]} in the backup, and of "
                f"{row['slug']} on this machine"
            )
        later.append({**row, "state": "retired"})
    return {
        "format": backup.get("format", machine.get("format", 1)),
        "next_group": max(_number(backup, "next_group"), _number(machine, "next_group"), 10_000),
        "classes": [*theirs, *later],
    }


_GROUPS: Final = ("students_group", "teachers_group")


def _merge_services(
    backup: Mapping[str, Any], machine: Mapping[str, Any], conflicts: list[str]
) -> dict[str, Any]:
    theirs = dict(backup.get("accounts", {}))
    mine = dict(machine.get("accounts", {}))
    owners = {account: service for service, account in theirs.items()}
    for service, account in mine.items():
        if owners.get(account, service) != service:
            conflicts.append(
                f"the account {account} is of the service {owners[account]} in the backup, and of "
                f"{service} on this machine"
            )
    merged = {**mine, **theirs}
    return {"format": backup.get("format", machine.get("format", 1)), "accounts": merged}


def _number(store: Mapping[str, Any], key: str) -> int:
    return int(store.get(key, 0))


def unix_conflicts(
    merged: Merged,
    *,
    uid_of: Callable[[str], int | None],
    name_of: Callable[[int], str | None],
    gid_of: Callable[[str], int | None],
    group_name_of: Callable[[int], str | None],
) -> list[str]:
    """What stands in the way in the machine's own lists of accounts and groups."""
    found = _strange_numbers(merged)
    for name, uid in merged.current_accounts:
        for kind, number_of, holder_of in (
            ("account", uid_of, name_of),
            ("group", gid_of, group_name_of),
        ):
            number, holder = number_of(name), holder_of(uid)
            if number not in (None, uid):
                found.append(f"this machine has a Unix {kind} {name} with the id {number}")
            elif holder not in (None, name):
                found.append(f"the id {uid} of {name} is the Unix {kind} {holder}'s here")
    for name, gid in merged.current_groups.items():
        number, holder = gid_of(name), group_name_of(gid)
        if number not in (None, gid):
            found.append(f"this machine has a Unix group {name} with the id {number}")
        elif holder not in (None, name):
            found.append(f"the id {gid} of the group {name} is the group {holder}'s here")
    return found


def _strange_numbers(merged: Merged) -> list[str]:
    """Those that the daemon never gives out: they are the system's, or other people's."""
    found = [
        f"the account {row['name']} has the id {row['uid']}, which no user's account has"
        for row in merged.accounts["accounts"]
        if not FIRST_ID <= int(row["uid"]) <= LAST_ID
    ]
    found += [
        f"the class folder {row['slug']} has the group id {row[kind]}, which no class has"
        for row in merged.classes["classes"]
        for kind in _GROUPS
        if not FIRST_GROUP <= int(row[kind]) <= LAST_GROUP
    ]
    return found
