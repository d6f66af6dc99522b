"""What appliance-rebuild.service runs before the hub starts: mend what can't run as it is.

An upgrade that a crash or a power cut ended is gone back from. And when the system's Python is
another than the environments' (Debian 12 has become 13), they are built anew: from what uv kept,
without a network, else with one.

Run by the system's Python straight from the wheel, so: standard library only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Final

from appliance.errors import ApplianceError, InstallError
from appliance.findings import Finding, Severity, forget_finding, write_finding
from appliance.outgoing import AUTHORITIES_FILE, outgoing_variables, proxy_url
from appliance.places import Places
from installer.commands import run, succeeds
from installer.environments import Environment, Tools
from installer.events import Reporter
from installer.point import Point, is_busy
from installer.uv import uv_program

PYTHON: Final = "/usr/bin/python3"
OFFLINE_WHEELS: Final = "wheels/offline"
"""In /opt/appliance: what an installation without a network was made from."""

_SETTINGS_IN_FORCE: Final = "hub.json"
_KERNELS_UNIT: Final = "appliance-environments"
_USERS_CODE: Final = "from installer.rebuild import build_for_users; build_for_users()"


def go_back_from_what_was_cut_off(places: Places, etc: Path = Path("/etc")) -> bool:
    """At boot nothing runs yet, so putting the files back is all."""
    point = Point.under_way(places, etc)
    if not point.exists:
        return False
    point.restore_files()
    point.restore_database()
    point.forget()
    return True


def is_of_another_python(environment: Path, python: str = PYTHON) -> bool:
    """Whether an environment was made for another Python than the system has now."""
    name = Path(python).resolve().name
    if not name.startswith("python3."):
        name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return environment.is_dir() and not (environment / "lib" / name).is_dir()


def rebuild(places: Places, reporter: Reporter) -> None:
    """Both environments, for the system's Python; raises InstallError."""
    software = places.software
    wheel = (software / "wheels/installed.whl").resolve()
    tools = Tools(uv_program(software), wheel, PYTHON)
    hub = Environment.named("hub")
    try:
        directory = hub.build(software, tools, reporter)
    except InstallError:
        if not os.environ.get("UV_OFFLINE"):
            raise
        raise InstallError(
            "cannot build the environments from what is kept",
            why="packages for this Python were not fetched in advance",
            mend="it goes on when the network is there",
        ) from None
    # The rest needs the hub's own packages.
    users = [str(directory / "bin/python"), "-I", "-c", _USERS_CODE]
    run(users, failure="cannot build the environment for notebooks", reporter=reporter)
    hub.switch(software, directory)


def build_for_users() -> None:
    """In the hub's new environment: everybody's, with what the machine's owner wants besides."""
    from installer.environment_steps import UserEnvironment, own_requirements

    os.umask(0o022)
    places, reporter = Places.current(), Reporter(as_json=False)
    wheel = (places.software / "wheels/installed.whl").resolve()
    tools = Tools(uv_program(places.software), wheel, PYTHON)
    try:
        UserEnvironment(places, tools, reporter, own_requirements(places, None)).apply()
    except ApplianceError as err:
        reporter.failed(err)
        raise SystemExit(1) from err


def ways(places: Places) -> list[dict[str, str]]:
    """How packages may be had, as variables: kept wheels, uv's cache, the network."""
    online = online_environment(places)
    found = [{**online, "UV_OFFLINE": "1"}, online]
    wheels = places.software / OFFLINE_WHEELS
    if wheels.is_dir():
        found.insert(0, {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "UV_OFFLINE": "1"})
    return found


def online_environment(places: Places) -> dict[str, str]:
    """pip's settings of this machine, by the code that the installation used, and the proxy."""
    bootstrap = import_module("installer.bootstrap")
    authorities = places.rendered / AUTHORITIES_FILE
    options = argparse.Namespace(
        trial=None, wheels=None, ca_file=str(authorities) if authorities.exists() else None
    )
    environment: Mapping[str, str] = bootstrap.child_environment(bootstrap.Machine(), options)
    return {**environment, **_proxy_variables(places)}


def _proxy_variables(places: Places) -> dict[str, str]:
    """The settings' proxy; read here, since what else reads them needs an environment that runs."""
    try:
        network = json.loads((places.rendered / _SETTINGS_IN_FORCE).read_bytes())["network"]
        url = proxy_url(network["proxy"], network["proxy_user"], network["proxy_password"] or "")
        return outgoing_variables(proxy=url, direct=network["direct"], authorities=None)
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def mend_environments(places: Places) -> None:
    """Try one way after the other; raises InstallError of the last."""
    failure: InstallError | None = None
    for way in ways(places):
        done = subprocess.run(
            [PYTHON, "-I", "-c", _SELF, _own_place(), "build"],
            env={**os.environ, **way},
            check=False,
        )
        if done.returncode == 0:
            _tell(places, None)
            return
        failure = InstallError(
            "the appliance's environments are of another Python than the system's",
            why="the system was upgraded, and packages for its Python can't be had",
            mend="connect the machine to the network: sudo systemctl restart appliance-rebuild",
        )
    _tell(places, failure)
    if failure:
        raise failure


def repair_kernels(places: Places) -> bool:
    """Begin to build the kernels' own environments anew, if there are any; nobody waits for it.

    In a unit of its own, which ours would only be in the way of. What it can't do, such as without
    a network, the daily look at environments tells, with the command.
    """
    if not any((places.settings / "environments").glob("*.json")):
        return False
    command = [str(places.software / "hub/bin/appliance"), "env", "repair", "--quiet"]
    return succeeds(
        "systemd-run", "--quiet", "--no-block", "--collect", f"--unit={_KERNELS_UNIT}",
        "--property=Nice=10", "--property=TimeoutStartSec=1h", "--service-type=oneshot",
        "--property=After=appliance-rebuild.service appliance-hub.service", "--", *command,
    )  # fmt: skip


_SELF: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); from installer.rebuild import main; main()"
)


def _own_place() -> str:
    """The wheel, or the folder, that this module was imported from."""
    here = os.path.abspath(__file__)  # noqa: PTH100 - inside a wheel there are no paths
    return os.path.dirname(os.path.dirname(here))  # noqa: PTH120


def _tell(places: Places, failure: InstallError | None) -> None:
    if failure is None:
        forget_finding(places.health, "rebuild")
        return
    finding = Finding("rebuild", Severity.FAILED, failure.what, failure.why, failure.mend)
    write_finding(places.health, finding)


def main() -> None:
    """Without words: what is to be mended at boot. With `build`: the environments alone."""
    os.umask(0o022)
    places, reporter = Places.installed(), Reporter(as_json=False)
    try:
        if "build" in sys.argv[1:]:
            rebuild(places, reporter)
            return
        if is_busy():
            # Whoever installs now starts the services too.
            return
        if go_back_from_what_was_cut_off(places):
            reporter.stage("Going back from an upgrade that was cut off")
            run(["systemctl", "daemon-reload"], failure="cannot reload units", reporter=reporter)
        if is_of_another_python(places.software / "hub"):
            reporter.stage("Building the environments for the system's new Python")
            mend_environments(places)
            repair_kernels(places)
    except ApplianceError as err:
        reporter.failed(err)
        raise SystemExit(1) from err
