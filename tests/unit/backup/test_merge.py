"""Whose accounts and groups they are after a restore: pure, and never two owners of a number."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.backup.merge import Merged, merge, unix_conflicts


def account(number: int, *, user: str = "", state: str = "ready") -> dict[str, Any]:
    name = f"nb-u{number}"
    return {"user": user or f"u{number}", "name": name, "uid": 20_000 + number, "state": state}


def stores(*accounts: dict[str, Any], classes: Any = (), services: Any = None) -> Any:
    highest = max((row["uid"] for row in accounts), default=19_999)
    groups = max((row["teachers_group"] for row in classes), default=9_999)
    return {
        "accounts": {"format": 1, "next_id": highest + 1, "accounts": list(accounts)},
        "classes": {"format": 1, "next_group": groups + 1, "classes": list(classes)},
        "services": {"format": 1, "accounts": services or {}},
    }


def room(slug: str, first: int, state: str = "ready") -> dict[str, Any]:
    return {
        "name": slug, "slug": slug, "students_group": first, "teachers_group": first + 1,
        "state": state, "students": [], "teachers": [], "settled": {},
    }  # fmt: skip


NUMBERS = st.sets(st.integers(0, 30))
STATES = st.sampled_from(["planned", "ready", "retiring", "retired"])


@given(NUMBERS, NUMBERS, st.data())
def test_numbers_have_one_owner_and_none_is_given_out_again(
    theirs: set[int], mine: set[int], data: st.DataObject
) -> None:
    backup = stores(*(account(n, state=data.draw(STATES)) for n in sorted(theirs)))
    machine = stores(*(account(n, state=data.draw(STATES)) for n in sorted(mine)))
    merged = merge(backup, machine)
    assert merged.conflicts == []
    rows = merged.accounts["accounts"]
    assert sorted(row["uid"] - 20_000 for row in rows) == sorted(theirs | mine)
    assert merged.accounts["next_id"] > max((row["uid"] for row in rows), default=0)
    # Current is what the backup says, and nothing besides.
    current = {uid - 20_000 for _, uid in merged.current_accounts}
    assert current <= theirs
    # Doing it again changes nothing.
    again = merge(backup, {**machine, "accounts": merged.accounts})
    assert again.accounts == merged.accounts


def test_a_number_or_a_name_of_another_is_a_conflict() -> None:
    backup = stores(account(1))
    (other,) = merge(backup, stores({**account(1), "name": "nb-zoe"})).conflicts
    assert other == "the id 20001 is nb-u1's in the backup, and nb-zoe's on this machine"
    (other,) = merge(backup, stores({**account(1), "uid": 20_009})).conflicts
    assert "nb-u1 has the id 20001 in the backup, and 20009" in other


def test_classes_since_then_give_their_groups_to_nobody() -> None:
    backup = stores(classes=[room("bio", 10_000)])
    merged = merge(backup, stores(classes=[room("bio", 10_000), room("art", 10_002)]))
    assert merged.conflicts == []
    assert {row["slug"]: row["state"] for row in merged.classes["classes"]} == {
        "bio": "ready", "art": "retired",
    }  # fmt: skip
    assert merged.classes["next_group"] == 10_004
    assert merged.current_groups == {"nbc-bio": 10_000, "nbt-bio": 10_001}
    for wrong in (room("bio", 10_006), room("art", 10_001)):
        assert len(merge(backup, stores(classes=[wrong])).conflicts) == 1


def test_an_account_of_another_service_is_a_conflict() -> None:
    backup = stores(services={"culler": "svc-culler"})
    assert merge(backup, stores(services={"culler": "svc-culler"})).conflicts == []
    assert len(merge(backup, stores(services={"other": "svc-culler"})).conflicts) == 1


def test_what_the_machine_has_besides_is_seen() -> None:
    merged = merge(stores(account(1), classes=[room("bio", 10_000)]), stores())

    def conflicts(users: dict[str, int], groups: dict[str, int]) -> list[str]:
        return found(merged, users, groups)

    assert conflicts({}, {}) == []
    assert conflicts({"nb-u1": 20_001}, {"nb-u1": 20_001, "nbc-bio": 10_000}) == []
    assert "nb-u1 with the id 7" in conflicts({"nb-u1": 7}, {})[0]
    assert "mallory's" in conflicts({"mallory": 20_001}, {})[0]
    assert "group mallory's" in conflicts({}, {"mallory": 10_001})[0]


def found(merged: Merged, users: dict[str, int], groups: dict[str, int]) -> list[str]:
    def name_in(table: dict[str, int], number: int) -> str | None:
        return next((name for name, one in table.items() if one == number), None)

    return unix_conflicts(
        merged, uid_of=users.get, name_of=lambda number: name_in(users, number),
        gid_of=groups.get, group_name_of=lambda number: name_in(groups, number),
    )  # fmt: skip


@pytest.mark.parametrize("uid", [0, 33, 1000, 19_999, 60_000, 65_534, 2**32 - 1])
def test_numbers_that_are_the_systems_are_in_the_way(uid: int) -> None:
    row = {"user": "eve", "name": "nb-eve", "uid": uid, "state": "retired"}
    assert found(merge(stores(row), stores()), {}, {})


@pytest.mark.parametrize("gid", [0, 27, 9_998, 20_000])
def test_so_are_groups_of_the_system(gid: int) -> None:
    assert found(merge(stores(classes=[room("bio", gid)]), stores()), {}, {})
