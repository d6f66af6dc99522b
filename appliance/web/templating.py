"""Turns templates into HTML: one environment, made once, that escapes everything.

Handlers pass plain values; what pages say about times and sizes is made by the filters here, as whole
phrases and not as fragments, so that they can be translated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"
TEMPLATES: Final = HERE / "templates"

_UNITS: Final = ((2**40, "TB"), (2**30, "GB"), (2**20, "MB"), (2**10, "KB"))


def make_renderer(
    base_url: str, *, now: Callable[[], datetime] | None = None
) -> Callable[[str, dict[str, Any]], str]:
    """A function from a template's name and its values to HTML, for the hub at this base URL."""
    clock = now or (lambda: datetime.now(UTC))
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    hub_url = f"{base_url}hub/"
    environment.globals.update(
        base_url=base_url,
        hub_url=hub_url,
        static_url=lambda name: f"{hub_url}static/{name}?v={_fingerprint(name)}",
        user=None,
        here="",
        flashes=(),
        xsrf_token="",
    )
    environment.filters.update(
        size=in_bytes,
        ago=lambda moment: ago(moment, clock()),
        iso=_iso,
        duration=duration,
        clock=_clock,
    )

    def render(template: str, values: dict[str, Any]) -> str:
        return environment.get_template(template).render(values)

    return render


@cache
def _fingerprint(name: str) -> str:
    """Lets browsers keep a file for ever: when it changes, so does its address."""
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]


def in_bytes(count: float) -> str:
    """A size as people write it, such as "312 MB" or "1.5 GB", in units of 1024 as systemd counts."""
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


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def _clock(moment: datetime) -> str:
    """A moment in the machine's own time zone, for what people must be done with by then."""
    return f"{moment.astimezone():%-d %B, %H:%M}"
