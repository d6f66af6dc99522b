"""Backups: when they are made, where they go, what is in them, and how many are kept."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from appliance.config.kinds import Example, Means, Reload, Section, Typed

BackupFolder = Annotated[
    str,
    Field(pattern=r"^(/[^\x00-\x1f]*)?$", max_length=1000),
    Means('the full path of a folder, such as "/mnt/backups"'),
]

TimeOfDay = Annotated[
    str,
    Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$"),
    Means('a time of the day such as "03:00" or "22:30"'),
]

LeftOut = Annotated[
    str,
    Field(pattern=r"^[^\x00-\x20/,-][^\x00-\x1f,]*$", max_length=200),
    Means('a name such as ".cache", or a path in the home such as ".local/share/Trash"'),
]

AgeRecipient = Annotated[
    str,
    Field(pattern=r"^age1[02-9ac-hj-np-z]{58}$"),
    Means('a public key of age, which begins with "age1"'),
]


class Weekday(StrEnum):
    """Days of the week."""

    MONDAY = "mon"
    TUESDAY = "tue"
    WEDNESDAY = "wed"
    THURSDAY = "thu"
    FRIDAY = "fri"
    SATURDAY = "sat"
    SUNDAY = "sun"


class Backup(Section):
    """Backups of accounts, settings, homes and classes' folders."""

    enabled: Annotated[bool, Reload.UPKEEP, Example(False)] = True  # noqa: FBT003
    """Make backups regularly."""

    at: Annotated[TimeOfDay, Reload.UPKEEP, Example("22:30")] = "03:00"
    """From which time of the day on, as the machine's clock has it; if the machine is off then, at
    the next chance."""

    days: Annotated[
        list[Annotated[Weekday, Field(strict=False)]],
        Field(max_length=7),
        Typed.SEPARATED,
        Reload.UPKEEP,
        Example(["mon", "wed", "fri"]),
    ] = []
    """On which days of the week: mon, tue, wed, thu, fri, sat, sun. Empty means every day."""

    folder: Annotated[BackupFolder, Reload.UPKEEP, Example("/mnt/backups")] = ""
    """Where backups go. Empty means /var/lib/appliance/backups, which is lost with the machine: so
    name another disk, or another machine's that is mounted here."""

    must_be_mount: Annotated[bool, Reload.UPKEEP, Example(True)] = False  # noqa: FBT003
    """Make a backup only while a disk is mounted at that folder or above it, so that a disk that is
    missing doesn't go unnoticed."""

    homes: Annotated[bool, Reload.UPKEEP, Example(False)] = True  # noqa: FBT003
    """Back up the files of users, too."""

    exclude: Annotated[
        list[LeftOut], Field(max_length=100), Typed.SEPARATED, Reload.UPKEEP, Example([".cache"])
    ] = [".cache", ".local/share/Trash", "__pycache__"]
    """What is left out of homes: names, wherever they are, or paths in the home. * stands for any
    characters."""

    keep_daily: Annotated[int, Field(ge=1, le=1000), Reload.UPKEEP, Example(14)] = 7
    """Of how many days the last backup is kept."""

    keep_weekly: Annotated[int, Field(ge=0, le=1000), Reload.UPKEEP, Example(8)] = 4
    """Of how many weeks, besides."""

    keep_monthly: Annotated[int, Field(ge=0, le=1000), Reload.UPKEEP, Example(12)] = 6
    """Of how many months, besides."""

    recipients: Annotated[
        list[AgeRecipient],
        Field(max_length=20),
        Typed.SEPARATED,
        Reload.UPKEEP,
        Example(["age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"]),
    ] = []
    """Public keys of age: backups are encrypted, and whoever has one of their secret keys can read
    them. For a passphrase instead: appliance backup passphrase."""
