"""What layers share: what is known on the way, and how a unit that doesn't run is explained."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from appliance.client.hub import HubClient
from appliance.config.schema import Config
from appliance.doctor.browser import Browser
from appliance.doctor.report import Broken, Fix
from appliance.doctor.system import System
from appliance.names import CHECK_USER, ServerId
from appliance.places import Places
from appliance.rollout.services import UNITS

SERVER: Final = ServerId(CHECK_USER)
INSTALLER: Final = "run the installer again: it puts back what is missing and keeps all else"


@dataclass
class Walk:
    """One way from the browser to a cell, and what it has brought along so far."""

    places: Places
    config: Config
    system: System
    hub: HubClient
    browser: Browser
    password: str = ""
    kernel: str = ""
    server_root: str = ""
    """The address of the host on which the server's page came."""
    warnings: list[str] = field(default_factory=list)

    def path(self, below: str) -> str:
        """A path of the appliance's."""
        return f"{self.config.base_url}{below}"

    @property
    def server_path(self) -> str:
        return SERVER.url_path(self.config.base_url)


Layer = Callable[[Walk], str]
"""Goes through one layer; returns what it saw, or raises Broken."""


def log_command(walk: Walk, name: str) -> str:
    return f"{'' if walk.places.trial else 'sudo '}appliance logs {name}"


def starting(system: System, *units: str) -> Fix:
    return Fix(f"start {' '.join(units)}", partial(system.start, *units))


def check_unit(
    walk: Walk, name: str, *, explain: Callable[[], Broken | None] | None = None
) -> None:
    """Raise Broken unless one of our programs runs; in a trial its supervisor sees to that.

    `explain` may know better why it doesn't.
    """
    unit_name = UNITS[name]
    system = walk.system
    if walk.places.trial:
        return
    unit = system.unit(unit_name)
    if unit.runs:
        return
    known = explain() if explain else None
    if known:
        raise known
    if unit.is_missing:
        raise Broken(
            f"the {name} is not installed as it should be",
            why=f"{unit_name}: {unit.text}", mend=INSTALLER,
        )  # fmt: skip
    log = system.journal_of_program(unit_name)
    why = f"{unit_name} is {unit.text}"
    if unit.active == "failed" and log:
        why += f"; its last words: {log[-1]}"
    raise Broken(
        f"the {name} does not run", why=why,
        mend=f"sudo systemctl restart {unit_name}; {log_command(walk, name)}",
        log=log if unit.active != "inactive" else (), fix=starting(system, unit_name),
    )  # fmt: skip


def check_socket(walk: Walk, path: Path, *units: str) -> None:
    """Raise Broken unless somebody listens at a socket of ours."""
    try:
        mode = path.lstat().st_mode
        why = "" if stat.S_ISSOCK(mode) else "something else is in its place"
    except OSError as error:
        why = (error.strerror or str(error)).lower()
    if not why:
        why = _refusal(path)
    if not why:
        return
    if walk.places.trial:
        raise Broken(f"nobody listens at {path}", why=why, mend="start the trial again")
    names = " ".join(units)
    raise Broken(
        f"nobody listens at {path}",
        why=why,
        mend=f"sudo systemctl restart {names}",
        fix=starting(walk.system, *units),
    )


def _refusal(path: Path) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2.0)
        try:
            probe.connect(str(path))
        except OSError as error:
            number = error.errno
            return os.strerror(number).lower() if number else "no answer in time"
    return ""
