"""The part of `appliance status` about preloading: the two daemons, and how servers were started.

A daemon that doesn't run harms nobody but the machine, since servers then start cold; so it is told
here, and the appliance counts as healthy.
"""

from __future__ import annotations

import subprocess
from typing import Any, Final

from appliance.cli.output import count, printable
from appliance.config.schema import Config, ServerProgram
from appliance.places import Places
from appliance.rollout.preload import WHAT

UNITS: Final = {what: unit for unit, what in WHAT.items()}
_PROPERTIES: Final = ("LoadState", "ActiveState", "SubState", "Result", "ExecMainStatus")
_SECONDS: Final = 5.0
_WORDS_MAX: Final = 200


def gather_preloading(
    places: Places, config: Config | None, starts: dict[str, Any] | None
) -> dict[str, Any]:
    """What `status --json` says of it; `starts` is the hub's own count."""
    return {**{kind: _daemon(kind, places, config) for kind in UNITS}, "starts": starts}


def preloading_text(said: dict[str, Any]) -> str:
    """The daemons in a line, and the starts since the hub's in another."""
    states = [_daemon_text(said[kind]) for kind in UNITS]
    if len(set(states)) == 1:
        lines = [f"{' and '.join(UNITS)} {states[0]}"]
    else:
        lines = ["; ".join(f"{kind} {state}" for kind, state in zip(UNITS, states, strict=True))]
    starts = said["starts"]
    total = starts["preloaded"] + starts["cold"] if starts else 0
    # Where nothing is preloaded by setting, cold starts are no news.
    is_off = all(said[kind]["state"] == "off" for kind in UNITS)
    if total and not (is_off and not starts["preloaded"]):
        of = count(total, "start")
        lines.append(f"{starts['preloaded']} of {of} since the hub's own preloaded")
    cold = starts["latest_cold"] if starts else None
    # Without a reason it was cold by setting, or its program can't be preloaded.
    if cold and cold["reason"]:
        lines.append(f"the last cold one, {cold['server']}: {printable(cold['reason'])}")
    return ("\n" + " " * 11).join(lines)


def _daemon_text(said: dict[str, str]) -> str:
    state = said["state"].replace("_", " ")
    return f"{state}: {printable(said['why'])}" if said["why"] else state


def _daemon(kind: str, places: Places, config: Config | None) -> dict[str, str]:
    if places.trial:
        return {"state": "off", "why": "a trial preloads nothing"}
    if config is None:
        return {"state": "unknown", "why": ""}
    if not getattr(config.preload, kind):
        return {"state": "off", "why": f"by preload.{kind}"}
    if config.servers.program is not ServerProgram.APPLIANCE:
        return {"state": "off", "why": "by servers.program"}
    return _unit_state(UNITS[kind])


def _unit_state(unit: str) -> dict[str, str]:
    shown = _run("systemctl", "show", f"--property={','.join(_PROPERTIES)}", unit)
    facts = dict(line.partition("=")[::2] for line in shown.splitlines())
    match facts.get("ActiveState"), facts.get("SubState"):
        case None, _:
            return {"state": "unknown", "why": "systemd doesn't answer"}
        case (("active" | "reloading"), _):
            return {"state": "ready", "why": ""}
        # It ends by itself when packages have changed, and waits a moment then.
        case "activating", sub if sub != "auto-restart" or facts.get("Result") == "success":
            return {"state": "starting", "why": ""}
    return {"state": "not_running", "why": _why_not(unit, facts)}


def _why_not(unit: str, facts: dict[str, str]) -> str:
    """What it said last, which names the cause; without that, what systemd knows."""
    if facts.get("LoadState") == "not-found":
        return f"{unit} is not installed"
    if facts.get("Result") == "success":
        return f"it is stopped; sudo systemctl start {unit}"
    # Its own lines only: systemd's about it have another field.
    words = _run("journalctl", "-q", "-b", "-o", "cat", "-n", "1", f"_SYSTEMD_UNIT={unit}").strip()
    if words:
        return words[-_WORDS_MAX:]
    return f"{facts.get('Result')}, exit status {facts.get('ExecMainStatus')}"


def _run(*command: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False, errors="replace"
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
