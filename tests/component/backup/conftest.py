from __future__ import annotations

import json
from pathlib import Path

import pytest

from appliance.backup import create as create_
from appliance.backup import database
from appliance.backup.place import Place
from appliance.places import Places
from tests.fakes.backup_machine import UID, places_in

REAL_CHECK = create_.Room.check


@pytest.fixture(autouse=True)
def no_other_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no account of the hub's where the tests run."""
    monkeypatch.setattr(database, "as_account", lambda _account: [])
    monkeypatch.setattr(create_.Room, "check", lambda _self, _needed=0: None)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    made = places_in(tmp_path / "old")
    accounts = {
        "format": 1, "next_id": 20_002,
        "accounts": [
            {"user": "ada", "name": "nb-ada", "uid": UID, "state": "ready"},
            {"user": "bob", "name": "nb-bob", "uid": UID + 1, "state": "ready"},
        ],
    }  # fmt: skip
    (made.spawner_state / "accounts.json").write_text(json.dumps(accounts))
    for name in ("nb-ada", "nb-bob"):
        home = made.homes / name
        home.mkdir(mode=0o700)
        (home / "lab.ipynb").write_text(name)
    return made


@pytest.fixture
def place(places: Places) -> Place:
    return Place(places.backups)
