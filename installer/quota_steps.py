"""Quotas for homes and classes, if they were asked for: never a reason to install nothing."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.disk.prepare import plans
from appliance.errors import InstallError
from appliance.places import Places
from installer.commands import run
from installer.events import Reporter

_LIMIT = "quotas can be had; to give every home one: sudo appliance config set disk.home 5G"
_BY_HAND = "quotas are not on everywhere yet; what it takes: sudo appliance disk prepare"


@dataclass
class Quotas:
    """What `appliance disk prepare` can do while the machine runs."""

    places: Places
    reporter: Reporter

    def prepare(self) -> list[str]:
        """What the person at the terminal has to know."""
        self.reporter.stage("Turning quotas on")
        appliance = str(self.places.software / "hub/bin/appliance")
        command = [appliance, "disk", "prepare", "--yes"]
        try:
            run(command, failure="cannot turn quotas on", reporter=self.reporter)
        except InstallError:
            missing = [plan for plan in plans(self.places) if plan.state != "ready"]
            return [_BY_HAND, *(f"{plan.place}: {plan.says}" for plan in missing)]
        return [_LIMIT]
