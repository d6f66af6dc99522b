"""What `appliance logs` does: the journal of a unit, or a trial's files."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Final

from appliance.cli.errors import UsageError
from appliance.cli.output import Output
from appliance.client.hub import HubClient, parse_server
from appliance.config.rendered import read_in_force
from appliance.errors import ApplianceError, BadRequest, ConfigError, NotFound
from appliance.names import parse_service_name, service_unit
from appliance.places import Places
from appliance.rollout.services import LOGGED, UNITS

# No user has this name, so no server is meant.
_SERVICES: Final = "services/"
# What journalctl says where no unit has the names that were asked for, as before the first job.
_NO_UNIT: Final = "No data available"


def show(
    places: Places,
    output: Output,
    name: str,
    *,
    lines: int,
    follow: bool,
    since: datetime | None = None,
) -> None:
    if follow and output.as_json:
        raise UsageError("cannot follow with --json", why="the end of the list never comes")
    service = _service(places, name)
    if places.trial and since:
        raise UsageError(
            "cannot look back by time",
            why="the logs of a trial are plain files", mend="give a number of lines: -n 500",
        )  # fmt: skip
    if places.trial:
        _show_trial(places, output, name, service=service, lines=lines, follow=follow)
        return
    command = ["journalctl", "-q", "--no-pager", "-n", str(lines)]
    if since:
        command += ["--since", f"@{since.timestamp():.0f}"]
    for unit in [service_unit(service)] if service else _units(name):
        command += ["-u", unit]
    command += ["-o", "cat" if output.as_json else "short-iso"]
    if follow:
        sys.stdout.flush()
        os.execvp("journalctl", [*command, "-f"])  # noqa: S606 - no shell is wanted
    done = _run(command)
    output.data({"name": name, "lines": done.splitlines()}, done.rstrip("\n"))
    if not done:
        output.say(f"nothing in the journal about {name or 'the appliance'}")


def _service(places: Places, name: str) -> str:
    """The service that is meant: one of the configuration, or any as services/NAME; else ""."""
    if name.startswith(_SERVICES):
        return parse_service_name(name.removeprefix(_SERVICES))
    if not name or name in LOGGED:
        return ""
    try:
        services = read_in_force(places).services
    except ConfigError:
        return ""
    if name in services and not services[name].command:
        raise NotFound(
            f"cannot show what the service {name!r} says",
            why="it has no command, so it is started by somebody else",
            mend=f"look where it runs; the server of the user {name!r}: appliance logs {name}/",
        )
    return name if name in services else ""


def _units(name: str) -> list[str]:
    if not name:
        return [unit for units in LOGGED.values() for unit in units]
    if name in LOGGED:
        return list(LOGGED[name])
    try:
        return [parse_server(name).unit]
    except BadRequest as error:
        raise _unknown(name) from error


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ApplianceError(
            "cannot read the journal", why=f"journalctl: {error.strerror}"
        ) from error
    if done.returncode and done.stderr.strip() and _NO_UNIT not in done.stderr:
        raise ApplianceError("cannot read the journal", why=done.stderr.strip().splitlines()[0])
    return done.stdout


def _show_trial(
    places: Places, output: Output, name: str, *, service: str, lines: int, follow: bool
) -> None:
    """A trial's programs write files; the spawner is a part of its hub."""
    if name in LOGGED and name not in UNITS:
        raise NotFound(f"cannot show what {name} says", why=f"a trial has no {name}")
    if name and name not in LOGGED and not service:
        found = _server_log(places, name, lines)
    else:
        path = places.logs / f"{'proxy' if name == 'proxy' else 'hub'}.log"
        if service:
            path = places.service_log(service)
            if not path.exists():
                raise NotFound(
                    f"cannot show what the service {service!r} says", why="it never ran here"
                )
        found = _tail(path, lines)
        if follow:
            _follow(path, found)
            return
    output.data({"name": name, "lines": found}, "\n".join(found))


def _server_log(places: Places, name: str, lines: int) -> list[str]:
    try:
        return HubClient.of(places).log(parse_server(name), lines=lines)
    except NotFound as error:
        raise _unknown(name) from error


def _unknown(name: str) -> NotFound:
    return NotFound(
        f"cannot show what {name!r} says",
        why="there is no program, server or service of that name",
        mend=f"{', '.join(LOGGED)}, or see appliance server list and appliance status",
    )


def _tail(path: Path, lines: int) -> list[str]:
    try:
        text = path.read_text("utf-8", errors="replace")
    except OSError as error:
        raise ApplianceError(
            f"cannot read {path}", why=error.strerror or str(error), mend="start the trial first"
        ) from error
    return text.splitlines()[-lines:] if lines else []


def _follow(path: Path, lines: list[str]) -> None:
    for line in lines:
        print(line, flush=True)
    with path.open(encoding="utf-8", errors="replace") as file:
        file.seek(0, os.SEEK_END)
        while True:
            new = file.read()
            if new:
                print(new, end="", flush=True)
            time.sleep(0.5)
