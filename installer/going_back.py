"""Going back to the release before, on a machine that runs."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from typing import Final

from appliance.cli.audit_files import Log
from appliance.config.rendered import read_in_force
from appliance.errors import ApplianceError, ConfigError
from appliance.places import Places
from appliance.rollout.health import Deadline, wait_for_health
from appliance.rollout.preload import PRELOAD_UNITS
from appliance.rollout.services import HUB_UNIT, PROXY_UNIT, SOCKET_UNITS, SPAWNER_UNIT
from installer.commands import succeeds
from installer.events import Reporter
from installer.point import Point, exclusively

_HEALTH_SECONDS: Final = 90.0
_HUB_SOCKETS: Final = tuple(unit for unit in SOCKET_UNITS if "hub" in unit)
_SHOWN: Final = 20


def go_back(point: Point, reporter: Reporter) -> list[str]:
    """Put back what the point has, restart, and wait until it answers; what was lost by that."""
    added = [unit.name for unit in point.added_units()]
    if added:
        succeeds("systemctl", "stop", *added)
    point.restore_files()
    succeeds("systemctl", "daemon-reload")
    lost: list[str] = []
    if point.changes_schema():
        reporter.detail("putting the database of before in its place")
        lost = done_since(point.places, point.manifest().taken)
        # The sockets too, or the next request would start the hub half way through.
        succeeds("systemctl", "stop", *_HUB_SOCKETS, HUB_UNIT)
        aside = point.restore_database()
        reporter.output(f"the newer database is kept as {aside}")
    succeeds("systemctl", "reset-failed", SPAWNER_UNIT, HUB_UNIT, PROXY_UNIT, *SOCKET_UNITS)
    succeeds("systemctl", "start", *SOCKET_UNITS)
    for verb, unit in (
        ("restart", SPAWNER_UNIT),
        ("restart", HUB_UNIT),
        ("reload-or-restart", PROXY_UNIT),
    ):
        reporter.detail(unit)
        succeeds("systemctl", verb, unit)
    point.forget()
    succeeds("systemctl", "--no-block", "try-restart", *PRELOAD_UNITS)
    _wait(point.places, reporter)
    return lost


def _wait(places: Places, reporter: Reporter) -> None:
    try:
        config = read_in_force(places)
    except ConfigError as err:
        # The older release's file, which that release reads.
        reporter.output(f"not checked whether it answers: {err}")
        return
    wait_for_health(config, Deadline.after(_HEALTH_SECONDS))


def done_since(places: Places, when: str) -> list[str]:
    """What people did since then with accounts, rights and settings, as the audit log has it."""
    since = datetime.fromisoformat(when)
    found = []
    try:
        for record in Log(places).newest_first():
            if datetime.fromisoformat(record["time"]) < since:
                break
            who = record["actor"].get("name", "")
            found.append(f"{record['action']} {' '.join(record['targets'])} by {who}".strip())
    except (ApplianceError, ValueError) as err:
        return [f"unknown ({err})"]
    shown = found[:_SHOWN]
    return shown + ([f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else [])


def main() -> int:
    """What appliance-back.service runs: an installer was killed in the middle of an upgrade."""
    os.umask(0o022)
    point, reporter = Point.under_way(Places.installed()), Reporter(as_json=False)
    try:
        with exclusively():
            if point.exists:
                go_back(point, reporter)
    except ApplianceError as err:
        reporter.failed(err)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
