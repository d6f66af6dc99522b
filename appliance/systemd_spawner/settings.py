"""The part of the configuration that starting a server needs, read from the rendered spawner.json.

The file was checked against the schema before it was written, so a problem here means that it was
damaged or written by another version; then nothing is started rather than something without limits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from appliance.errors import SpawnRefused
from appliance.limits import LimitBook, MachineSize
from appliance.systemd_spawner.programs import APPLIANCE


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Names as in `config/schema.py`, sections joined by an underscore.

    `culling_timeout` is the shortest one that may be a user's.
    """

    base_url: str
    http_address: str
    http_port: int
    limits: LimitBook
    servers_front_end: str
    servers_program: str
    servers_start_timeout: int
    culling_timeout: int
    culling_busy_kernels: bool
    culling_terminals: bool
    servers_extensions: Mapping[str, bool]
    servers_lab_extensions_off: Sequence[str]
    preload_servers: bool
    preload_kernels: bool
    proxy_program: str
    network_proxy: str
    network_direct: Sequence[str]
    network_ca_file: str
    """Empty, as the proxy is, unless servers are to be told."""

    @property
    def forks_servers(self) -> bool:
        """Whether servers ask the preload daemon first; those of another program can't."""
        return self.preload_servers and self.servers_program == APPLIANCE

    @property
    def forks_kernels(self) -> bool:
        """The same for the kernels of servers."""
        return self.preload_kernels and self.servers_program == APPLIANCE

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Pick from the configuration's JSON; raises KeyError, TypeError or ValueError."""
        servers, culling = config["servers"], config["culling"]
        network = config["network"]
        told = bool(network["for_servers"])
        extensions = {_text(name): bool(on) for name, on in servers["extensions"].items()}
        return cls(
            base_url=_text(config["base_url"]),
            http_address=_text(config["http"]["address"]),
            http_port=int(config["http"]["port"]),
            limits=LimitBook(config, MachineSize.read()),
            servers_front_end=_text(servers["front_end"]),
            servers_program=_text(servers["program"]),
            servers_start_timeout=int(servers["start_timeout"]),
            culling_timeout=min(int(one) for one in _timeouts(config)),
            culling_busy_kernels=bool(culling["busy_kernels"]),
            culling_terminals=bool(culling["terminals"]),
            servers_extensions=extensions,
            servers_lab_extensions_off=[_text(one) for one in servers["lab_extensions_off"]],
            preload_servers=bool(config["preload"]["servers"]),
            preload_kernels=bool(config["preload"]["kernels"]),
            proxy_program=_text(config["proxy"]["program"]),
            network_proxy=_text(network["proxy"]) if told else "",
            network_direct=[_text(one) for one in network["direct"]],
            network_ca_file=_text(network["ca_file"]) if told else "",
        )


def _timeouts(config: Mapping[str, Any]) -> Iterator[Any]:
    """Those of everybody and of groups."""
    yield config["culling"]["timeout"]
    for group in config["group_culling"].values():
        if group["timeout"] is not None:
            yield group["timeout"]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def read_settings(path: Path) -> ServerSettings:
    """Read spawner.json; raise SpawnRefused saying what is wrong with it."""
    try:
        return ServerSettings.from_config(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        reason = f"{type(err).__name__}: {err}" if isinstance(err, KeyError) else str(err)
        raise SpawnRefused(
            "cannot read the limits of servers",
            why=f"{path}: {reason}",
            mend="sudo appliance config reload --force",
        ) from err
