"""Lines that are added whole, files that turn over, and a full disk that harms nothing else."""

from __future__ import annotations

import json
import logging
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from appliance import audit
from appliance.audit import VISITOR, Action, Actor, AuditLog, Outcome, file_name
from tests.fakes.clock import FakeClock

ADA = Actor("user", "ada", token="a7")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log(tmp_path: Path, clock: FakeClock) -> AuditLog:
    return AuditLog(tmp_path / "audit", clock=clock)


def lines(log: AuditLog, number: int = 0) -> list[dict[str, Any]]:
    text = (log.folder / file_name(number)).read_text()
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_says_who_did_what_to_whom(log: AuditLog) -> None:
    log.add(ADA, Action.CREATE_USER, ["bob"], address="192.0.2.7", details={"admin": False})
    assert lines(log) == [
        {
            "time": "2026-09-01T09:00:00.000000Z",
            "actor": {"kind": "user", "name": "ada", "token": "a7"},
            "address": "192.0.2.7",
            "action": "user.create",
            "targets": ["bob"],
            "outcome": "done",
            "details": {"admin": False},
        }
    ]
    assert stat.S_IMODE((log.folder / file_name(0)).stat().st_mode) == 0o600
    assert stat.S_IMODE(log.folder.stat().st_mode) == 0o700


def test_nothing_that_people_send_makes_a_second_line_or_a_long_one(log: AuditLog) -> None:
    names = [f"user-{number}" for number in range(250)]
    nasty = 'x"\n{"actor": "root"}\r\u2028\x1b[31m' * 100
    log.add(ADA, Action.CREATE_USER, [*names, nasty], details={"why": nasty, "list": [nasty] * 500})
    found = lines(log)
    assert [len(record["targets"]) for record in found] == [100, 100, 51]
    assert max(len(json.dumps(record)) for record in found) < 100_000
    assert (log.folder / file_name(0)).read_bytes().isascii()


def test_files_turn_over_and_the_oldest_goes(
    log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "LARGEST_FILE", 1000)
    for number in range(100):
        log.add(ADA, Action.REMOVE_USER, [f"user-{number}"])
    names = sorted(path.name for path in log.folder.iterdir())
    assert names == sorted(file_name(number) for number in range(audit.FILES))
    kept = [
        record["targets"][0]
        for number in range(audit.FILES - 1, -1, -1)
        for record in lines(log, number)
    ]
    assert kept == [f"user-{number}" for number in range(100 - len(kept), 100)]
    assert all(path.stat().st_size <= 1000 for path in log.folder.iterdir())


def test_a_full_disk_is_told_once_and_fails_nobody(
    log: AuditLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log.add(ADA, Action.LOG_OUT)
    real = os.write

    def full(descriptor: int, data: bytes) -> int:
        return real(descriptor, data[:10])

    with caplog.at_level(logging.WARNING):
        monkeypatch.setattr(os, "write", full)
        log.add(ADA, Action.REMOVE_USER, ["bob"])
        log.add(ADA, Action.REMOVE_USER, ["eve"])
        monkeypatch.setattr(os, "write", real)
        log.add(ADA, Action.REMOVE_USER, ["kim"])
    assert ["No space left" in record.message for record in caplog.records] == [True, False]
    text = (log.folder / file_name(0)).read_text()
    assert json.loads(text.splitlines()[-1])["targets"] == ["kim"]
    assert log.counts[Action.REMOVE_USER, Outcome.DONE] == 3


def test_no_link_is_followed(log: AuditLog, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("")
    log.folder.mkdir()
    (log.folder / file_name(0)).symlink_to(victim)
    log.add(ADA, Action.LOG_OUT)
    (log.folder / file_name(0)).unlink()
    os.mkfifo(log.folder / file_name(0))
    log.add(ADA, Action.LOG_OUT)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    linked = AuditLog(tmp_path / "linked")
    linked.folder.symlink_to(elsewhere)
    linked.add(ADA, Action.LOG_OUT)
    assert victim.read_text() == ""
    assert list(elsewhere.iterdir()) == []


def test_strangers_push_nothing_out(log: AuditLog, clock: FakeClock) -> None:
    def fail() -> None:
        log.add(VISITOR, Action.LOG_IN, outcome=Outcome.REFUSED, details={"why": "wrong"})

    for _ in range(1000):
        fail()
    log.add(ADA, Action.LOG_OUT)
    assert len(lines(log)) == 101
    clock.pass_time(60)
    fail()
    assert lines(log)[-1]["details"] == {"why": "wrong", "left_out_before": 900}
    assert log.counts[Action.LOG_IN, Outcome.REFUSED] == 1001


def test_outside_of_a_request_nothing_is_noted(tmp_path: Path) -> None:
    audit.note(Action.REMOVE_USER, "bob")
    audit.note_unless_own(Action.STOP_SERVER, "bob", "bob")
    assert list(tmp_path.iterdir()) == []


# The list of actions: in the code, in the docs, and in use.

ROOT = Path(__file__).parents[2]


def test_the_docs_have_every_action_and_no_other() -> None:
    page = (ROOT / "docs/operating.md").read_text()
    rows = re.findall(r"^\| `([a-z]+\.[a-z-]+)` \| ", page, flags=re.MULTILINE)
    assert rows == sorted(set(rows), key=rows.index)
    assert set(rows) == {action.value for action in Action}


def test_every_action_is_noted_somewhere() -> None:
    used = set()
    for path in (ROOT / "appliance").rglob("*.py"):
        if path.name != "audit.py" or path.parent.name != "appliance":
            used |= set(re.findall(r"\bAction\.([A-Z_]+)", path.read_text()))
    assert used == set(Action.__members__)
