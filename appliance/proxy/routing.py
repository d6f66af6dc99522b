r"""Which address belongs to whom: nginx's maps over the raw path.

nginx matches a `location` against the decoded and merged path, in which `/user/eve/..%2falice/lab`
is alice's: eve's browser would send eve's cookie there. So nothing here looks at nginx's own idea
of the path. The first segments of the path *as sent* decide, as they do for cookies, and a dot
segment in any spelling is an error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from appliance.names import SERVER_NAME_PATTERN, USERNAME_PATTERN
from appliance.proxy.static_files import StaticRoots

# `.` or `..` between separators; `;` ends a segment for some servers behind.
_SEPARATOR: Final = r"(?:/|\\|%2f|%5c)"
_DOT_SEGMENT: Final = rf"~*^[^?]*{_SEPARATOR}(?:\.|%2e){{1,2}}(?:{_SEPARATOR}|[;?]|$)"
# What no browser sends unescaped, what ends strings in C, and `#`, where nginx ends the path.
_FORBIDDEN: Final = r"~*^[^?]*(?:[\x00-\x20\x7f\\#]|%00)"

# Bounded, so that no address makes matching slow.
_HASHED: Final = r"(?:[A-Za-z0-9_.-]{0,100}[.-])?[0-9a-f]{16,64}(?:\.[a-z0-9]{1,10}){1,3}"
_FOLDERS: Final = r"(?:[A-Za-z0-9@_-][A-Za-z0-9@_.-]{0,100}/){1,4}"


def quote(text: str) -> str:
    """Text as one word of nginx's configuration; `$` keeps its meaning there."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _pattern(pattern: str) -> str:
    return f"~^{pattern}"


def routes(
    base_url: str, static: StaticRoots, services: Sequence[tuple[str, str]] = ()
) -> list[tuple[str, str]]:
    """The map from raw paths to routes, first match first; what matches none is the hub's."""
    base = re.escape(base_url)
    user = rf"{base}user/(?<appliance_user>{USERNAME_PATTERN})/"
    named = rf"(?<appliance_named>{SERVER_NAME_PATTERN})"
    static_server = rf"{user}(?:{named}/)??"
    hub_static = rf"{base}hub/static/"
    found = [(_DOT_SEGMENT, "bad"), (_FORBIDDEN, "bad")]
    addresses = {
        "lab": (static.lab, rf"static/lab/(?<appliance_file>{_HASHED})"),
        "notebook": (static.notebook, rf"static/notebook/(?<appliance_file>{_HASHED})"),
        "extensions": (
            static.extensions,
            rf"lab/extensions/(?<appliance_file>{_FOLDERS}static/{_HASHED})",
        ),
    }
    for route, (root, address) in addresses.items():
        if root:
            found.append((_pattern(rf"{static_server}{address}(?:\?|$)"), route))
    for front_end, root in (("lab", static.lab), ("notebook", static.notebook)):
        if root:
            address = rf"{hub_static}{front_end}/(?<appliance_file>{_HASHED})(?:\?|$)"
            found.append((_pattern(address), f"shared_{front_end}"))
    if static.hub:
        address = rf"{hub_static}(?<appliance_file>[a-z]{{1,40}}\.(?:css|js|svg))(?:\?|$)"
        found.append((_pattern(address), "hub_static"))
    found += [
        (_pattern(rf"{user}{named}(?:[/?]|$)"), "server"),
        (_pattern(user), "server"),
        (_pattern(rf"{base}hub/classes/[^/?]{{1,800}}/materials/upload(?:\?|$)"), "upload"),
        (_pattern(rf"{base}hub/api/appliance/classes/[^/?]{{1,800}}/files/"), "api_upload"),
        (_pattern(rf"{base}hub/api(?:[/?]|$)"), "api"),
        *services,
    ]
    if base_url != "/":
        found.append((r"~^/(?:\?|$)", "root"))
    return found


def route_map(base_url: str, static: StaticRoots, services: Sequence[tuple[str, str]] = ()) -> str:
    """The map as nginx reads it; `services` are lines of it that lead to services."""
    found = routes(base_url, static, services)
    lines = [f"    {quote(pattern)} {route};" for pattern, route in found]
    return "\n".join(["map $request_uri $appliance_route {", "    default hub;", *lines, "}"])
