"""What appliance-quota.service and appliance-disk.service run: `quotas`, or `measure`."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from appliance.disk.need import is_needed, watched_files
from appliance.disk.reserved import share_with_hub
from appliance.disk.spare import keep_entries
from appliance.errors import ApplianceError
from appliance.places import Places

log = logging.getLogger("appliance.disk")


def main(words: list[str]) -> int:
    """1 if something could not be done."""
    os.umask(0o022)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    places = Places.current()
    try:
        return _quotas(places) if words == ["quotas"] else _measure(places)
    except (ApplianceError, OSError) as error:
        log.error("%s", error)  # noqa: TRY400 - a sentence for people
        return 1


def _quotas(places: Places) -> int:
    """Again as long as something changes meanwhile: systemd may not tell of that."""
    share_with_hub(places.hub_state)
    keep_entries(places.disk_state)
    if not is_needed(places):
        return 0
    # Only now what takes half a second to load.
    from appliance.disk.rounds import set_quotas

    while True:
        stamps = _stamps(places)
        problems = set_quotas(places)
        for problem in problems:
            log.warning("%s", problem)
        if problems or _stamps(places) == stamps:
            return 1 if problems else 0


def _measure(places: Places) -> int:
    from appliance.disk.rounds import measure_all

    measure_all(places)
    return 0


def _stamps(places: Places) -> list[int]:
    return [_stamp(path) for path in watched_files(places)]


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
