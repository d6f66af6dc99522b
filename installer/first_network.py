"""The way to the network that the first installation was given, for the first config.yaml.

Upgrades, certificates and notices go the same way later, when nobody's shell has the variables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from appliance.places import Places
from installer.files import write_file

_KEPT: Final = "network-ca.pem"
_DIRECT: Final = re.compile(r"[A-Za-z0-9.:/_*-]{1,253}")


def first_network_settings(
    variables: Mapping[str, str], places: Places, ca_file: Path | None
) -> dict[str, str]:
    """Settings by name; nothing once there is a configuration."""
    if places.config_file.exists():
        return {}
    found = _proxy_settings(variables)
    if ca_file:
        # The file may have come on a stick.
        kept = places.settings / _KEPT
        write_file(kept, ca_file.read_bytes())
        found["network.ca_file"] = str(kept)
    return found


def _proxy_settings(variables: Mapping[str, str]) -> dict[str, str]:
    url = variables.get("https_proxy") or variables.get("http_proxy") or ""
    parts = urlsplit(url if "://" in url or not url else f"http://{url}")
    try:
        port = parts.port
    except ValueError:
        return {}
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return {}
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    found = {"network.proxy": f"{parts.scheme}://{host}{f':{port}' if port else ''}"}
    if parts.username:
        found["network.proxy_user"] = unquote(parts.username)
        found["network.proxy_password"] = unquote(parts.password or "")
    named = (one.strip() for one in variables.get("no_proxy", "").split(","))
    direct = ",".join(one for one in named if _DIRECT.fullmatch(one))
    return found | ({"network.direct": direct} if direct else {})
