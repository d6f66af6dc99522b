"""The programs that must hear of a changed configuration, and how each is told.

Two ways: systemd on an installed appliance, the supervisor's process of a trial. Commands are run
through an injected `Runner`, so that tests see them and no machine is needed.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

from appliance.client.hub import HubClient
from appliance.config.kinds import Reload
from appliance.errors import ApplianceError
from appliance.places import Places
from appliance.rollout.health import Deadline, Unhealthy
from appliance.rollout.preload import LOADING_SECONDS, PRELOAD_UNITS, Runner, restart_preload

HUB_UNIT: Final = "appliance-hub.service"
PROXY_UNIT: Final = "appliance-proxy.service"
SPAWNER_UNIT: Final = "appliance-spawner.service"
SOCKET_UNITS: Final = (
    "appliance-spawner.socket",
    "appliance-hub.socket",
    "appliance-hub-admin.socket",
)
UNITS: Final = {"hub": HUB_UNIT, "proxy": PROXY_UNIT, "spawner": SPAWNER_UNIT}
"""The programs that there must be, by the names that `appliance logs` takes."""
LOGGED: Final = {
    **{name: (unit,) for name, unit in UNITS.items()},
    "preload": PRELOAD_UNITS,
    "upkeep": ("appliance-upkeep.service",),
    "backup": ("appliance-backup.service", "appliance-restore.service"),
    "disk": ("appliance-disk.service", "appliance-quota.service"),
    "files": ("appliance-files-*.service",),
    "rebuild": ("appliance-rebuild.service",),
}
"""Everything that `appliance logs` takes, each with its units."""
_BEGIN_SECONDS: Final = 30.0
_LOG_LINES: Final = 5
# A list of a thousand servers is a small part of it.
_ANSWER_MAX: Final = 2**24


class Services(Protocol):
    """What apply.py asks for; both raise ApplianceError when it could not be done in time."""

    def carry_out(self, reload: Reload, deadline: Deadline, *, restart_proxy: bool) -> list[str]:
        """Tell every program that the flags name, and wait until each has taken it.

        Returns what didn't work out and is no reason to go back, a sentence each.

        `restart_proxy`: a reload of nginx isn't enough, since the address that it listens at
        changes and the port doesn't, and it holds the old address while it tries the new one.
        """
        ...

    def make_ready(self, deadline: Deadline) -> None:
        """Clear what a failed attempt left, before the old configuration is applied again."""
        ...

    def is_stopped(self) -> bool:
        """Whether somebody stopped the appliance: then a change waits for its next start."""
        ...


def run(command: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a command with a time limit; its output is kept."""
    return subprocess.run(
        list(command), capture_output=True, text=True, timeout=seconds, check=False
    )


