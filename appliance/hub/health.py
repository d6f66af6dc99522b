"""How the appliance is, as far as the hub can know: what root's programs found and wrote down.

The hub sees neither units nor disks; the regular upkeep does, and leaves findings to read.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from appliance.clock import Clock
from appliance.findings import Finding, Severity, read_findings
from appliance.places import Places

_KEPT_SECONDS: Final = 5.0
MACHINE: Final = "machine"
"""The topic that each round of the upkeep writes, with numbers of memory, disks and units."""
_STALE: Final = timedelta(hours=1)


class Health:
    """Reads findings, a few times a minute at most."""

    def __init__(self, places: Places, *, clock: Clock) -> None:
        self._places = places
        self._clock = clock
        self._started = clock.now()
        self._read_at = -_KEPT_SECONDS
        self._found: list[Finding] = []

    def findings(self) -> list[Finding]:
        """The worst first."""
        now = self._clock.monotonic()
        if now - self._read_at >= _KEPT_SECONDS:
            self._read_at, self._found = now, read_findings(self._places.health)
        silence = self._silence()
        return [silence, *self._found] if silence else list(self._found)

    @property
    def worst(self) -> Severity:
        """Of all findings; well if there are none."""
        return max((one.severity for one in self.findings()), key=_rank, default=Severity.OK)

    @property
    def is_trial(self) -> bool:
        """Nobody looks regularly then, and nothing needs root."""
        return self._places.trial

    @property
    def machine(self) -> Finding | None:
        """The numbers of the machine, if the upkeep has written them."""
        return next((one for one in self._found if one.topic == MACHINE), None)

    def _silence(self) -> Finding | None:
        """That nobody looks any more, which makes all else that is written here old."""
        if self.is_trial:
            return None
        machine = self.machine
        last = max(_when(machine), self._started) if machine else self._started
        if self._clock.now() - last < _STALE:
            return None
        return Finding(
            "upkeep", Severity.WARNING,
            "the regular upkeep has not run for more than an hour",
            why="so nobody looks after certificate, disks and backups",
            mend="sudo systemctl restart appliance-upkeep.timer; sudo appliance doctor",
            checked=self._clock.now().isoformat(timespec="seconds"),
        )  # fmt: skip


def _rank(severity: Severity) -> int:
    return severity.rank


def _when(finding: Finding) -> datetime:
    """When a finding was written; the beginning of time for what says none."""
    try:
        return datetime.fromisoformat(finding.checked)
    except ValueError:
        return datetime.fromisoformat("1970-01-01T00:00:00+00:00")
