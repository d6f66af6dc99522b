"""One round of each of the two programs, for their units, for upkeep and for the command line."""

from __future__ import annotations

import grp

from appliance.config.rendered import read_in_force
from appliance.config.schema import Config
from appliance.disk.health import finding_of
from appliance.disk.look import look_around
from appliance.disk.quotas import set_all
from appliance.disk.report import Report, report_file, write_report
from appliance.findings import write_finding
from appliance.places import Places
from appliance.rollout.services import begin

UNITS = ("appliance-quota.service", "appliance-disk.service")


def start_units(_config: Config, _places: Places) -> None:
    """The chore: both may take long, and need other rights than upkeep has."""
    begin("look at the disks", *UNITS)


def set_quotas(places: Places) -> list[str]:
    """What could not be done, a sentence each."""
    return set_all(read_in_force(places), places)


def measure_all(places: Places) -> Report:
    """Look around, and write down what was found for the hub and for whoever keeps watch."""
    config = read_in_force(places)
    report = look_around(config, places)
    write_report(report_file(places), report, group=_hub_group())
    write_finding(places.health, finding_of(report, config.disk))
    return report


def _hub_group() -> int | None:
    try:
        return grp.getgrnam("appliance-hub").gr_gid
    except KeyError:
        return None
