"""What root sees of the servers without asking them: limits of processes, ports, namespaces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from appliance.isolation.scene import (
    TEMPORARY,
    Scene,
    Seat,
    ask,
    listening_ports,
    place_of,
    room_of,
    seen_from,
    sockets_of,
    status_of,
    uid_of,
)
from appliance.proxy.headers import HUB_COOKIES
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
    yield Look("temporary folders", f"whose {', '.join(TEMPORARY)} a server has", "its own",
               _temporary)  # fmt: skip
    yield Look("sockets", "the sockets of the appliance that a server sees",
               "the API's and the preload daemons'", _sockets)  # fmt: skip
    yield Look("ports: kernels", "TCP ports of servers and kernels",
               "none but one of each kernel, for what its own processes print",
               _kernel_ports)  # fmt: skip
    yield Look("ports: hub", "TCP ports of the hub", "none", _hub_ports)
    yield Look("cookies: log-in", "the cookies that a browser takes to others' servers",
               "none that logs in at the hub", _cookies)  # fmt: skip
    yield Look("shared memory", "how much a server can put into its shared memory",
               "no more than its memory limit", _shared_memory)  # fmt: skip
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
    found.pop(scene.port, None)
    for seat in (scene.attacker, scene.neighbour):
        # ipykernel's, which takes nothing without a word that only the kernel's children know. Were
        # the channels to be had by TCP, the kernel would have six.
        sockets = sockets_of(seat.kernel_pid)
        own = [port for port, socket in found.items() if socket in sockets]
        if len(own) == 1:
            del found[own[0]]
    return f"ports {' '.join(map(str, sorted(found)))}" if found else ""


def _hub_ports(_scene: Scene) -> str:
    found = listening_ports({uid_of(_HUB_ACCOUNT)})
    return f"ports {' '.join(map(str, sorted(found)))}" if found else ""


def _cookies(scene: Scene) -> str:
    return f"{HUB_COOKIES[0]} is sent" if HUB_COOKIES[0] in scene.cookies else ""


def _temporary(scene: Scene) -> str:
    shared = [
        folder
        for folder in TEMPORARY
        if place_of(scene.attacker, folder) == place_of(scene.neighbour, folder)
    ]
    return f"{' '.join(shared)} is everybody's" if shared else ""


def _shared_memory(scene: Scene) -> str:
    size, limit = room_of(scene.attacker, TEMPORARY[-1])
    return f"it holds {size} bytes, with a limit of {limit}" if size > limit else ""


def _metadata(scene: Scene) -> str:
    denied = ask("systemctl", "show", "--property=IPAddressDeny", "--value", scene.attacker.unit)
    servers = ask("cat", "/etc/resolv.conf").split()
    missing = [
        address
        for address in METADATA_ADDRESSES
        if address not in denied and address not in servers
    ]
    return f"{' '.join(missing)} is not denied" if missing else ""
