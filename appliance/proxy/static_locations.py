"""nginx's locations for files that need no Python process: Lab's, Notebook's, and the hub's."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Final

from appliance.proxy.headers import CLOSED
from appliance.proxy.routing import quote
from appliance.proxy.static_files import StaticRoots

_FOR_EVER: Final = "public, max-age=31536000, immutable"

_HUB: Final = "$appliance_freshness"
# The hub's pages ask for their files by a hash of the content; without it a browser asks each time.
HUB_FRESHNESS: Final = f"""\
map $arg_v $appliance_freshness {{
    default "{_FOR_EVER}";
    "" no-cache;
}}
"""


def static_locations(static: StaticRoots, *, gzip_static: bool) -> str:
    """A location for each route of routing.py that leads to files.

    What isn't there, such as files of an environment before an upgrade, whoever stands behind the
    address may have: a user's server, or the hub.
    """
    packed = "gzip_static on;\n" if gzip_static else ""
    found = [
        ("lab", static.lab, "@server"),
        ("notebook", static.notebook, "@server"),
        ("extensions", static.extensions, "@server"),
        ("shared_lab", static.lab, "@hub"),
        ("shared_notebook", static.notebook, "@hub"),
    ]
    locations = [
        _location(route, root, otherwise, packed=packed, freshness=_FOR_EVER)
        for route, root, otherwise in found
        if root
    ]
    if static.hub:
        small = "gzip on;\ngzip_types text/css text/javascript image/svg+xml;\n"
        locations.append(_location("hub_static", static.hub, "@hub", packed=small, freshness=_HUB))
    return "".join(locations)


def _location(route: str, root: Path, otherwise: str, *, packed: str, freshness: str) -> str:
    return f"""\
location = /-{route} {{
    internal;
    root {quote(str(root))};
    try_files /$appliance_file {otherwise};
{textwrap.indent(packed, "    ")}    gzip_vary on;
    add_header Cache-Control "{freshness}";
    add_header X-Content-Type-Options nosniff;
{textwrap.indent(CLOSED, "    ")}}}
"""
