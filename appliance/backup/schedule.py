"""When the next backup is due, what came of the last one, and the finding about it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from appliance.backup.place import place_of
from appliance.config.backup_schema import Backup as Settings
from appliance.config.backup_schema import Weekday
from appliance.config.files import write_atomically
from appliance.config.schema import Config
from appliance.findings import Finding, Severity, first_few, forget_finding, write_finding
from appliance.places import Places
from appliance.rollout.services import begin

TOPIC: Final = "backup"
UNIT: Final = "appliance-backup.service"
_AGAIN: Final = timedelta(hours=1)
_LATE: Final = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Record:
    """What is remembered; times in ISO 8601 with their zone, empty for never."""

    since: str = ""
    """When backups began to be wanted: the first is due at the next time of the day."""
    tried: str = ""
    succeeded: str = ""
    name: str = ""
    size: int = 0
    opened: bool = False
    with_homes: bool = False
    notes: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    """How many files of which part are no part of a backup, or are in it without a bit."""
    failure: str = ""
    mend: str = ""


def read_record(places: Places) -> Record:
    try:
        return Record(**json.loads((places.upkeep_state / "backup.json").read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return Record()


def write_record(places: Places, record: Record) -> None:
    places.upkeep_state.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = json.dumps(asdict(record), indent=1) + "\n"
    write_atomically(places.upkeep_state / "backup.json", text, mode=0o600)


def latest_slot(settings: Settings, now: datetime) -> datetime | None:
    """The last moment up to now at which a backup was wanted; of a machine's own time."""
    hour, minute = (int(word) for word in settings.at.split(":"))
    days = {list(Weekday).index(day) for day in settings.days} or set(range(7))
    for back in range(8):
        day = now - timedelta(days=back)
        slot = day.replace(hour=hour, minute=minute, second=0, microsecond=0)
        if slot <= now and slot.weekday() in days:
            return slot
    return None


def is_due(settings: Settings, record: Record, now: datetime) -> bool:
    """Whether to begin now: missed ones are made up for once, failed ones tried each hour."""
    slot = latest_slot(settings, now)
    if not settings.enabled or slot is None:
        return False
    last = _time(record.succeeded) or _time(record.since)
    if last is None or last > now:
        # A clock that was set back: a time to come is nobody's last time.
        return last is not None and not _is_recent(record.tried, now)
    return last < slot and not _is_recent(record.tried, now)


def _is_recent(tried: str, now: datetime) -> bool:
    last = _time(tried)
    return last is not None and timedelta(0) <= now - last < _AGAIN


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text).astimezone() if text else None
    except ValueError:
        return None


def finding_of(settings: Settings, record: Record, now: datetime, place: str) -> Finding:
    """How backups are."""
    last = _time(record.succeeded)
    details = {
        "last": record.succeeded, "name": record.name, "bytes": record.size,
        "verified": bool(record.name), "folder": place,
    }  # fmt: skip
    if record.failure:
        had = f"the last good one is of {_said(last)}" if last else "there is none yet"
        return Finding(
            TOPIC, Severity.FAILED, f"the last backup failed; {had}",
            why=record.failure, mend=record.mend or "sudo appliance backup create",
            details=details,
        )  # fmt: skip
    if last is None:
        slot = latest_slot(settings, now)
        since = _time(record.since)
        if since is None or slot is None or slot < since:
            summary = f"the first backup is made at {settings.at}"
            return Finding(TOPIC, Severity.OK, summary, details=details)
        return Finding(
            TOPIC, Severity.WARNING, "there is no backup yet",
            why=f"none was made at {settings.at}, when it was due",
            mend="sudo appliance backup create", details=details,
        )  # fmt: skip
    slot = latest_slot(settings, now)
    if slot is not None and last < slot and now - slot > _LATE:
        return Finding(
            TOPIC, Severity.WARNING, f"the last backup is of {_said(last)}",
            why=f"one was due on {_said(slot)} and was not made",
            mend="sudo appliance backup create; sudo journalctl -u appliance-backup",
            details=details,
        )  # fmt: skip
    what = "read back and compared" + ("" if record.opened else ", not opened: no key is here")
    notes = f"; {record.notes} files changed meanwhile or can't be read" if record.notes else ""
    summary = f"the last backup is of {_said(last)}, {what}{notes}{_special(record.left_out)}"
    return Finding(
        TOPIC, Severity.OK, summary, details={**details, "left_out": dict(record.left_out)}
    )


def _special(left_out: dict[str, int]) -> str:
    """Everybody may read findings, and names of files are words of users'."""
    if not left_out:
        return ""
    number, where = sum(left_out.values()), first_few(sorted(left_out))
    return f"; devices left out, or set-uid bits: {number} in {where}"


def _said(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M}"


def report(config: Config, places: Places) -> None:
    """Write the finding down."""
    if not config.backup.enabled:
        forget_finding(places.health, TOPIC)
        return
    place = str(place_of(config.backup.folder, places).folder)
    now = datetime.now().astimezone()
    write_finding(places.health, finding_of(config.backup, read_record(places), now, place))


def look(config: Config, places: Places) -> None:
    """The chore: start a backup that is due, in a unit of its own; say how backups are."""
    record, now = read_record(places), datetime.now().astimezone()
    if config.backup.enabled and not record.since:
        record = replace(record, since=now.isoformat(timespec="seconds"))
        write_record(places, record)
    report(config, places)
    if not is_due(config.backup, record, now):
        return
    begin("begin a backup", UNIT)
