"""What appliance-restore.service runs at boot after the power went in the middle of a restore."""

from __future__ import annotations

import logging
import sys

from appliance.backup.machine import SystemdMachine
from appliance.backup.restore import heal
from appliance.errors import ApplianceError
from appliance.places import Places

log = logging.getLogger("appliance.backup")


def main() -> int:
    """0 if all is as before the restore."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    places = Places.current()
    try:
        if heal(places, SystemdMachine(places)):
            log.warning("a restore was cut off; all is as it was before: begin it again")
    except ApplianceError as error:
        log.error("%s", error)  # noqa: TRY400 - a sentence for people
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
