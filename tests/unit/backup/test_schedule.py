"""When a backup is due, what is said of the last one, and which ones go."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.backup import schedule
from appliance.backup.manifest import Manifest
from appliance.backup.place import Backup
from appliance.backup.retention import superfluous
from appliance.backup.schedule import Record, finding_of, is_due, latest_slot, look, read_record
from appliance.config.backup_schema import Backup as Settings
from appliance.config.schema import Config
from appliance.findings import Severity, read_findings
from appliance.places import Places
from appliance.rollout import services

# A Monday.
NOON = datetime(2030, 1, 7, 12, 0).astimezone()
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def at(moment: datetime) -> str:
    return moment.isoformat()


def test_each_day_from_its_time_on() -> None:
    settings = Settings()
    slot = NOON.replace(hour=3)
    assert latest_slot(settings, NOON) == slot
    assert latest_slot(settings, NOON.replace(hour=2)) == slot - DAY
    assert is_due(settings, Record(succeeded=at(slot - HOUR)), NOON)
    assert not is_due(settings, Record(succeeded=at(slot + HOUR)), NOON)
    assert not is_due(settings.model_copy(update={"enabled": False}), Record(), NOON)


def test_on_some_days_alone() -> None:
    settings = Settings.model_validate({"days": ["wed", "sat"], "at": "22:00"})
    saturday = NOON.replace(hour=22) - 2 * DAY
    assert latest_slot(settings, NOON) == saturday
    assert latest_slot(settings, NOON + 3 * DAY) == saturday + 4 * DAY


def test_the_first_waits_for_its_time_and_missed_ones_are_made_up_for_once() -> None:
    settings = Settings()
    fresh = Record(since=at(NOON))
    assert not is_due(settings, Record(), NOON)
    assert not is_due(settings, fresh, NOON + 14 * HOUR)
    assert is_due(settings, fresh, NOON + 16 * HOUR)
    # Off for a week: at once, and then not again before the next night.
    back = NOON + 7 * DAY
    assert is_due(settings, fresh, back)
    assert not is_due(settings, replace(fresh, succeeded=at(back)), back + 2 * HOUR)


def test_what_failed_is_tried_each_hour() -> None:
    record = Record(since=at(NOON - 9 * DAY), tried=at(NOON), failure="the disk is full")
    assert not is_due(Settings(), record, NOON + HOUR / 2)
    assert is_due(Settings(), record, NOON + HOUR)


def test_a_clock_that_was_set_back_stops_no_backups() -> None:
    record = Record(since=at(NOON), succeeded=at(NOON + 900 * DAY), tried=at(NOON + 900 * DAY))
    assert is_due(Settings(), record, NOON)


@pytest.mark.parametrize(
    ("record", "severity", "words"),
    [
        (Record(since=at(NOON)), Severity.OK, "the first backup is made at 03:00"),
        (Record(since=at(NOON - 2 * DAY)), Severity.WARNING, "there is no backup yet"),
        (
            Record(since=at(NOON - 9 * DAY), succeeded=at(NOON - 9 * HOUR), name="x", opened=True),
            Severity.OK, "2030-01-07 03:00, read back and compared",
        ),
        (
            Record(succeeded=at(NOON), name="x", left_out={"home-nb-ada": 2, "class-bio": 1}),
            Severity.OK, "devices left out, or set-uid bits: 3 in class-bio, home-nb-ada",
        ),
        (
            Record(succeeded=at(NOON - 3 * DAY), name="x"),
            Severity.OK, "the last backup is of 2030-01-04 12:00",
        ),
        (
            Record(succeeded=at(NOON), failure="no room", mend="make room"),
            Severity.FAILED, "the last good one is of 2030-01-07 12:00",
        ),
        (Record(failure="no room"), Severity.FAILED, "there is none yet"),
    ],
)  # fmt: skip
def test_findings(record: Record, severity: Severity, words: str) -> None:
    found = finding_of(Settings(), record, NOON, "/place")
    assert found.severity is severity
    assert words in found.summary
    assert severity is Severity.OK or found.mend


def test_one_that_is_late_is_a_warning() -> None:
    record = Record(succeeded=at(NOON - 3 * DAY), name="x")
    late = finding_of(Settings(), record, NOON.replace(hour=16), "/place")
    assert late.severity is Severity.WARNING
    assert "was not made" in late.why


def test_the_chore_begins_what_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = Places.of_trial(tmp_path)
    commands: list[list[str]] = []

    class Done:
        returncode = 0
        stderr = ""

    def run(command: list[str], _seconds: float) -> Done:
        commands.append(command)
        return Done()

    monkeypatch.setattr(services, "run", run)
    look(Config(), places)
    assert commands == []
    assert read_record(places).since
    old = datetime.now().astimezone() - 3 * DAY
    schedule.write_record(places, Record(since=at(old)))
    look(Config(), places)
    assert commands == [["systemctl", "start", "--no-block", "appliance-backup.service"]]
    (finding,) = read_findings(places.health)
    assert (finding.topic, finding.severity) == ("backup", Severity.WARNING)
    off = Config.model_validate({"backup": {"enabled": False}})
    look(off, places)
    assert read_findings(places.health) == []


def made(moment: datetime, *, scheduled: bool = True) -> Backup:
    name = f"{moment:%Y-%m-%dT%H-%M-%S}Z"
    manifest = Manifest(name, at(moment), "hub", "1", "0001", scheduled)
    return Backup(Path("/place") / name, manifest)


def test_the_last_of_each_day_week_and_month_is_kept() -> None:
    nights = [datetime(2030, 1, 1, 3, tzinfo=UTC) + number * DAY for number in range(400)]
    by_hand = made(nights[0] + HOUR, scheduled=False)
    backups = [by_hand, *(made(night) for night in nights)]
    gone = superfluous(backups, Settings())
    kept = [one for one in backups if one not in gone]
    assert by_hand in kept
    scheduled = [one.manifest.when for one in kept if one.manifest.scheduled]
    assert scheduled[-7:] == nights[-7:]
    # Seven days, four weeks and six months, some of which are the same.
    assert 13 <= len(scheduled) <= 17
    assert nights[-1] - min(scheduled) > 120 * DAY
    # Going through it day by day keeps the same as looking at all of it at once.
    standing: list[Backup] = []
    for one in backups[1:]:
        standing.append(one)
        standing = [left for left in standing if left not in superfluous(standing, Settings())]
    assert [one.folder for one in standing] == [one.folder for one in kept if one is not by_hand]
