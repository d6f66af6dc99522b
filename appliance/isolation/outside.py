"""What root sees of the servers without asking them: limits of processes, ports, namespaces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from appliance.isolation.scene import (
    Scene,
    Seat,
    ask,
    listening_ports,
    seen_from,
    status_of,
    uid_of,
)
from appliance.systemd_spawner.properties import METADATA_ADDRESSES

# proc_pid_status(5): no way to more rights, and a filter of system calls.
_STATUS: Final = {
    "NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0" * 16, "CapPrm": "0" * 16, "CapBnd": "0" * 16,
}  # fmt: skip
_HUB_ACCOUNT: Final = "appliance-hub"
_RUN: Final = frozenset({"preload", "proxy"})


@dataclass(frozen=True, slots=True)
class Look:
    """Something that root looks at."""

    name: str
    what: str
    expected: str
    see: Callable[[Scene], str]
    """What is wrong; "" if nothing is."""


def looks() -> Iterator[Look]:
    """Everything, in the order of the report."""
    yield Look("rights", "what the processes of a server may do",
               "no capabilities, no new privileges, a filter of system calls", _rights)  # fmt: skip
    yield Look("homes", "the homes that a server sees", "its own", _homes)
    yield Look("sockets", "the sockets of the appliance that a server sees",
               "the API's and the preload daemons'", _sockets)  # fmt: skip
    yield Look("ports: kernels", "TCP ports of servers and kernels", "none", _kernel_ports)
    yield Look("ports: hub", "TCP ports of the hub", "none", _hub_ports)
    yield Look("metadata: rule", "the addresses that a server is kept from",
               "the cloud's metadata addresses, but for name servers", _metadata)  # fmt: skip


def _rights(scene: Scene) -> str:
    wrong = []
    for pid in (scene.attacker.server_pid, scene.attacker.kernel_pid):
        status = status_of(pid)
        wrong += [
            f"{name} of process {pid} is {status.get(name, 'unknown')}"
            for name, value in _STATUS.items()
            if status.get(name) != value
        ]
    return "; ".join(wrong)


def _homes(scene: Scene) -> str:
    own: Seat = scene.attacker
    seen = seen_from(own, str(own.home.parent))
    return "" if seen == [own.home.name] else f"it sees {' '.join(seen) or 'nothing'}"


def _sockets(scene: Scene) -> str:
    seen = set(seen_from(scene.attacker, str(scene.places.run)))
    more = sorted(seen - _RUN)
    return f"it sees {' '.join(more)} too" if more else ""


def _kernel_ports(scene: Scene) -> str:
    found = listening_ports({scene.attacker.uid, scene.neighbour.uid})
    ports = sorted(set(found) - {scene.port})
    return f"ports {' '.join(map(str, ports))}" if ports else ""


def _hub_ports(_scene: Scene) -> str:
    found = listening_ports({uid_of(_HUB_ACCOUNT)})
    return f"ports {' '.join(map(str, sorted(found)))}" if found else ""


def _metadata(scene: Scene) -> str:
    denied = ask("systemctl", "show", "--property=IPAddressDeny", "--value", scene.attacker.unit)
    servers = ask("cat", "/etc/resolv.conf").split()
    missing = [
        address
        for address in METADATA_ADDRESSES
        if address not in denied and address not in servers
    ]
    return f"{' '.join(missing)} is not denied" if missing else ""
