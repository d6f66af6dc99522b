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
_LOG_SECONDS: Final = 3.0

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
    return [] if done.returncode == 0 else [remark(run, unit) for unit in _failed(run)]


def remark(run: Runner, unit: str) -> str:
    """One that doesn't run, with the reason that it gave last."""
    why = _last_words(run, unit)
    return (
        f"{WHAT[unit]} are not preloaded and start the ordinary way: "
        f"{why or 'the daemon does not start'} (sudo appliance logs preload)"
    )


def _failed(run: Runner) -> list[str]:
    found = []
    for unit in PRELOAD_UNITS:
        try:
            said = run(["systemctl", "is-failed", unit], _LOG_SECONDS).stdout.strip()
        except (OSError, subprocess.TimeoutExpired):
            continue
        # A unit that waits for its next attempt is "activating".
        if said in {"failed", "activating"}:
            found.append(unit)
    return found


def _last_words(run: Runner, unit: str) -> str:
    command = ["journalctl", "-q", "-t", "appliance-preload", "-u", unit, "-n", "1"]
    try:
        done = run([*command, "-o", "cat", "--no-pager"], _LOG_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return next((line.strip() for line in done.stdout.splitlines() if line.strip()), "")
