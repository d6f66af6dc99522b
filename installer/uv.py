"""uv's settings: the machine's own for pip, translated, so that both find the same packages.

uv reads neither pip.conf nor PIP_ variables, and a school's mirror, proxy or certificate authority
is usually configured for pip. bootstrap.py turns pip.conf into variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

_YES: Final = frozenset({"1", "true", "yes", "on"})
# One value each, under another name.
_SIMPLE: Final = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_CERT": "SSL_CERT_FILE",
    "PIP_CLIENT_CERT": "SSL_CLIENT_CERT",
    "PIP_PROXY": "ALL_PROXY",
    "PIP_TIMEOUT": "UV_HTTP_TIMEOUT",
}


def uv_environment(variables: Mapping[str, str], *, cache: Path) -> dict[str, str]:
    """What to add to uv's environment."""
    found = {
        "UV_CACHE_DIR": str(cache),
        # The system's Python alone: what it downloads would not get the system's security updates.
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_CONFIG": "1",
        "UV_NO_PROGRESS": "1",
    }
    found |= {ours: variables[pip] for pip, ours in _SIMPLE.items() if variables.get(pip)}
    extra = _existing(variables.get("PIP_EXTRA_INDEX_URL", ""))
    if extra:
        found["UV_INDEX"] = " ".join(extra)
        # pip takes the best file of all indexes; ours are pinned by their hashes anyway.
        found["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    links = _existing(variables.get("PIP_FIND_LINKS", ""))
    if links:
        found["UV_FIND_LINKS"] = ",".join(links)
    if variables.get("PIP_TRUSTED_HOST"):
        found["UV_INSECURE_HOST"] = " ".join(variables["PIP_TRUSTED_HOST"].split())
    if variables.get("PIP_NO_INDEX", "").lower() in _YES:
        found["UV_NO_INDEX"] = found["UV_OFFLINE"] = "1"
        found["UV_INDEX"] = ""
    return found


def _existing(places: str) -> list[str]:
    """pip passes over folders that don't exist; uv takes them for an error."""
    return [
        place
        for place in places.split()
        if ("://" in place and not place.startswith("file://"))
        or Path(place.removeprefix("file://")).exists()
    ]
