"""Which scheduled backups are kept: the last of each of so many days, weeks and months."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from appliance.backup.place import Backup
from appliance.config.backup_schema import Backup as Settings


def superfluous(backups: Iterable[Backup], settings: Settings) -> list[Backup]:
    """Those that can go. What somebody made by hand stays until somebody removes it."""
    scheduled = sorted(
        (one for one in backups if one.manifest.scheduled),
        key=lambda one: one.manifest.created,
        reverse=True,
    )
    kept: set[str] = set()
    rules: tuple[tuple[int, Callable[[datetime], Any]], ...] = (
        (settings.keep_daily, lambda when: when.date()),
        (settings.keep_weekly, lambda when: when.isocalendar()[:2]),
        (settings.keep_monthly, lambda when: (when.year, when.month)),
    )
    for number, period in rules:
        seen: list[Any] = []
        for one in scheduled:
            found = period(one.manifest.when.astimezone())
            if found not in seen and len(seen) < number:
                seen.append(found)
                kept.add(one.folder.name)
    return [one for one in scheduled if one.folder.name not in kept]
