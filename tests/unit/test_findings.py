"""Findings: written whole, read worst first, and unreadable files are nobody's trouble."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from appliance.findings import (
    Finding,
    Severity,
    first_few,
    forget_finding,
    read_findings,
    write_finding,
)


def test_the_worst_is_first_and_damaged_files_are_passed_over(tmp_path: Path) -> None:
    write_finding(tmp_path, Finding("backup", Severity.OK, "the last one is of today"))
    write_finding(tmp_path, Finding("disk", Severity.FAILED, "the disk is full", mend="df -h"))
    write_finding(tmp_path, Finding("certificate", Severity.WARNING, "it ends in 3 days"))
    (tmp_path / "other.json").write_text('{"topic": "other", "severity": "odd"}')
    (tmp_path / "cut.json").write_text("{")
    found = read_findings(tmp_path)
    assert [one.topic for one in found] == ["disk", "certificate", "backup"]
    assert found[0].mend == "df -h"
    assert found[0].checked.endswith("+00:00")
    assert (tmp_path / "disk.json").stat().st_mode & 0o777 == 0o644


def test_a_later_finding_replaces_the_earlier_and_topics_can_be_forgotten(tmp_path: Path) -> None:
    write_finding(tmp_path, Finding("disk", Severity.FAILED, "full"))
    write_finding(tmp_path, Finding("disk", Severity.OK, "12 GB free", details={"free": 12}))
    (only,) = read_findings(tmp_path)
    assert (only.severity, only.details["free"]) == (Severity.OK, 12)
    forget_finding(tmp_path, "disk")
    forget_finding(tmp_path, "disk")
    assert read_findings(tmp_path) == []


def test_a_sentence_names_the_first_few() -> None:
    assert first_few(["a", "b"]) == "a, b"
    assert first_few([*"abcdefg"]) == "a, b, c, d, e and 2 more"


def test_a_folder_that_cannot_be_listed_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "glob", fail)
    assert read_findings(tmp_path) == []
