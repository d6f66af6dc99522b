"""Slowing down who guesses: by account, by account and address, by address; kept in the database.

Every attempt counts as failed until it succeeds, so that many at once gain nothing. Past some free
failures each further one doubles the wait up to a cap; failures fade with time. Nobody is locked
out: the count of an account as a whole doesn't apply to addresses from which its owner logged in
before, so a stranger who guesses can't keep the owner away, while the guesser (that account from
that address) waits long. A school behind one address gets many free failures.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, CursorResult, delete, or_, select
from sqlalchemy.orm import Session

from appliance.clock import Clock
from appliance.db.models import Throttle as Row
from appliance.db.session import Database
from appliance.errors import TooMany


@dataclass(frozen=True, slots=True)
class Rule:
    """How many failures are free, the longest wait, and how long until one failure is forgotten."""

    free: int
    cap_seconds: float
    fades_seconds: float

    def wait(self, failures: float) -> float:
        """Seconds to wait after the latest failure."""
        over = failures - self.free
        return min(self.cap_seconds, 2.0 ** min(over, 30)) if over >= 0 else 0.0


RULES: Final = {
    "account": Rule(free=20, cap_seconds=30, fades_seconds=60),
    "guesser": Rule(free=10, cap_seconds=600, fades_seconds=300),
    # As many as may be in the queue for hashes: a lecture hall behind one address, all at once.
    "address": Rule(free=300, cap_seconds=60, fades_seconds=10),
    "signup": Rule(free=200, cap_seconds=60, fades_seconds=10),
    # A lecture hall behind one address mistypes a code more often than a few guessers would.
    "code": Rule(free=60, cap_seconds=60, fades_seconds=30),
    # Of an account, from wherever: who tries has the password. At a hundred tries a day, with three
    # codes of a million that are right, it takes eight years until half of them would be in.
    "second": Rule(free=5, cap_seconds=900, fades_seconds=1800),
    "recovery": Rule(free=10, cap_seconds=600, fades_seconds=300),
    # Who says that they forgot their password, by network; and mails to one account.
    "forgot": Rule(free=30, cap_seconds=300, fades_seconds=60),
    "mails": Rule(free=3, cap_seconds=3600, fades_seconds=1200),
}
# What keeps people out of one account, by its name.
_OF_ACCOUNT: Final = ("account", "second", "recovery")
_FORGET_AFTER: Final = timedelta(days=1)
_KNOWN_FOR: Final = timedelta(days=90)


class Throttle:
    """Counts attempts and refuses those that come too soon."""

    def __init__(self, *, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def attempt(self, keys: Sequence[str], *, unless_known: str = "") -> None:
        """Count one attempt under each key, or raise TooMany and count nothing.

        An account's own count is left out where its owner is known.
        """
        now = self._clock.now()
        with self._db.session() as session:
            known = session.get(Row, unless_known) if unless_known else None
            if known is not None:
                keys = [key for key in keys if _kind(key) != "account"]
            found = self._rows(session, keys)
            wait = max((_remaining(key, found.get(key), now) for key in keys), default=0.0)
            if wait > 0:
                raise _too_soon(wait)
            for key in keys:
                row = found.get(key)
                failures = _faded(key, row, now) + 1
                if row is None:
                    session.add(Row(key=key, failures=failures, updated=now))
                else:
                    row.failures, row.updated = failures, now

    def succeeded(self, keys: Sequence[str], *, remember: str = "") -> None:
        """Take the attempt back, and forget an account's failures: its owner is here."""
        now = self._clock.now()
        with self._db.session() as session:
            if remember:
                session.merge(Row(key=remember, failures=0.0, updated=now))
            for key, row in self._rows(session, keys).items():
                shared = _kind(key) in {"address", "signup", "code"}
                failures = max(0.0, _faded(key, row, now) - 1) if shared else 0.0
                if failures:
                    row.failures = failures
                else:
                    session.delete(row)

    def wait_of(self, user: str) -> float:
        """Seconds until nobody has to wait any more who tries to log in as the user."""
        now = self._clock.now()
        with self._db.session() as session:
            rows = session.scalars(select(Row).where(_is_about(user)))
            return max((_remaining(row.key, row, now) for row in rows), default=0.0)

    def forgive(self, user: str) -> bool:
        """Forget all failures of who tried to log in as the user; whether there were any."""
        with self._db.session() as session:
            result = session.execute(delete(Row).where(_is_about(user)))
            return isinstance(result, CursorResult) and result.rowcount > 0

    def forget_old(self) -> None:
        """Delete what has faded away."""
        with self._db.session() as session:
            now = self._clock.now()
            known = Row.key.startswith("known:")
            session.execute(delete(Row).where(~known, Row.updated < now - _FORGET_AFTER))
            session.execute(delete(Row).where(known, Row.updated < now - _KNOWN_FOR))

    @staticmethod
    def _rows(session: Session, keys: Sequence[str]) -> dict[str, Row]:
        rows = session.scalars(select(Row).where(Row.key.in_(keys)))
        return {row.key: row for row in rows}


def keys_for_login(name: str, address: str) -> list[str]:
    """The keys of a log-in attempt; `name` is canonical, or every spelling had its own count."""
    network = network_of(address)
    return [f"account:{name}", f"guesser:{name} {network}", f"address:{network}"]


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 that an IPv6 user can roam in."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False).network_address)
    return str(parsed)


def _is_about(user: str) -> ColumnElement[bool]:
    return or_(
        Row.key.in_([f"{kind}:{user}" for kind in _OF_ACCOUNT]),
        Row.key.startswith(f"guesser:{user} ", autoescape=True),
    )


def _kind(key: str) -> str:
    return key.partition(":")[0]


def _faded(key: str, row: Row | None, now: datetime) -> float:
    if row is None:
        return 0.0
    # A clock that was set back must not make anybody wait for ever: no time has passed, then.
    passed = max(0.0, (now - row.updated).total_seconds())
    return max(0.0, row.failures - passed / RULES[_kind(key)].fades_seconds)


def _remaining(key: str, row: Row | None, now: datetime) -> float:
    if row is None:
        return 0.0
    wait = RULES[_kind(key)].wait(row.failures)
    passed = (now - row.updated).total_seconds()
    return min(wait, wait - passed) if passed >= 0 else 0.0


def _too_soon(wait: float) -> TooMany:
    seconds = int(wait) + 1
    when = f"in {seconds} seconds" if seconds < 90 else f"in {seconds // 60 + 1} minutes"
    return TooMany(
        "cannot try again yet",
        why="there were too many failed attempts",
        mend=f"try again {when}",
        retry_after_seconds=seconds,
    )
