"""How pages write times and sizes: as whole phrases, which can be translated, not as fragments."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from appliance.texts import Text, say, say_many
from appliance.web import languages
from appliance.web.languages import localized

_UNITS: Final = ((2**40, say("TB")), (2**30, say("GB")), (2**20, say("MB")), (2**10, say("KB")))

_MINUTES: Final = say_many("1 minute", "{count} minutes", 1)
_LENGTHS: Final = (
    (86400, say_many("1 day", "{count} days", 1)),
    (3600, say_many("1 hour", "{count} hours", 1)),
    (60, _MINUTES),
)
_PAST: Final = (
    (2700, 60, say_many("1 minute ago", "{count} minutes ago", 1)),
    (79200, 3600, say_many("1 hour ago", "{count} hours ago", 1)),
    (604800, 86400, say_many("1 day ago", "{count} days ago", 1)),
)


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
        "decimal": decimal,
        "localized": localized,
    }


def in_bytes(count: float) -> str:
    """A size as people write it, such as "312 MB" or "1.5 GB"; units of 1024, as systemd's."""
    language = languages.current()
    for unit, name in _UNITS:
        if count >= unit:
            value = count / unit
            digits = 1 if value < 10 and round(value, 1) % 1 else 0
            return f"{language.decimal(value, digits)} {language.translate(name)}"
    return localized(say("{count} bytes", count=f"{count:.0f}"))


def decimal(number: float, digits: int | None = None) -> str:
    """A number with so many digits behind the point, or with as many as it has."""
    if digits is None:
        digits = len(f"{number:g}".partition(".")[2])
    return languages.current().decimal(number, digits)


def duration(seconds: float) -> str:
    """A length of time in its largest fitting unit, such as "1 hour" or "90 minutes"."""
    whole = round(seconds)
    for size, words in _LENGTHS:
        if whole >= size and (whole % size == 0 or whole >= 10 * size):
            return _counted(words, whole // size)
    if whole >= 120:
        return _counted(_MINUTES, whole // 60)
    return localized(say_many("1 second", "{count} seconds", whole))


def ago(moment: datetime, now: datetime) -> str:
    """How long ago it was in words; from a week on, the day."""
    seconds = (now - moment).total_seconds()
    if seconds < 45:
        return localized(say("just now"))
    for limit, size, words in _PAST:
        if seconds < limit:
            return _counted(words, max(1, round(seconds / size)))
    return localized(say("on {day}", day=languages.current().date(moment)))


def _counted(words: Text, count: int) -> str:
    return localized(Text.of(words.pattern, {"count": count}, many=words.many, count=count))


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def until(moment: datetime) -> str:
    """A moment in the machine's own time zone, for what people must be done with by then."""
    local = moment.astimezone()
    return _with_time(languages.current().date(local, year=False), local)


def day(moment: datetime) -> str:
    """A day in the machine's own time zone, such as "7 May 2031"."""
    return languages.current().date(moment.astimezone())


def exactly(moment: datetime) -> str:
    """A moment that may be years away, such as "7 May 2031, 14:05"."""
    local = moment.astimezone()
    return _with_time(languages.current().date(local), local)


def _with_time(date: str, moment: datetime) -> str:
    return localized(say("{day}, {time}", day=date, time=f"{moment:%H:%M}"))


def sentence(text: str) -> str:
    """An error's part, which begins small so that it can be joined, as a sentence of its own."""
    text = localized(text).strip()
    if not text:
        return ""
    end = "" if text[-1] in ".!?…" else "."
    return text[0].upper() + text[1:] + end
