"""`appliance backup …`, `restore` and `notices`, from the command line to files, in a trial."""

from __future__ import annotations

import json
import os
import re

import pytest

from appliance.backup import create as create_
from appliance.cli.shapes import SHAPES
from appliance.db.session import Database
from appliance.places import Places
from tests.component.test_cli import Run, places, run

__all__ = ["places", "run"]


@pytest.fixture(autouse=True)
def ready(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(create_.Room, "check", lambda _self, _needed=0: None)
    places.hub_state.mkdir(parents=True)
    database = Database.at(places.database)
    database.open()
    database.close()
    home = places.homes / "ada"
    home.mkdir()
    (home / "lab.ipynb").write_text("work")


def keys_of(command: str) -> set[str]:
    return set(re.findall(r'"(\w+)":', SHAPES[command].partition("\n\n")[0]))


def test_the_life_of_a_backup(run: Run, places: Places) -> None:
    made = run("backup create --json")
    assert made.code == 0, made.err
    assert set(made.json) == keys_of("backup create") - {"part", "count", "lines"}
    name = made.json["name"]
    (listed,) = run("backup list --json").json
    assert set(listed) == keys_of("backup list")
    assert name in run("backup list").out
    verified = run(f"backup verify {name} --by-restoring --json")
    assert set(verified.json) == keys_of("backup verify")
    assert verified.json["restored"]
    (places.homes / "ada" / "lab.ipynb").write_text("spoilt")
    back = run("restore latest --user ada --file lab.ipynb --json").json
    assert (places.homes / "ada" / f"restored-{name}" / "lab.ipynb").read_text() == "work"
    assert back["folder"].endswith(f"restored-{name}")
    missing = run("restore latest --user ada --file lab2.ipynb")
    assert missing.code == 1
    assert "the backup has no file or folder of that name" in missing.err
    assert [path.name for path in (places.homes / "ada").glob("restored-*")] == [f"restored-{name}"]
    assert json.loads((places.health / "backup.json").read_text())["severity"] == "ok"
    refused = run(f"backup remove {name}")
    assert (refused.code, "add --yes" in refused.err) == (2, True)
    assert run(f"backup remove {name} --yes --json").json == {"removed": [name]}
    assert run("backup list --json").json == []


def test_what_is_left_out_is_named_to_whoever_makes_it(run: Run, places: Places) -> None:
    places.root_audit.mkdir(parents=True, exist_ok=True)
    os.mkfifo(places.root_audit / "fifo")
    assert run("backup passphrase --generate").code == 0
    told = run("backup create").out
    # Nobody else reads the names of files in one that is encrypted.
    assert "  audit: './fifo': no ordinary file, so it isn't in the backup\n" in told
    assert "fifo" not in next(places.backups.glob("*/backup.json")).read_text()
    finding = json.loads((places.health / "backup.json").read_text())
    assert finding["severity"] == "ok"
    assert finding["summary"].endswith("; devices left out, or set-uid bits: 1 in audit")
    assert finding["details"]["left_out"] == {"audit": 1}
    assert "changed meanwhile" not in told + finding["summary"]


def test_encrypted_by_a_passphrase_that_is_asked_for_again(run: Run, places: Places) -> None:
    short = run("backup passphrase --stdin", stdin="short\n")
    assert short.code == 1
    assert "fewer than 12" in short.err
    word = run("backup passphrase --generate --json").json["passphrase"]
    assert re.fullmatch(r"([a-z2-9]{5}-){4}[a-z2-9]{5}", word)
    assert run("backup create --json").json["encrypted"]
    plain = run("backup create --no-encrypt --json").json
    assert not plain["encrypted"]
    run(f"backup remove {plain['name']} --yes")
    run("backup passphrase --forget")
    assert not run("backup verify --json").json["opened"]
    wrong = run("restore latest --user ada --passphrase-stdin", stdin="not at all this\n")
    assert wrong.code == 1
    assert "the passphrase is another one" in wrong.err
    assert word not in wrong.err
    assert run("backup verify --passphrase-stdin --json", stdin=f"{word}\n").json["opened"]
    unasked = run("restore latest --user ada")
    assert "--passphrase-stdin" in unasked.err
    assert run("backup create --encrypt").code == 1


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("restore", 2, "NAME or --undo"),
        ("restore latest --file x", 2, "--file goes with --user"),
        ("restore latest --files some", 2, "missing, all or none"),
        ("restore latest", 1, "there is none"),
        ("restore ../x", 1, "backup.json"),
        ("backup verify nonsense", 1, "backups have names such as"),
        ("backup passphrase --generate --forget", 2, "exclude each other"),
        ("notices test", 1, "neither mail"),
    ],
)
def test_what_is_wrong_is_said(run: Run, line: str, code: int, words: str) -> None:
    done = run(line)
    assert (done.code, words in done.err) == (code, True), done.err


def test_a_trial_is_not_restored_whole(run: Run) -> None:
    run("backup create")
    done = run("restore latest --yes")
    assert done.code == 2
    assert "a trial has no accounts" in done.err
