"""The daemons that servers and kernels are forked from, when their settings have changed.

They only make starts faster: servers and kernels start the ordinary way without them. So whatever
goes wrong with them is told, and never the reason to take a change back.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from typing import Final

PRELOAD_UNITS: Final = ("appliance-preload-server.service", "appliance-preload-kernel.service")
WHAT: Final = dict(zip(PRELOAD_UNITS, ("servers", "kernels"), strict=True))
"""What each of them forks."""

LOADING_SECONDS: Final = 8.0
"""Most that a change waits for them: they load in two or three seconds, unless many packages are
to be preloaded."""
_LOOK_SECONDS: Final = 3.0
# How the daemon tells of a package of the settings that it does without.
_LEFT_OUT: Final = " is not preloaded: "

Runner = Callable[[Sequence[str], float], subprocess.CompletedProcess[str]]


def restart_preload(run: Runner, seconds: float) -> list[str]:
    """Restart both, which ends the one that is switched off; what is to be told of it."""
    return _wait_for("restart", run, seconds)


def start_preload(run: Runner, seconds: float) -> list[str]:
    """Start both, or wait for those that are being loaded; what is to be told of it."""
    return _wait_for("start", run, seconds)


def _wait_for(verb: str, run: Runner, seconds: float) -> list[str]:
    """A unit whose ExecCondition= says no counts as started for systemctl."""
    try:
        done = run(["systemctl", verb, *PRELOAD_UNITS], seconds)
    except subprocess.TimeoutExpired:
        return ["what is preloaded is still being loaded; until then all starts the ordinary way"]
    except OSError:
        return []
    if done.returncode == 0:
        return [line for unit in PRELOAD_UNITS for line in _said(run, unit) if _LEFT_OUT in line]
    # A unit that waits for its next attempt is "activating".
    return [
        _refusal(run, unit)
        for unit in PRELOAD_UNITS
        if _output(run, ["systemctl", "is-failed", unit]) in {"failed", "activating"}
    ]


def _refusal(run: Runner, unit: str) -> str:
    """One that doesn't run, with the reason that it gave last."""
    why = _said(run, unit)[-1:] or ["the daemon does not start"]
    return (
        f"{WHAT[unit]} are not preloaded and start the ordinary way: {why[0]} "
        "(sudo appliance logs preload)"
    )


def _said(run: Runner, unit: str) -> list[str]:
    """What the daemon of a unit has written since its last start."""
    start = _output(run, ["systemctl", "show", "--value", "--property=InvocationID", unit])
    if not start:
        return []
    command = ["journalctl", "-q", "--no-pager", "-o", "cat", "-t", "appliance-preload"]
    text = _output(run, [*command, f"_SYSTEMD_INVOCATION_ID={start}"])
    return [line.strip() for line in text.splitlines() if line.strip()]


def _output(run: Runner, command: list[str]) -> str:
    try:
        return run(command, _LOOK_SECONDS).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
