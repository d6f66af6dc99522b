"""Where packages come from: pip's settings of the machine, and its way into the network."""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from appliance.config.schema import Config
from appliance.network import outgoing_in_shell
from appliance.outgoing import SYSTEM_AUTHORITIES
from appliance.places import Places

_FILES: Final = (
    "/etc/pip.conf",
    "/etc/xdg/pip/pip.conf",
    "~/.pip/pip.conf",
    "~/.config/pip/pip.conf",
)
_SETTINGS: Final = (
    "index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "proxy", "cert",
    "client-cert", "timeout",
)  # fmt: skip


def package_network(
    config: Config | None, places: Places, environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Variables for uv and pip: pip.conf's, over them the caller's, over them the appliance's way
    to the network, unless the caller has a proxy."""
    chosen = environ.get("PIP_CONFIG_FILE", "")
    files = [Path(name).expanduser() for name in (*_FILES, *([chosen] if chosen else []))]
    own = {name: value for name, value in environ.items() if name.startswith("PIP_")}
    outgoing = outgoing_in_shell(config or Config(), places, environ)
    return {**_system_authorities(environ), **pip_variables(files), **own, **outgoing}


def _system_authorities(environ: Mapping[str, str]) -> dict[str, str]:
    """uv knows authorities of its own, and not those that somebody gave to this machine."""
    given = environ.get("SSL_CERT_FILE", "")
    if not given and not Path(SYSTEM_AUTHORITIES).exists():
        return {}
    return {"SSL_CERT_FILE": given or SYSTEM_AUTHORITIES}


def pip_variables(files: list[Path]) -> dict[str, str]:
    """pip's settings in files, as the variables that say the same; an unreadable file says none."""
    found: dict[str, str] = {}
    for path in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, "utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue
        for section in ("global", "install"):
            for name in _SETTINGS:
                value = parser.get(section, name, fallback="").strip()
                if value:
                    found[f"PIP_{name.upper().replace('-', '_')}"] = " ".join(value.split())
    return found
