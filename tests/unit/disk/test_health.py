"""What is said of disks: the worst first, with names and what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.config.disk_schema import Disk
from appliance.disk.health import biggest, finding_of, is_full
from appliance.disk.report import QUOTA, Report, Room, Used, read_report, write_report
from appliance.findings import Severity

GB = 2**30
ROOM = Room(
    place="/home", kind="ext4", size=100 * GB, free=50 * GB, percent=50, files_percent=3,
    quota="enforced", holds=("homes", "classes"),
)  # fmt: skip
ADA = Used(bytes=3 * GB, files=10, limit=4 * GB)
BOB = Used(bytes=9 * GB, files=10, limit=4 * GB)


def test_all_is_well() -> None:
    nearly = replace(ROOM, percent=89, files_percent=89)
    found = finding_of(Report(users={"ada": ADA}, rooms=(ROOM, nearly)), Disk())
    assert (found.severity, found.mend) == (Severity.OK, "")


@pytest.mark.parametrize(
    ("changes", "severity", "words"),
    [
        ({"percent": 90}, Severity.WARNING, "the disk of homes and classes is nearly full"),
        ({"percent": 99, "free": GB // 2}, Severity.FAILED, "homes and classes is full"),
        ({"percent": 99, "free": GB}, Severity.WARNING, "nearly full"),
        ({"files_percent": 95}, Severity.WARNING, "nearly full"),
        ({"files_percent": 99}, Severity.FAILED, "is full"),
    ],
)
def test_a_disk_fills_up(changes: dict[str, int], severity: Severity, words: str) -> None:
    report = Report(users={"ada": ADA, "bob": BOB}, rooms=(replace(ROOM, **changes), ROOM))
    found = finding_of(report, Disk())
    assert found.severity is severity
    assert words in found.summary
    assert "the biggest homes: bob 9G, ada 3G" in found.why
    assert "appliance disk usage" in found.mend


def test_entries_for_files_run_out_too() -> None:
    found = finding_of(Report(rooms=(replace(ROOM, files_percent=99),)), Disk())
    assert "99 % of its entries for files are used" in found.why


@pytest.mark.parametrize(
    ("kind", "size", "free", "full"),
    [
        ("ext4", 8 * GB, GB // 2, False),
        ("ext4", 8 * GB, GB // 3, True),
        ("ext4", 800 * GB, GB - 1, True),
        ("tmpfs", GB, GB // 10, False),
        ("tmpfs", GB, GB // 30, True),
    ],
)
def test_small_disks_and_memory_need_less(kind: str, size: int, free: int, full: bool) -> None:
    assert is_full(replace(ROOM, kind=kind, size=size, free=free), Disk()) is full


def test_homes_past_their_limits_are_a_warning() -> None:
    report = Report(users={"ada": ADA, "bob": BOB}, classes={"c": BOB}, rooms=(ROOM,))
    found = finding_of(report, Disk())
    assert found.severity is Severity.WARNING
    assert found.summary == "2 homes or classes are full"
    assert found.details["over_limit"] == ["the class c", "the home of bob"]


def test_the_biggest_come_first() -> None:
    users = {f"u{number}": Used(bytes=number, files=0) for number in range(20)}
    assert [name for name, _ in biggest(users.items(), 3)] == ["u19", "u18", "u17"]


@pytest.mark.parametrize(
    ("used", "percent", "full"),
    [
        (Used(bytes=5, files=5), None, False),
        (Used(bytes=1, files=0, limit=200), 1, False),
        (Used(bytes=199, files=0, limit=200), 100, False),
        (Used(bytes=199, files=0, limit=200, by=QUOTA), 100, True),
        (Used(bytes=200, files=0, limit=200), 100, True),
        (Used(bytes=10, files=90, limit=100, files_limit=100), 90, False),
        (Used(bytes=10, files=100, limit=100, files_limit=100), 100, True),
    ],
)
def test_shares(used: Used, percent: int | None, full: bool) -> None:
    assert (used.percent, used.is_full) == (percent, full)


def test_the_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    used = Used(bytes=1, files=2, limit=3, files_limit=4, by=QUOTA, at=5.5, complete=False)
    report = Report(at=7.5, warn_percent=80, users={"ada": used}, classes={"c": used},
                    rooms=(ROOM,))  # fmt: skip
    path = tmp_path / "disk" / "use.json"
    write_report(path, report, group=None)
    assert read_report(path) == report
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "users": 3}'])
def test_a_file_that_makes_no_sense_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "use.json").write_text(content)
    assert read_report(tmp_path / "use.json") == Report()
    assert read_report(tmp_path / "missing.json") == Report()
