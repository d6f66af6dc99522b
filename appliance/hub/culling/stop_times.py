"""The moments that `culling.stop_at` means, in the machine's time zone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from appliance.config.culling_schema import parse_stop_time


def next_stop(
    times: Sequence[str], after: datetime, *, zone: tzinfo | None = None
) -> datetime | None:
    """The first moment after another, in UTC; None without times. `zone` is for tests: without it,
    the machine's.

    Each time comes once a day, whatever clocks do: one that is left out when they are put forward
    comes an hour later, and of two when they are put back the first counts.
    """
    return min(_soon(times, after, zone), default=None)


def _soon(times: Sequence[str], after: datetime, zone: tzinfo | None) -> Iterator[datetime]:
    today = after.astimezone(zone).date()
    for text in times:
        found = parse_stop_time(text)
        if found is None:
            continue
        weekday, hour, minute = found
        for days in range(-1, 9):
            day = today + timedelta(days=days)
            if weekday is not None and day.weekday() != weekday:
                continue
            # Without a zone it's the machine's, by whatever its clock rules are on that day.
            local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
            moment = local.astimezone(UTC)
            if moment > after:
                yield moment
