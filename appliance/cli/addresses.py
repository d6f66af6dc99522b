"""Where people find the appliance, as far as the machine itself can know."""

from __future__ import annotations

import json
import socket
from typing import Any

from appliance.places import Places


def rendered_values(places: Places) -> dict[str, Any]:
    """What is in force, without secrets; empty before the first configuration."""
    try:
        return dict(json.loads((places.rendered / "spawner.json").read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def root_url(places: Places) -> str:
    """http://HOST[:PORT] of the configuration in force."""
    http = rendered_values(places).get("http", {})
    address = http.get("address", "")
    if address in {"", "0.0.0.0", "::"}:  # noqa: S104 - compared, bound nowhere
        address = "localhost" if places.trial else own_address()
    host = f"[{address}]" if ":" in address else address
    port = http.get("port", 80)
    return f"http://{host}" + ("" if port == 80 else f":{port}")


def base_url(places: Places) -> str:
    return str(rendered_values(places).get("base_url", "/"))


def link_url(places: Places, path: str) -> str:
    """A path of the hub's, such as a one-time link's, as a whole address."""
    base = base_url(places)
    if not path.startswith(f"{base}hub/"):
        path = base + path.lstrip("/")
    return root_url(places) + path


def own_address() -> str:
    """The address by which this machine goes out; no packet is sent to find it."""
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((target, 9))
                return str(probe.getsockname()[0])
        except OSError:
            continue
    return socket.gethostname()
