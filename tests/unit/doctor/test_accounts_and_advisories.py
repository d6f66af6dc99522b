"""Accounts that somebody changed by hand, and versions with known holes."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from appliance.doctor import accounts
from appliance.doctor.advisories import Advisory, affected, installed, known, numbers
from appliance.doctor.report import Check
from appliance.places import Places

UID = os.getuid()


def entry(name: str, uid: int) -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", uid, uid, "", f"/home/{name}", "/bin/sh"))


@pytest.fixture
def places(tmp_path: Path) -> Places:
    places = Places.of_trial(tmp_path)
    places.spawner_state.mkdir(parents=True)
    places.homes.mkdir(parents=True)
    return places


def looked(
    places: Places,
    rows: list[dict[str, Any]],
    there: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> list[Check]:
    (places.spawner_state / "accounts.json").write_text(json.dumps({"accounts": rows}))
    monkeypatch.setattr(pwd, "getpwall", lambda: [entry(*one) for one in there.items()])
    return list(accounts.checks(places))


def row(name: str, uid: int = UID, state: str = "ready") -> dict[str, Any]:
    return {"user": name.removeprefix("nb-"), "name": name, "uid": uid, "state": state}


def test_accounts_as_they_were_made(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    (places.homes / "nb-ada").mkdir()
    rows = [row("nb-ada"), row("nb-old", 20001, "retired"), row("nb-new", 20002, "planned")]
    (check,) = looked(places, rows, {"nb-ada": UID}, monkeypatch)
    assert check.state == "ok"


@pytest.mark.parametrize(
    ("there", "state", "words"),
    [
        ({}, "warning", "accounts were removed by hand: nb-ada of ada"),
        ({"nb-ada": UID + 1}, "failed", f"nb-ada has {UID + 1}, not {UID}"),
        ({"eve": UID}, "failed", f"{UID} of nb-ada is eve's now"),
    ],
)
def test_accounts_changed_by_hand(
    places: Places, monkeypatch: pytest.MonkeyPatch, there: dict[str, int], state: str, words: str
) -> None:
    (places.homes / "nb-ada").mkdir()
    found = looked(places, [row("nb-ada")], there, monkeypatch)
    assert (found[0].state, words in found[0].summary) == (state, True)
    assert not any(one.fix for one in found)


def test_homes_that_are_gone_or_somebody_elses(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    (places.homes / "nb-eve").mkdir()
    there = {"nb-ada": UID, "nb-eve": UID + 7}
    foreign, missing = looked(places, [row("nb-ada"), row("nb-eve", UID + 7)], there, monkeypatch)
    assert (foreign.state, missing.state) == ("failed", "warning")
    assert f"belongs to the id {UID}" in foreign.summary
    assert "findmnt" in missing.mend
    assert foreign.fix is None


def test_a_damaged_list_of_accounts(places: Places) -> None:
    (places.spawner_state / "accounts.json").write_text("{")
    (check,) = accounts.checks(places)
    assert check.state == "failed"
    assert "backup" in check.mend


def test_the_list_of_advisories_is_whole() -> None:
    found = known()
    assert len({(one.id, one.package, one.since) for one in found}) == len(found) > 20
    assert all(numbers(one.since) < numbers(one.fixed) for one in found)


def test_only_versions_before_the_mended_one_are_told() -> None:
    one = Advisory("CVE-1", "tornado", fixed="6.5.3", what="it is slow", since="6")
    for version, is_affected in (
        ("6.5.2", True), ("6.5.3", False), ("6.5.10", False), ("6.5", True), ("5.9", False),
        ("6.5.3.post1", False),
    ):  # fmt: skip
        assert bool(affected({"tornado": version}, [one])) is is_affected, version


def test_versions_are_read_from_an_environment(tmp_path: Path) -> None:
    packages = tmp_path / "lib/python3.11/site-packages"
    for name in ("jupyter_server-2.14.0", "Jinja2-3.1.4", "no_version"):
        (packages / f"{name}.dist-info").mkdir(parents=True)
    assert installed(tmp_path) == {"jupyter-server": "2.14.0", "jinja2": "3.1.4"}
    ids = {one.id for one, _ in affected(installed(tmp_path), known())}
    assert {"CVE-2026-40934", "CVE-2025-27516"} <= ids
