"""The properties of a service's transient unit.

The sandbox is that of single-user servers, and tighter where a service is no person: no homes, no
sockets of the appliance. The network is open, for that is what services are for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from appliance.names import service_unit
from appliance.places import Places
from appliance.systemd_spawner.properties import INFINITY, SANDBOX, Property, memory_high
from appliance.systemd_spawner.service_settings import ServiceSettings

SLICE: Final = "appliance-services.slice"
STOP_SECONDS: Final = 10
# After that many starts in that time systemd gives up, and the hub tries again some minutes later.
_RESTART_SECONDS: Final = 2
_STARTS: Final = 10
_STARTS_SECONDS: Final = 120
_TASKS: Final = 512


def unit_properties(
    settings: ServiceSettings,
    *,
    command: Sequence[str],
    account: str,
    environment_file: Path,
    places: Places,
) -> list[Property]:
    """The whole unit."""
    return [
        Property("Description", "s", f"Hub appliance: service {settings.name}"),
        Property("Slice", "s", SLICE),
        # Stopping the appliance stops its services; its parts may restart without them.
        Property("PartOf", "as", ["appliance.target"]),
        Property("Type", "s", "exec"),
        # As it is: systemd would put variables of the environment, some of them secrets, where the
        # command has a `$`, for everybody to see in the list of processes.
        Property("ExecStartEx", "a(sasas)", [(command[0], list(command), ["no-env-expand"])]),
        Property("EnvironmentFiles", "a(sb)", [(str(environment_file), False)]),
        Property("User", "s", account),
        Property("Group", "s", account),
        Property("StateDirectory", "as", [_state_directory(settings, places)]),
        Property("StateDirectoryMode", "u", 0o700),
        Property("WorkingDirectory", "s", str(places.state / "services" / settings.name)),
        Property("UMask", "u", 0o077),
        Property("Restart", "s", "always"),
        Property("RestartUSec", "t", _RESTART_SECONDS * 1_000_000),
        Property("StartLimitIntervalUSec", "t", _STARTS_SECONDS * 1_000_000),
        Property("StartLimitBurst", "u", _STARTS),
        Property("TimeoutStopUSec", "t", STOP_SECONDS * 1_000_000),
        Property("StandardOutput", "s", "journal"),
        Property("StandardError", "s", "journal"),
        Property("SyslogIdentifier", "s", service_unit(settings.name).removesuffix(".service")),
        Property("LogRateLimitIntervalUSec", "t", 30_000_000),
        Property("LogRateLimitBurst", "u", 2000),
        # When the whole machine runs out of memory it goes after users' servers, before the hub.
        Property("OOMScoreAdjust", "i", 200),
        *_limits(settings),
        *_file_systems(places),
        *SANDBOX,
    ]


def _limits(settings: ServiceSettings) -> list[Property]:
    memory = INFINITY if settings.memory is None else settings.memory
    return [
        Property("MemoryHigh", "t", memory_high(memory)),
        Property("MemoryMax", "t", memory),
        Property("MemorySwapMax", "t", 0),
        Property("CPUWeight", "t", 50),
        Property("IOWeight", "t", 50),
        Property("TasksMax", "t", _TASKS),
    ]


def _file_systems(places: Places) -> list[Property]:
    state = places.state
    hidden = [places.settings, state / "audit", places.hub_state, places.spawner_state]
    hidden += [state / "proxy", places.rendered]
    return [
        Property("ProtectSystem", "s", "strict"),
        Property("ProtectHome", "s", "yes"),
        Property("PrivateTmp", "b", value=True),
        # None of the appliance's sockets is its business: the API is at JUPYTERHUB_API_URL.
        Property("TemporaryFileSystem", "a(ss)", [(str(places.run), "ro")]),
        Property("InaccessiblePaths", "as", [f"-{path}" for path in hidden]),
    ]


def _state_directory(settings: ServiceSettings, places: Places) -> str:
    """Below /var/lib, as systemd wants it."""
    return f"{places.state.name}/services/{settings.name}"
