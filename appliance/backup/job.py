"""One backup with all that goes with it: the record, the finding, old ones that go."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime

from appliance.backup.create import Made, Progress, Wanted, create, no_progress
from appliance.backup.retention import superfluous
from appliance.backup.schedule import read_record, report, write_record
from appliance.config.schema import Config
from appliance.errors import ApplianceError, Conflict
from appliance.places import Places

log = logging.getLogger("appliance.backup")


def back_up(
    config: Config, places: Places, wanted: Wanted, progress: Progress = no_progress
) -> Made:
    """Make one, and remember how it went; raises ApplianceError."""
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    try:
        made = create(places, wanted, progress)
    except Conflict:
        raise
    except ApplianceError as err:
        failed = replace(
            read_record(places), tried=now, failure=f"{err.what}: {err.why}", mend=err.mend
        )
        write_record(places, failed)
        report(config, places)
        raise
    manifest = made.backup.manifest
    write_record(
        places,
        replace(
            read_record(places), tried=now, succeeded=now, name=manifest.name, size=manifest.size,
            opened=made.verified.opened, with_homes=manifest.has_homes,
            left_out={one.part: one.count for one in made.left_out},
            notes=made.changed, failure="", mend="",
        ),
    )  # fmt: skip
    if wanted.scheduled:
        for old in superfluous(wanted.place.all(), config.backup):
            log.info("removing the backup %s: it is old", old.folder.name)
            wanted.place.remove(old)
    report(config, places)
    return made
