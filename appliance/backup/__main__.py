"""What appliance-backup.service runs: the scheduled backup."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import replace

from appliance.backup.create import Wanted
from appliance.backup.job import back_up
from appliance.backup.place import place_of
from appliance.config.rendered import read_in_force
from appliance.errors import ApplianceError, Conflict
from appliance.places import Places

log = logging.getLogger("appliance.backup")


def main() -> int:
    """0 if there is a backup now, or somebody else is making one."""
    os.umask(0o077)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    places = Places.current()
    try:
        config = read_in_force(places)
        place = place_of(config.backup.folder, places)
        wanted = replace(Wanted.by_settings(config.backup, place), scheduled=True)
        made = back_up(config, places, wanted)
    except Conflict as error:
        log.info("%s", error)
        return 0
    except ApplianceError as error:
        log.error("%s", error)  # noqa: TRY400 - a sentence for people
        return 1
    manifest = made.backup.manifest
    for part in manifest.parts:
        for note in part.notes:
            log.info("%s: %s", part.name, note)
    for one in made.left_out if manifest.is_encrypted else ():
        for note in one.notes:
            log.info("%s: %s", one.part, note)
    log.info("made and verified %s: %d bytes", manifest.name, manifest.size)
    return 0


if __name__ == "__main__":
    sys.exit(main())
