"""What the end of a unit means, in a sentence for its user."""

from __future__ import annotations

import signal
from typing import Final, NamedTuple

from appliance.limits import size_text
from appliance.systemd_spawner.settings import ServerSettings
from appliance.systemd_spawner.units import UnitState


class End(NamedTuple):
    """Why a server ended, for its user and for statistics."""

    reason: str
    failed: bool
    cause: str
    """One of a few words: interfaces.py lists them."""


STOPPED: Final = End("it was stopped", failed=False, cause="stopped")

# CLD_EXITED of waitid(2): the status is an exit status, not a signal.
_EXITED: Final = 1

# Exit statuses with which systemd tells what it could not set up; systemd.exec(5).
_SETUP: Final = {
    200: "its home directory can't be entered",
    203: "its program is missing or can't be run (is /opt/appliance/user complete?)",
    206: "its memory limits can't be set",
    214: "its priority can't be set",
    216: "its group can't be taken on",
    217: "its account can't be taken on",
    218: "its capabilities can't be dropped",
    219: "its control group can't be made",
    226: "its private view of the file system can't be made",
    228: "its filter of system calls can't be set",
    233: "its runtime directory can't be made",
    243: "its credential can't be read",
}
_RESULTS: Final = {
    "timeout": "it did not get ready in time and was stopped",
    "watchdog": "it stopped answering and was stopped",
    "protocol": "it ended before it said that it was ready",
    "resources": "the machine had no resources left to start it",
    "start-limit-hit": "it was started too often in a short time",
    "exec-condition": "a condition of its unit was not met",
}


def describe_end(
    state: UnitState,
    *,
    out_of_memory: bool,
    settings: ServerSettings | None,
    memory: int | None = None,
) -> End:
    """Why a server ended, and whether that is a failure; `memory` is what it might use."""
    if state.result == "oom-kill" or out_of_memory:
        text = f"it used more memory than {_memory(memory)}, and Linux stopped it"
        return End(text, failed=True, cause="oom")
    if state.result == "success":
        return End("it ended by itself", failed=False, cause="finished")
    if state.result in ("exit-code", "signal", "core-dump"):
        cause = "exit" if state.exit_code == _EXITED else "signal"
        return End(_describe_process(state), failed=True, cause=cause)
    text = _RESULTS.get(state.result, f"systemd says: {state.result}")
    if state.result == "timeout" and settings is not None:
        text = (
            f"it did not get ready within {settings.servers_start_timeout} seconds and was stopped"
        )
    cause = "timeout" if state.result in ("timeout", "watchdog") else "other"
    return End(text, failed=True, cause=cause)


def was_killed(state: UnitState) -> bool:
    """Whether SIGKILL ended it, which is what running out of memory looks like from outside.

    With OOMPolicy=continue systemd's own result doesn't say oom-kill (systemd.service(5)).
    """
    return state.exit_code != _EXITED and state.exit_status == signal.SIGKILL


def _describe_process(state: UnitState) -> str:
    if state.exit_code == _EXITED:
        setup = _SETUP.get(state.exit_status)
        if setup:
            return f"systemd could not start it: {setup}"
        return f"its process ended with exit status {state.exit_status}"
    try:
        name = signal.Signals(state.exit_status).name
    except ValueError:
        name = f"signal {state.exit_status}"
    dumped = " and left a core dump" if state.result == "core-dump" else ""
    return f"its process was ended by {name}{dumped}"


def _memory(size: int | None) -> str:
    return "there was" if size is None else f"its limit of {size_text(size)}"
