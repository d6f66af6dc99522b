"""The states of a single-user server and which changes are legal; nothing else changes a state."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from appliance.errors import Conflict


class ServerState(StrEnum):
    """What a server is doing, as the hub knows it."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    FAILED = "failed"
    """It did not start, or ended by itself with an error; it doesn't run."""


_S: Final = ServerState
CHANGES: Final[Mapping[ServerState, frozenset[ServerState]]] = {
    # One that was found gone before the spawner said that it had failed.
    _S.STOPPED: frozenset({_S.STARTING, _S.FAILED}),
    _S.FAILED: frozenset({_S.STARTING, _S.STOPPED}),
    _S.STARTING: frozenset({_S.READY, _S.FAILED, _S.STOPPING}),
    _S.READY: frozenset({_S.STOPPING, _S.STOPPED, _S.FAILED}),
    # What was asked to stop is never taken back: if the spawner can't be reached, it is asked
    # again.
    _S.STOPPING: frozenset({_S.STOPPED}),
}

# What JupyterHub's models call the states on the way.
PENDING: Final[Mapping[ServerState, str]] = {_S.STARTING: "spawn", _S.STOPPING: "stop"}


def check_change(old: ServerState, new: ServerState) -> None:
    """Raise Conflict if a server can't go from one state to the other."""
    if new not in CHANGES[old]:
        raise Conflict(f"cannot make a {old} server {new}")
