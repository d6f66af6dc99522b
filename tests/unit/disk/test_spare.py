"""Entries for files that are kept back. That programs start by them, machines prove (faults)."""

from __future__ import annotations

from errno import ENOSPC
from pathlib import Path
from types import SimpleNamespace

import pytest

from appliance.disk.spare import COUNT, FOLDER, give_up_if_needed, keep_entries


def let_be_free(monkeypatch: pytest.MonkeyPatch, entries: int) -> None:
    facts = SimpleNamespace(f_favail=entries)
    monkeypatch.setattr("appliance.disk.spare.os.statvfs", lambda _: facts)


def test_they_are_made_once_where_there_is_plenty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_be_free(monkeypatch, 10**6)
    assert keep_entries(tmp_path)
    files = list((tmp_path / FOLDER).iterdir())
    assert len(files) == COUNT
    files[0].unlink()
    assert keep_entries(tmp_path)
    assert len(list((tmp_path / FOLDER).iterdir())) == COUNT


@pytest.mark.parametrize("entries", [0, COUNT])
def test_none_is_taken_from_a_disk_that_has_few_or_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: int
) -> None:
    let_be_free(monkeypatch, entries)
    assert not keep_entries(tmp_path)
    assert not (tmp_path / FOLDER).exists()


def test_what_cannot_be_kept_is_no_failure(tmp_path: Path) -> None:
    assert not keep_entries(tmp_path / "missing")


@pytest.mark.parametrize("full", ["", "state", "tmp"])
def test_they_are_given_up_where_no_folder_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    state, tmp = tmp_path / "state", tmp_path / "tmp"
    for folder in (state, tmp):
        folder.mkdir()
    let_be_free(monkeypatch, 10**6)
    keep_entries(state)
    make = Path.mkdir

    def mkdir(path: Path, mode: int = 0o777) -> None:
        if path.parent.name == full:
            raise OSError(ENOSPC, "No space left on device")
        make(path, mode)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    give_up_if_needed(state, also=tmp)
    assert len(list((state / FOLDER).iterdir())) == (0 if full else COUNT)
    assert not list(tmp.iterdir())
