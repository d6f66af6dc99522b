"""Whether there is a newer release, and whether an upgrade was cut off: the finding `updates`."""

from __future__ import annotations

from typing import Final

from appliance import __version__
from appliance.config.schema import Config
from appliance.errors import InstallError
from appliance.findings import Finding, Severity, forget_finding, write_finding
from appliance.places import Places
from appliance.rollout.services import begin
from installer.point import Point, is_busy
from installer.releases import Wanted, available, is_newer, newest

TOPIC: Final = "updates"


def look_for_updates(config: Config, places: Places) -> None:
    """Ask the package index, once a day; switched off, nobody is asked."""
    if not config.updates.check:
        forget_finding(places.health, TOPIC)
        return
    try:
        found = newest(available(config, places, Wanted()), config.updates.pin)
    except InstallError as error:
        finding = Finding(
            TOPIC,
            Severity.OK,
            f"{__version__} is installed; whether there is a newer release isn't known",
            why=error.why,
            mend="sudo appliance upgrade --check; or never ask: "
            "sudo appliance config set updates.check false",
        )
    else:
        newer = is_newer(found)
        finding = Finding(
            TOPIC,
            Severity.OK,
            f"release {found} is there; {__version__} is installed"
            if newer
            else f"{__version__} is installed, and there is no newer release",
            mend="sudo appliance upgrade" if newer else "",
            details={"installed": __version__, "newest": found, "newer": newer},
        )
    write_finding(places.health, finding)


def mend_cut_off_upgrade(_config: Config, places: Places) -> None:
    """An installer that was killed left the machine between two releases."""
    if Point.under_way(places).exists and not is_busy():
        begin("go back from an upgrade that was cut off", "appliance-back.service")


def fetch_next_python(config: Config, places: Places) -> None:
    """In a unit of its own, for it takes a while and writes where this one may not."""
    if config.updates.next_python and not places.trial:
        begin("fetch packages for the next Python", "appliance-next-python.service")
