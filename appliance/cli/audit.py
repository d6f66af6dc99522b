"""What `appliance audit` does: find lines of the audit log and show them, oldest first."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Final

from appliance.cli.audit_files import Log, Record
from appliance.cli.errors import UsageError
from appliance.cli.output import Output, count, dim
from appliance.places import Places

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_COLUMNS: Final = ("time (UTC)", "who", "from", "action", "target", "")
_POLL_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines to show."""

    since: datetime | None = None
    user: str = ""
    action: str = ""

    def fits(self, record: Record) -> bool:
        if not record["action"].startswith(self.action):
            return False
        return not self.user or self.user in _names_in(record)

    def is_recent(self, record: Record) -> bool:
        return self.since is None or _time(record) >= self.since


def show(places: Places, output: Output, wanted: Wanted, *, lines: int, follow: bool) -> None:
    if follow and output.as_json:
        raise UsageError("cannot follow with --json", why="the end of the list never comes")
    log = Log(places)
    if follow:
        log.begin_to_follow()
    found: list[Record] = []
    if lines:
        for record in filter(wanted.fits, takewhile(wanted.is_recent, log.newest_first())):
            found.append(record)
            if len(found) == lines:
                break
    found.reverse()
    if follow:
        for problem in log.problems:
            output.say(problem)
        _print_lines(found)
        _follow(log, wanted)
        return
    output.table(found, _COLUMNS, [_row(record) for record in found])
    if not found and not output.as_json:
        output.say("nothing was noted that fits")
    for problem in log.problems:
        output.say(problem)
    if log.unreadable:
        output.say(f"{count(log.unreadable, 'line')} can't be read and {_were(log.unreadable)}")


def parse_since(text: str, *, now: datetime | None = None) -> datetime | None:
    """A moment: an age such as 1h or 2d, or a date with or without a time, in UTC."""
    if not text:
        return None
    age = re.fullmatch(r"([0-9]{1,6})([smhdw])", text)
    try:
        if age:
            span = timedelta(**{_UNITS[age[2]]: int(age[1])})
            return (now or datetime.now(UTC)) - span
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as err:
        raise UsageError(
            f"cannot look back to {text!r}",
            why="it is neither an age nor a date",
            mend="--since 1h, --since 7d, --since 2030-01-31, or --since 2030-01-31T08:00",
        ) from err


def _follow(log: Log, wanted: Wanted) -> None:
    while True:
        _print_lines(filter(wanted.fits, log.new_records()))
        time.sleep(_POLL_SECONDS)


def _print_lines(records: Iterable[Record]) -> None:
    for record in records:
        moment, *cells = _row(record)
        print(dim(moment), "  ".join(cell for cell in cells if cell), flush=True)


def _row(record: Record) -> tuple[str, ...]:
    details = ", ".join(
        f"{name}: {_words(value)}" for name, value in record["details"].items() if value != []
    )
    outcome = "" if record["outcome"] == "done" else record["outcome"]
    return (
        f"{_time(record):%Y-%m-%d %H:%M:%S}",
        _who(record["actor"]),
        record["address"],
        record["action"],
        _words(record["targets"]),
        "; ".join(part for part in (outcome, details) if part),
    )


def _who(actor: dict[str, str]) -> str:
    name = actor.get("name") or actor.get("kind", "")
    if actor.get("kind") == "service":
        name = f"service {name}"
    if actor.get("unix_user"):
        name = f"{name} ({actor['unix_user']})"
    return f"{name} by token {actor['token']}" if actor.get("token") else name


def _words(value: object) -> str:
    if isinstance(value, list):
        shown = ", ".join(str(one) for one in value[:8])
        return shown if len(value) <= 8 else f"{shown} and {len(value) - 8} more"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _names_in(record: Record) -> set[str]:
    """Everybody whom a line is about: who did it, to whom, and whose server it was."""
    users = record["details"].get("users")
    named = [record["actor"].get("name", ""), record["actor"].get("unix_user", "")]
    named += [part for target in record["targets"] for part in (target, target.partition("/")[0])]
    return {*named, *(users if isinstance(users, list) else ())}


def _time(record: Record) -> datetime:
    moment = datetime.fromisoformat(record["time"])
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _were(number: int) -> str:
    return "was left out" if number == 1 else "were left out"
