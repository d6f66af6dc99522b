"""How the disks are, as one finding: full ones first, then homes and classes past their limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from appliance.config.disk_schema import Disk
from appliance.disk.report import Report, Room, Used
from appliance.findings import Finding, Severity, first_few
from appliance.sizes import short_size

TOPIC: Final = "disk"
# A small disk can't keep much free: then a twentieth of it.
_SHARE: Final = 20
_FILES_FULL: Final = 99
# Those in memory, where keeping a gigabyte free is too much to ask.
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})


def finding_of(report: Report, settings: Disk) -> Finding:
    """The worst first."""
    full = [room for room in report.rooms if is_full(room, settings)]
    filling = [
        room
        for room in report.rooms
        if room not in full and max(room.percent, room.files_percent) >= settings.warn_percent
    ]
    over = {
        **{f"the home of {name}": one for name, one in report.users.items() if one.is_full},
        **{f"the class {name}": one for name, one in report.classes.items() if one.is_full},
    }
    details = {
        "file_systems": {
            room.place: {"free_bytes": room.free, "percent": room.percent,
                         "files_percent": room.files_percent}
            for room in report.rooms
        },
        "over_limit": sorted(over),
    }  # fmt: skip
    if full or filling:
        return Finding(
            TOPIC,
            Severity.FAILED if full else Severity.WARNING,
            _summary(full, filling),
            why=_why([*full, *filling], report),
            mend="see what can go: sudo appliance disk usage; or give the machine a larger disk",
            details=details,
        )
    if over:
        return Finding(
            TOPIC,
            Severity.WARNING,
            f"{_counted(len(over))} full",
            why=f"{first_few(sorted(over))}: at the limit that the settings give",
            mend="sudo appliance disk usage; "
            "to give more: sudo appliance config set disk.home SIZE",
            details=details,
        )
    return Finding(TOPIC, Severity.OK, "there is room on every disk", details=details)


def is_full(room: Room, settings: Disk) -> bool:
    """Whether there is too little left, of room or of entries for files."""
    if room.files_percent >= _FILES_FULL:
        return True
    share = room.size // _SHARE
    return room.free < (share if room.kind in _IN_MEMORY else min(settings.keep_free, share))


def biggest(users: Iterable[tuple[str, Used]], count: int = 5) -> list[tuple[str, Used]]:
    """Who uses most."""
    return sorted(users, key=lambda one: (-one[1].bytes, one[0]))[:count]


def _summary(full: Sequence[Room], filling: Sequence[Room]) -> str:
    worst = (full or filling)[0]
    state = "full" if full else "nearly full"
    more = len(full or filling) - 1
    others = f", and {more} more" if more else ""
    return f"the disk of {_named(worst)} is {state}{others}"


def _why(rooms: Sequence[Room], report: Report) -> str:
    lines = [f"{room.place} ({', '.join(room.holds)}): {_state(room)}" for room in rooms]
    if any("homes" in room.holds for room in rooms):
        most = [f"{name} {short_size(one.bytes)}" for name, one in biggest(report.users.items())]
        if most:
            lines.append(f"the biggest homes: {', '.join(most)}")
    return "; ".join(lines)


def _state(room: Room) -> str:
    if room.files_percent > room.percent:
        return f"{room.files_percent} % of its entries for files are used"
    return f"{room.percent} % used, {short_size(room.free)} free"


def _named(room: Room) -> str:
    return " and ".join(room.holds[:2]) if room.holds else room.place


def _counted(number: int) -> str:
    return "1 home or class is" if number == 1 else f"{number} homes or classes are"