def begin(what: str, *units: str) -> None:
    """Start units that do long work, and don't wait for them; raises ApplianceError."""
    try:
        done = run(["systemctl", "start", "--no-block", *units], _BEGIN_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ApplianceError(f"cannot {what}", why="systemd doesn't answer") from error
    if done.returncode:
        raise ApplianceError(f"cannot {what}", why=done.stderr.strip()[:500])


class SystemdServices:
    """Units of an installed appliance."""

    def __init__(self, places: Places, *, runner: Runner = run) -> None:
        self._places = places
        self._run = runner

    def carry_out(self, reload: Reload, deadline: Deadline, *, restart_proxy: bool) -> list[str]:
        if Reload.HUB in reload:
            self._systemctl("restart", HUB_UNIT, deadline)
        if Reload.PROXY in reload:
            self._systemctl(
                "restart" if restart_proxy else "reload-or-restart", PROXY_UNIT, deadline
            )
        if reload & (Reload.LIMITS | Reload.NEXT_START):
            ask_spawner(self._places, {"verb": "apply_limits"}, deadline)
        if Reload.PRELOAD in reload:
            return restart_preload(self._run, min(LOADING_SECONDS, deadline.left / 2))
        return []

    def make_ready(self, deadline: Deadline) -> None:
        """A unit that failed too often, or hangs while it starts, would not take a restart."""
        units = [HUB_UNIT, PROXY_UNIT, *SOCKET_UNITS]
        for command in (
            ["systemctl", "kill", "--signal=KILL", HUB_UNIT],
            ["systemctl", "reset-failed", *units],
        ):
            with suppress(subprocess.TimeoutExpired, OSError):
                self._run(command, min(deadline.left, 3.0))

    def is_stopped(self) -> bool:
        """A unit that failed or is being started again isn't stopped: a change may mend it."""
        try:
            done = self._run(["systemctl", "is-active", HUB_UNIT, PROXY_UNIT], 5.0)
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.stdout.split() == ["inactive", "inactive"]

    def _systemctl(self, verb: str, unit: str, deadline: Deadline) -> None:
        try:
            done = self._run(["systemctl", verb, unit], deadline.left)
        except subprocess.TimeoutExpired as error:
            raise Unhealthy(
                f"cannot {_plain_verb(verb)} {unit}",
                why="it was not ready in time",
                mend=_read_log(unit),
                log=self._log(unit),
            ) from error
        except OSError as error:
            raise ApplianceError(
                f"cannot {_plain_verb(verb)} {unit}",
                why=f"systemctl: {error.strerror}",
                mend="run this on the machine where the appliance is installed",
            ) from error
        if done.returncode:
            said = done.stderr.strip().splitlines()
            raise Unhealthy(
                f"cannot {_plain_verb(verb)} {unit}",
                why=said[0] if said else f"systemctl ended with {done.returncode}",
                mend=_read_log(unit),
                log=self._log(unit),
            )

    def _log(self, unit: str) -> tuple[str, ...]:
        """The unit's last lines, which most often say what it disliked."""
        command = ["journalctl", "-q", "-u", unit, "-n", str(_LOG_LINES), "-o", "cat", "--no-pager"]
        try:
            done = self._run(command, 3.0)
        except (OSError, subprocess.TimeoutExpired):
            return ()
        return tuple(line for line in done.stdout.splitlines() if line.strip())


class TrialServices:
    """A trial's supervisor: told by a signal, seen at work by the time of the hub's start."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def carry_out(self, reload: Reload, deadline: Deadline, *, restart_proxy: bool) -> list[str]:
        """The one signal is for everything: the spawner of a trial is a part of its hub."""
        if not reload & ~(Reload.PRELOAD | Reload.UPKEEP):
            return []
        if restart_proxy:
            self._end_proxy()
        before = _hub_started(self._places)
        self._signal()
        while _hub_started(self._places) in {before, ""}:
            if deadline.over:
                raise Unhealthy(
                    "cannot restart the hub of the trial",
                    why="it was not ready in time",
                    mend="appliance logs hub",
                    log=self._log(),
                )
            time.sleep(0.1)
        return []

    def _log(self) -> tuple[str, ...]:
        try:
            text = (self._places.logs / "hub.log").read_text("utf-8", errors="replace")
        except OSError:
            return ()
        return tuple(text.splitlines()[-_LOG_LINES:])

    def make_ready(self, deadline: Deadline) -> None:
        """The supervisor starts a hub that ended again by itself."""
        del deadline

    def is_stopped(self) -> bool:
        try:
            os.kill(_pid_in(self._places.run / "trial.pid"), 0)
        except OSError:
            return True
        return False

    def _signal(self) -> None:
        try:
            os.kill(_pid_in(self._places.run / "trial.pid"), signal.SIGHUP)
        except OSError as error:
            raise ApplianceError(
                "cannot tell the trial of the change",
                why="it has ended",
                mend="start the trial again; it begins with what is set now",
            ) from error

    def _end_proxy(self) -> None:
        """The supervisor starts it again, with the addresses that are set now."""
        with suppress(OSError):
            os.kill(_pid_in(self._places.run / "proxy" / "nginx.pid"), signal.SIGTERM)


def ask_spawner(places: Places, request: dict[str, object], deadline: Deadline) -> dict[str, Any]:
    """One request to the spawner daemon: a line of JSON there, a line back."""
    what = "cannot tell the spawner daemon of the change"
    mend = _read_log(SPAWNER_UNIT)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(deadline.left)
            connection.connect(str(places.spawner_socket))
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as lines:
                answer = json.loads(lines.readline(_ANSWER_MAX) or b"{}")
    except OSError as error:
        raise Unhealthy(
            what, why=error.strerror or "it did not answer in time", mend=mend
        ) from error
    except ValueError as error:
        raise Unhealthy(what, why="its answer is not JSON", mend=mend) from error
    if not answer.get("ok"):
        why = answer.get("why") or answer.get("what") or "it ended the connection"
        raise Unhealthy(what, why=str(why), mend=str(answer.get("mend") or mend))
    return dict(answer)


def _hub_started(places: Places) -> str:
    """When the hub that answers now was started, or "" if none does."""
    try:
        return str(HubClient.of(places, timeout=2).status()["started"])
    except (ApplianceError, KeyError):
        return ""


def _pid_in(file: Path) -> int:
    """The process that a file names; ProcessLookupError when it names none."""
    try:
        number = int(file.read_text())
    except (OSError, ValueError) as error:
        raise ProcessLookupError from error
    if number < 2:
        raise ProcessLookupError
    return number


def _read_log(unit: str) -> str:
    name = next(name for name, known in UNITS.items() if known == unit)
    return f"sudo appliance logs {name}"


def _plain_verb(verb: str) -> str:
    return "reload" if verb == "reload-or-restart" else verb
