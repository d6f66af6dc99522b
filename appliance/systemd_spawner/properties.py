"""The properties of a single-user server's transient unit: limits and sandbox, by pure functions.

D-Bus wants each value's signature, and Debian 12's pystemd knows not all of them, so they are
stated here; they stand in org.freedesktop.systemd1(5).

What is left open, and why: no MemoryDenyWriteExecute (numba and other JITs), no PrivateNetwork
(pip, data on the web), no filter of @debug and @resources (gdb, taskset and thread pools are class
work).
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from appliance.limits import Effective
from appliance.names import ServerId
from appliance.outgoing import AUTHORITIES_FILE
from appliance.places import Places
from appliance.systemd_spawner.environment import servers_authorities
from appliance.systemd_spawner.programs import STOCK
from appliance.systemd_spawner.settings import ServerSettings

USERS_GROUP: Final = "appliance-users"
SLICE: Final = "appliance-users.slice"

# systemd's "infinity" on D-Bus.
INFINITY: Final = 2**64 - 1
STOP_TIMEOUT_SECONDS: Final = 10

# Cloud providers hand the machine's own credentials to whoever asks here.
METADATA_ADDRESSES: Final = ("169.254.169.254", "fd00:ec2::254")

# Calls that no class work needs and that kernel exploits like. @mount and all namespaces go
# together: with them a user could build mounts in a user namespace of her own.
_REFUSED_CALLS: Final = (
    "@clock",
    "@cpu-emulation",
    "@module",
    "@mount",
    "@obsolete",
    "@raw-io",
    "@reboot",
    "@swap",
)
MS_REC: Final = 0x4000
_MEMORY_GAP_MAX: Final = 8 * 2**20


class Property(NamedTuple):
    """One property as D-Bus has it; `value` fits `signature`."""

    name: str
    signature: str
    value: object


def _flag(name: str) -> Property:
    return Property(name, "b", value=True)


def limit_properties(limits: Effective) -> list[Property]:
    """What may change while the server runs."""
    memory = limits.memory
    cpu = INFINITY if limits.cpu is None else max(1, round(limits.cpu * 1_000_000))
    tasks = limits.whole("tasks")
    return [
        # Kept for it even when others want it. Never all that it may have: of that much, nothing
        # could be taken back, and it would be killed where giving back its file cache is enough.
        Property("MemoryLow", "t", min(limits.whole("memory_guarantee") or 0, memory * 3 // 4)),
        Property("MemoryHigh", "t", memory_high(memory)),
        Property("MemoryMax", "t", memory),
        # Usually none: swapping would slow everybody down for the one who went too far.
        Property("MemorySwapMax", "t", limits.whole("swap") or 0),
        Property("CPUQuotaPerSecUSec", "t", cpu),
        # Only where a unit says so does Linux share CPU and disk by server, and not by thread.
        Property("CPUWeight", "t", limits.whole("cpu_weight") or 100),
        Property("IOWeight", "t", limits.whole("io_weight") or 100),
        Property("TasksMax", "t", INFINITY if tasks is None else tasks),
    ]


def memory_high(limit: int) -> int:
    """Where Linux begins to slow allocations down: close below the limit.

    The delay grows with the square of the overshoot and with its length. With 90 % of a limit of
    200 MiB a runaway allocation still crawled after 100 seconds; with this gap it is killed within
    seconds of reaching it, whatever the limit, and the page cache is still given back first.
    """
    return limit - min(limit // 50, _MEMORY_GAP_MAX)


def service_properties(
    server: ServerId,
    *,
    account: str,
    home: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    credential: str,
    socket_descriptor: int,
    runtime_directory: str,
    denied_addresses: Sequence[str],
    settings: ServerSettings,
    limits: Effective,
    places: Places,
    class_groups: Sequence[int] = (),
) -> list[Property]:
    """The whole unit; `runtime_directory` is below /run, `credential` the token's path."""
    return [
        Property("Description", "s", f"Jupyter server of {server}"),
        Property("Slice", "s", SLICE),
        # Keeps the unit's result readable after its end, until the daemon has read it.
        _flag("AddRef"),
        Property("CollectMode", "s", "inactive-or-failed"),
        *_process(account=account, home=home, command=command, environment=environment),
        # Numbers, so that a group that somebody removed doesn't keep the server from starting.
        Property("SupplementaryGroups", "as", [USERS_GROUP, *map(str, class_groups)]),
        Property("NotifyAccess", "s", notify_access(settings.servers_program)),
        Property("LoadCredential", "a(ss)", [("token", credential)]),
        Property("StandardInputFileDescriptor", "h", socket_descriptor),
        Property("RuntimeDirectory", "as", [runtime_directory]),
        Property("RuntimeDirectoryMode", "u", 0o700),
        Property("TimeoutStartUSec", "t", settings.servers_start_timeout * 1_000_000),
        *limit_properties(limits),
        *_file_systems(
            home,
            places,
            memory=limits.memory,
            forks=settings.forks_servers or settings.forks_kernels,
            authorities=bool(settings.network_ca_file),
        ),
        *SANDBOX,
        denied_property(denied_addresses),
    ]


