"""How pages write times and sizes: as whole phrases, which can be translated, not as fragments."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

_UNITS: Final = ((2**40, "TB"), (2**30, "GB"), (2**20, "MB"), (2**10, "KB"))


def filters(now: Callable[[], datetime] | None = None) -> dict[str, Callable[..., Any]]:
    """The filters that templates have besides Jinja's own."""
    clock = now or (lambda: datetime.now(UTC))
    return {
        "size": in_bytes,
        "ago": lambda moment: ago(moment, clock()),
        "iso": iso,
        "duration": duration,
        "until": until,
        "day": day,
        "exactly": exactly,
        "sentence": sentence,
    }


def in_bytes(count: float) -> str:
    """A size as people write it, such as "312 MB" or "1.5 GB"; units of 1024, as systemd's."""
    for unit, name in _UNITS:
        if count >= unit:
            value = count / unit
            return (
                f"{value:.1f} {name}"
                if value < 10 and round(value, 1) % 1
                else f"{value:.0f} {name}"
            )
    return f"{count:.0f} bytes"


def duration(seconds: float) -> str:
    """A length of time in its largest fitting unit, such as "1 hour" or "90 minutes"."""
    whole = round(seconds)
    for size, one, many in (
        (86400, "1 day", "{} days"),
        (3600, "1 hour", "{} hours"),
        (60, "1 minute", "{} minutes"),
    ):
        if whole >= size and (whole % size == 0 or whole >= 10 * size):
            return one if whole == size else many.format(whole // size)
    if whole >= 120:
        return f"{whole // 60} minutes"
    return "1 second" if whole == 1 else f"{whole} seconds"


def ago(moment: datetime, now: datetime) -> str:
    """How long ago it was in words; from a week on, the day."""
    seconds = (now - moment).total_seconds()
    if seconds < 45:
        return "just now"
    for limit, size, one, many in (
        (2700, 60, "1 minute ago", "{} minutes ago"),
        (79200, 3600, "1 hour ago", "{} hours ago"),
        (604800, 86400, "1 day ago", "{} days ago"),
    ):
        if seconds < limit:
            count = max(1, round(seconds / size))
            return one if count == 1 else many.format(count)
    return f"on {moment:%-d %B %Y}"


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def until(moment: datetime) -> str:
    """A moment in the machine's own time zone, for what people must be done with by then."""
    return f"{moment.astimezone():%-d %B, %H:%M}"


def day(moment: datetime) -> str:
    """A day in the machine's own time zone, such as "7 May 2031"."""
    return f"{moment.astimezone():%-d %B %Y}"


def exactly(moment: datetime) -> str:
    """A moment that may be years away, such as "7 May 2031, 14:05"."""
    return f"{moment.astimezone():%-d %B %Y, %H:%M}"


def sentence(text: str) -> str:
    """An error's part, which begins small so that it can be joined, as a sentence of its own."""
    text = text.strip()
    if not text:
        return ""
    end = "" if text[-1] in ".!?…" else "."
    return text[0].upper() + text[1:] + end
