"""What `appliance status` does: one screen, gathered from whoever answers.

It must say something useful when everything else is broken, so each part is asked for on its own
and may fail on its own.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from appliance import __version__
from appliance.cli.errors import Exit, to_mend
from appliance.cli.output import Output, count, printable, size
from appliance.cli.preloading import gather_preloading, preloading_text
from appliance.client.hub import HubClient
from appliance.config.load import load
from appliance.config.rendered import HUB_FILE, read_in_force
from appliance.config.schema import Config
from appliance.disk.health import TOPIC as DISK
from appliance.doctor.machine import room, writing
from appliance.doctor.report import State
from appliance.errors import ApplianceError, ConfigError
from appliance.findings import Finding, Severity, read_findings
from appliance.places import Places
from appliance.rollout.addresses import root_urls
from appliance.rollout.changes import find_changes
from appliance.rollout.health import find_fault
from appliance.rollout.services import UNITS
from appliance.rollout.transaction import Marker

_SECONDS: Final = 5.0


def gather(places: Places) -> dict[str, Any]:
    """Everything that `status --json` says."""
    config = _in_force(places)
    hub, servers = _ask_hub(places)
    fault = find_fault(config) if config else _why_unknown(places)
    # What stands in front of nginx, if something does, the hub alone knows.
    fault = fault or hub.get("proxy", {}).get("fault", "")
    return {
        "version": __version__,
        "mode": "trial" if places.trial else "installed",
        "healthy": not fault,
        "fault": fault,
        "url": root_urls(config, places)[0] + config.base_url if config else None,
        "https": _https(places),
        "signup_mode": config.signup.mode.value if config else None,
        "users": hub.get("users"),
        "servers": hub.get("servers"),
        "services": hub.get("services"),
        "preload": gather_preloading(places, config, hub.get("starts")),
        "memory": _memory(servers),
        "units": _units(places),
        "configuration": _configuration(places),
        "findings": [asdict(one) for one in _findings(places)],
    }


def show(places: Places, output: Output) -> int:
    """Print it; returns the exit code: 0 when the appliance answers."""
    status = gather(places)
    head = f"Hub Appliance {__version__}" + (" (trial)" if places.trial else "")
    rows = [
        ("health", "answers" if status["healthy"] else f"does not answer: {status['fault']}"),
        ("address", status["url"] or "unknown"),
        ("sign-up", _signup(status)),
        ("users", _users(status)),
        ("servers", _servers(status)),
        ("preload", preloading_text(status["preload"])),
        ("memory", _memory_text(status["memory"])),
        ("programs", ", ".join(f"{name} {state}" for name, state in status["units"].items())),
        ("settings", _configuration_text(status["configuration"])),
    ]
    if status["services"]:
        rows.insert(5, ("services", _services_text(status["services"])))
    if status["https"] and status["https"]["severity"] == Severity.OK:
        # What is wrong with it is told with all other findings.
        rows.insert(2, ("https", status["https"]["summary"]))
    if status["findings"]:
        rows.append(("found", _findings_text(status["findings"])))
    text = "\n".join([head, *(f"  {label:<9}{value}" for label, value in rows)])
    output.data(status, text)
    return 0 if status["healthy"] else int(Exit.FAILED)


def _findings(places: Places) -> list[Finding]:
    """What upkeep found, and whether a disk is full or broken at this moment: its look is minutes
    old, and on such a disk nobody could write down what it found."""
    found = read_findings(places.health)
    broken = next(writing(places), None)
    full = next((one for one in room(places) if one.state is State.FAILED), None)
    wrong = broken or full
    known = next((one for one in found if one.topic == DISK), None)
    if wrong is None or (known is not None and known.severity is Severity.FAILED and not broken):
        return found
    what = "broken" if broken else "full"
    now = Finding(
        DISK, Severity.FAILED, f"a disk is {what}, {wrong.name}: {wrong.summary}",
        wrong.why, wrong.mend, checked=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip
    return [now, *(one for one in found if one is not known)]


def _in_force(places: Places) -> Config | None:
    try:
        return read_in_force(places)
    except ConfigError:
        return None


def _why_unknown(places: Places) -> str:
    file = places.rendered / HUB_FILE
    if file.exists() and not os.access(file, os.R_OK):
        return "only root may see how it is: sudo appliance status"
    return "nothing is configured yet"


def _ask_hub(places: Places) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    hub = HubClient.of(places, timeout=_SECONDS)
    try:
        return hub.status(), hub.servers()
    except ApplianceError:
        return {}, []


def _memory(servers: list[dict[str, Any]]) -> dict[str, int]:
    facts = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        facts[name] = int(value.split()[0]) * 1024
    used = sum(server.get("memory_bytes") or 0 for server in servers)
    return {
        "total_bytes": facts["MemTotal"],
        "available_bytes": facts["MemAvailable"],
        "servers_bytes": used,
    }


def _units(places: Places) -> dict[str, str]:
    if places.trial:
        return {"trial": "active" if _trial_runs(places) else "inactive"}
    try:
        done = subprocess.run(
            ["systemctl", "is-active", *UNITS.values()],
            capture_output=True, text=True, timeout=_SECONDS, check=False,
        )  # fmt: skip
        states = done.stdout.split()
    except (OSError, subprocess.TimeoutExpired):
        states = []
    padded = [*states, *["unknown"] * len(UNITS)]
    return dict(zip(UNITS, padded, strict=False))


def _trial_runs(places: Places) -> bool:
    try:
        os.kill(int((places.run / "trial.pid").read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


def _configuration(places: Places) -> dict[str, Any]:
    """Whether config.yaml is what the programs have."""
    said: dict[str, Any] = {"state": "unknown", "changes": [], "problems": []}
    if Marker(places).is_left_over:
        return {**said, "state": "interrupted"}
    if places.config_file.exists() and not os.access(places.config_file, os.R_OK):
        return said
    try:
        wanted = load(places.config_file)
        changes = find_changes(read_in_force(places), wanted)
    except ConfigError as error:
        return {**said, "state": "wrong", "problems": [str(one) for one in error.problems]}
    state = "differs" if changes else "in_force"
    return {**said, "state": state, "changes": [change.key for change in changes]}


def _configuration_text(said: dict[str, Any]) -> str:
    match said["state"]:
        case "in_force":
            return "config.yaml is in force"
        case "differs":
            keys = ", ".join(said["changes"])
            return f"config.yaml differs in {keys}: sudo appliance config reload"
        case "wrong":
            problems = count(len(said["problems"]), "problem")
            return f"config.yaml has {problems} and is not in force: sudo appliance config check"
        case "interrupted":
            return "a change was cut off; to undo it: sudo appliance config reload"
        case _:
            return "only root may see them"


def _https(places: Places) -> dict[str, Any] | None:
    """How the certificate is, as the upkeep found it; None where there is no HTTPS."""
    found = [one for one in read_findings(places.health) if one.topic == "certificate"]
    return asdict(found[0]) if found else None


def _signup(status: dict[str, Any]) -> str:
    waiting = (status["users"] or {}).get("waiting", 0)
    text = str(status["signup_mode"] or "unknown")
    if waiting:
        text += f"; {count(waiting, 'person waits', 'people wait')}: appliance user list --waiting"
    return text


def _users(status: dict[str, Any]) -> str:
    users = status["users"]
    return f"{users['total']}, {count(users['admins'], 'admin')}" if users else "unknown"


def _servers(status: dict[str, Any]) -> str:
    servers = status["servers"]
    if not servers:
        return "unknown"
    return f"{servers['running']} running" + (
        f", {servers['starting']} starting" if servers["starting"] else ""
    )


def _services_text(services: list[dict[str, str]]) -> str:
    """One after the other, and what ails those that don't run on a line of its own."""
    lines = [", ".join(f"{one['name']} {one['state']}" for one in services)]
    lines += [f"{one['name']}: {one['why']}" for one in services if one["why"]]
    return ("\n" + " " * 11).join(lines)


def _findings_text(findings: list[dict[str, Any]]) -> str:
    """What the regular upkeep found: a line for each topic, with what mends it."""
    lines = []
    for one in findings:
        sign = "" if one["severity"] == Severity.OK else f" {one['severity']}:"
        mend = f"; {to_mend(one['mend'])}" if sign and one["mend"] else ""
        lines.append(printable(f"{one['topic']}:{sign} {one['summary']}{mend}"))
    return ("\n" + " " * 11).join(lines)


def _memory_text(memory: dict[str, int]) -> str:
    return (
        f"{size(memory['available_bytes'])} of {size(memory['total_bytes'])} free; "
        f"servers use {size(memory['servers_bytes'])}"
    )