def notify_access(program: str) -> str:
    """Who may say that the server is ready: itself, or its helper where it doesn't know systemd."""
    return "all" if program == STOCK else "main"


def _process(
    *, account: str, home: str, command: Sequence[str], environment: Mapping[str, str]
) -> list[Property]:
    return [
        Property("Type", "s", "notify"),
        Property("ExecStart", "a(sasb)", [(command[0], list(command), False)]),
        Property("User", "s", account),
        Property("Group", "s", account),
        Property("WorkingDirectory", "s", home),
        Property("UMask", "u", 0o077),
        Property("Environment", "as", [f"{name}={value}" for name, value in environment.items()]),
        Property("StandardOutput", "s", "journal"),
        Property("StandardError", "s", "journal"),
        Property("SyslogIdentifier", "s", account),
        # A cell that prints without end must not push everybody else's lines out of the journal.
        Property("LogRateLimitIntervalUSec", "t", 30_000_000),
        Property("LogRateLimitBurst", "u", 2000),
        # The main process ends its kernels; what is left after it is killed at once.
        Property("KillMode", "s", "mixed"),
        Property("TimeoutStopUSec", "t", STOP_TIMEOUT_SECONDS * 1_000_000),
        # One kernel out of memory must not end the server and the other kernels.
        Property("OOMPolicy", "s", "continue"),
        # When the whole machine runs out, a server goes before hub, proxy and sshd.
        Property("OOMScoreAdjust", "i", 500),
    ]


def _file_systems(
    home: str, places: Places, *, memory: int, forks: bool, authorities: bool
) -> list[Property]:
    sockets = [str(places.api_socket.parent)]
    if forks:
        sockets.append(str(places.preload_sockets))
    shown = [(path, path, True, MS_REC) for path in sockets]
    if authorities:
        # Certificates alone, from a folder that is hidden.
        source = str(places.rendered / AUTHORITIES_FILE)
        shown.append((source, str(servers_authorities(places)), True, 0))
    return [
        Property("ProtectSystem", "s", "strict"),
        # Other homes aren't there at all, which is stronger than their mode.
        Property("ProtectHome", "s", "tmpfs"),
        Property("BindPaths", "a(ssbt)", [(home, home, False, MS_REC)]),
        # In classes' folders, access lists say who may do what.
        Property("ReadWritePaths", "as", [home, f"-{places.class_files / 'classes'}"]),
        _flag("PrivateTmp"),
        # Of the appliance's sockets only the one to the hub's API and those of the preload daemons
        # are the user's business.
        # And memory with a name is shared with nobody: PrivateTmp leaves /dev/shm to all. As on
        # any Linux, half of the memory there is; what lies there counts as the server's.
        Property(
            "TemporaryFileSystem",
            "a(ss)",
            [
                (str(places.run), "ro"),
                ("/dev/shm", f"mode=1777,nosuid,nodev,size={memory // 2}"),  # noqa: S108
            ],
        ),
        Property("BindReadOnlyPaths", "a(ssbt)", shown),
        # systemd tells everybody who asks by D-Bus how others' servers were started.
        Property(
            "InaccessiblePaths",
            "as",
            [f"-{places.settings}", f"-{places.state}", "-/run/dbus/system_bus_socket"],
        ),
    ]


SANDBOX: Final = (
    _flag("NoNewPrivileges"),
    Property("CapabilityBoundingSet", "t", 0),
    _flag("PrivateDevices"),
    Property("ProtectProc", "s", "invisible"),
    _flag("ProtectKernelTunables"),
    _flag("ProtectKernelModules"),
    _flag("ProtectKernelLogs"),
    _flag("ProtectControlGroups"),
    _flag("ProtectClock"),
    _flag("ProtectHostname"),
    _flag("RestrictSUIDSGID"),
    _flag("RestrictRealtime"),
    _flag("LockPersonality"),
    # None may be entered: the flags are those that are allowed.
    Property("RestrictNamespaces", "t", 0),
    # Netlink is how programs list the machine's addresses.
    Property(
        "RestrictAddressFamilies",
        "(bas)",
        (True, ["AF_INET", "AF_INET6", "AF_NETLINK", "AF_UNIX"]),
    ),
    Property("SystemCallArchitectures", "as", ["native"]),
    Property("SystemCallFilter", "(bas)", (False, list(_REFUSED_CALLS))),
    # An error that a program can report, instead of its sudden death.
    Property("SystemCallErrorNumber", "i", errno.EPERM),
)


def denied_addresses(resolv_conf: str) -> list[str]:
    """The metadata addresses that are no name server of this machine.

    Some clouds serve names and credentials from one address; there, denying it would take the
    network from everybody.
    """
    servers = {
        words[1]
        for words in (line.split() for line in resolv_conf.splitlines())
        if len(words) > 1 and words[0] == "nameserver"
    }
    return [address for address in METADATA_ADDRESSES if address not in servers]


def denied_property(addresses: Sequence[str]) -> Property:
    """The addresses that a server can't reach, besides those that were denied before."""
    return Property("IPAddressDeny", "a(iayu)", [_address(text) for text in addresses])


def _address(text: str) -> tuple[int, bytes, int]:
    address = ipaddress.ip_address(text)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return int(family), address.packed, address.max_prefixlen
