"""Steps for the daemons that servers and kernels are forked from.

They hold the environment in memory, so they are started anew whenever it was replaced. They only
make starts faster: that they don't run is told, and never fails an installation.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from appliance.places import Places
from appliance.rollout.preload import PRELOAD_UNITS, WHAT, Runner, start_preload
from appliance.rollout.render import PRELOAD_FILE
from appliance.rollout.services import run
from installer.commands import succeeds
from installer.files import digest_of, write_file

_LOADING_SECONDS: Final = 60.0


@dataclass
class Preload:
    """Loaded, of what is installed and set now; `remarks` says what isn't, and why."""

    places: Places
    etc: Path = Path("/etc")
    runner: Runner = run
    title: str = "Loading what servers and kernels start from"
    remarks: list[str] = field(default_factory=list)

    @property
    def _record(self) -> Path:
        """What each daemon was started with."""
        return self.places.software / "preloaded.json"

    def digests(self) -> dict[str, str]:
        """A digest for each daemon of everything that it reads only when it starts."""
        software = self.places.software
        common: list[str | bytes] = [
            str((software / name).resolve()) for name in ("user", "spawner")
        ]
        common.append(_content(self.places.rendered / PRELOAD_FILE))
        units = self.etc / "systemd/system"
        return {unit: digest_of(*common, _content(units / unit)) for unit in PRELOAD_UNITS}

    def is_stale(self) -> bool:
        return self.digests() != _json(self._record)

    def is_done(self) -> bool:
        wanted = _json(self.places.rendered / PRELOAD_FILE)
        return not self.is_stale() and all(
            succeeds("systemctl", "is-active", "--quiet", unit)
            for unit in PRELOAD_UNITS
            if wanted.get(WHAT[unit])
        )

    def apply(self) -> None:
        self.remarks = start_preload(self.runner, _LOADING_SECONDS)
        write_file(self._record, json.dumps(self.digests(), indent=1).encode(), mode=0o600)


@dataclass
class StalePreload:
    """Ended, if it is of an earlier installation: starting the appliance starts it anew."""

    preload: Preload
    title: str = "Ending what was loaded before"

    def is_done(self) -> bool:
        return not self.preload.is_stale()

    def apply(self) -> None:
        succeeds("systemctl", "stop", *PRELOAD_UNITS)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _json(path: Path) -> dict[str, object]:
    try:
        found = json.loads(_content(path))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
