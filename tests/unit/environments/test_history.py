"""What is kept of earlier environments."""

from __future__ import annotations

from pathlib import Path

from appliance.environments.history import KEPT, Entry, History
from appliance.environments.records import Record
from installer.environments import HISTORY, prune


def _entry(software: Path, name: str) -> Entry:
    directory = software / "environments" / name
    directory.mkdir(parents=True, exist_ok=True)
    return Entry.of(directory, Record(wanted=name), "appliance env install x")


def test_the_last_few_are_kept_and_the_installer_leaves_them(tmp_path: Path) -> None:
    history = History(tmp_path)
    (tmp_path / "environments").mkdir()
    dropped = set()
    for number in range(KEPT + 3):
        dropped |= history.add("", _entry(tmp_path, f"user-{number}"))
    assert dropped == {"user-0", "user-1"}
    assert [one.directory for one in history.entries("")] == [
        f"user-{number}" for number in range(2, KEPT + 3)
    ]
    assert prune(tmp_path) == ["user-0", "user-1"]
    assert (tmp_path / "environments/user-2").is_dir()


def test_each_environment_has_its_own(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.add("", _entry(tmp_path, "user-1"))
    history.add("data", _entry(tmp_path, "kernel-data-1"))
    assert history.forget("data") == {"kernel-data-1"}
    assert len(history.entries("")) == 1


def test_a_damaged_file_is_an_empty_history(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.add("", _entry(tmp_path, "user-1"))
    (tmp_path / "environments" / HISTORY).write_text("{")
    assert history.entries("") == []
    history.add("", _entry(tmp_path, "user-2"))
    assert len(history.entries("")) == 1
