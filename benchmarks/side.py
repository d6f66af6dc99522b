"""What the workloads ask of each of the two stacks; `peer.py` and `ours.py` answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from benchmarks.machine import Machine

API_TOKEN: Final = "benchmark-token-0123456789abcdef0123456789abcdef"
"""Of a service that both sides are told to give an admin's rights."""


@dataclass(frozen=True, slots=True)
class SignUpForm:
    """Where a new user signs up, and what the fields of that form are called."""

    path: str
    password_fields: tuple[str, ...]
    fixed: Mapping[str, str]


class Side(Protocol):
    """One stack in the machine: how it is installed, started, visited and counted."""

    name: str
    address: str
    """Scheme, host and port, without a slash at the end."""
    sign_up: SignUpForm
    static_path: str
    """A small static file of the hub's pages."""
    units: tuple[str, ...]
    """Units that aren't a user's; starting them starts the stack."""
    database: str
    """File of the machine that holds the password hashes."""

    def install(self, machine: Machine) -> None:
        """Install and start; returns when the commands that people would type have returned."""
        ...

    def prepare(self, machine: Machine, users: list[str]) -> None:
        """Do once what its documentation leaves to the admin."""
        ...

    def start(self, machine: Machine) -> None:
        """Start the units; the caller waits for the health page."""
        ...

    def settle(self, machine: Machine) -> None:
        """Wait for what loads after the hub answers, and makes starts quicker when it is there."""
        ...

    def stop(self, machine: Machine, users: list[str]) -> None:
        """Stop everything of it, users' servers too."""
        ...

    def server_unit(self, user: str) -> str:
        """The unit of a user's server."""
        ...

    def account(self, user: str) -> str:
        """The Unix account that a user's server runs as."""
        ...

    def hub_pid(self, machine: Machine) -> int:
        """The hub's own process, by the host's number."""
        ...

    def proxy_pids(self, machine: Machine) -> list[int]:
        """All processes of the proxy, by the host's numbers."""
        ...

    def versions(self, machine: Machine) -> dict[str, str]:
        """Names and versions of what runs."""
        ...


def cgroups_of(machine: Machine, side: Side) -> list[Path]:
    """Where everything of the side that isn't a user's runs."""
    return [machine.unit_cgroup(unit) for unit in side.units]
