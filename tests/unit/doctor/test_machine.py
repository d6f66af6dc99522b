"""What the doctor looks at besides the way from the browser to a cell."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from appliance.doctor import machine
from appliance.doctor.report import State
from appliance.doctor.system import System
from appliance.places import Places


class Doing(System):
    """Remembers instead of doing."""

    def __init__(self) -> None:
        self.done: list[tuple[str, ...]] = []

    def must(self, *command: str, seconds: float = 30) -> None:
        self.done.append(command)


def test_settings_that_everybody_may_read_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = tmp_path / "rules.conf"
    rules.write_text("")
    monkeypatch.setattr(machine, "RULES", rules)
    places, system = Places.of_trial(tmp_path), Doing()
    places.config_file.parent.mkdir(parents=True, exist_ok=True)
    places.config_file.write_text("")
    places.config_file.chmod(0o600)
    (check,) = machine.folders(system, places)
    assert check.state is State.OK
    places.config_file.chmod(0o644)
    (check,) = machine.folders(system, places)
    assert check.state is State.FAILED
    assert check.mend == f"sudo chmod 600 {places.config_file}"
    assert check.fix
    check.fix.do()
    assert system.done == [("chmod", "600", str(places.config_file))]


def test_a_disk_without_entries_for_files_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "disks", lambda _: [("/home", 10**10, 10**9, 1000, 0)])
    (check,) = machine.room(Places.of_trial(tmp_path))
    assert check.state is State.FAILED
    assert "no file can be made" in check.summary
    assert "--inodes" in check.mend


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS])
def test_a_disk_that_takes_nothing_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    places = Places.of_trial(tmp_path)
    places.state.mkdir(parents=True)
    assert not list(machine.writing(places))

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(machine.os, "fsync", fail)
    (check,) = machine.writing(places)
    assert check.state is State.FAILED
    assert os.strerror(number) in check.why


def test_a_disk_that_is_full_is_not_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places.of_trial(tmp_path)
    places.state.mkdir(parents=True)

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(machine.os, "fsync", fail)
    assert not list(machine.writing(places))
