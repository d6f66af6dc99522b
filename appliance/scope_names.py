"""The names of scopes, what each contains, and whether a text is one.

The names and the containment are JupyterHub's, so that its clients and documentation hold here.
What scopes mean for a request is in appliance/access; names alone are here, because the check of
the configuration needs them, too.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Final

HIERARCHY: Final[Mapping[str, tuple[str, ...]]] = {
    "self": (),
    "inherit": (),
    "admin-ui": (),
    "admin:users": ("admin:auth_state", "users", "read:roles:users", "delete:users"),
    "admin:auth_state": (),
    "users": ("read:users", "list:users", "users:activity"),
    "read:users": ("read:users:name", "read:users:groups", "read:users:activity"),
    "list:users": ("read:users:name",),
    "users:activity": ("read:users:activity",),
    "read:users:name": (),
    "read:users:groups": (),
    "read:users:activity": (),
    "read:roles": ("read:roles:users", "read:roles:services", "read:roles:groups"),
    "read:roles:users": (),
    "read:roles:services": (),
    "read:roles:groups": (),
    "delete:users": (),
    "admin:servers": ("admin:server_state", "servers"),
    "admin:server_state": (),
    "servers": ("read:servers", "start:servers", "delete:servers"),
    "read:servers": ("read:users:name",),
    "start:servers": (),
    "delete:servers": (),
    "tokens": ("read:tokens",),
    "read:tokens": (),
    "admin:groups": ("groups", "read:roles:groups", "delete:groups"),
    "groups": ("read:groups", "list:groups"),
    "read:groups": ("read:groups:name",),
    "list:groups": ("read:groups:name",),
    "read:groups:name": (),
    "delete:groups": (),
    "admin:services": ("list:services", "read:services", "read:roles:services"),
    "list:services": ("read:services:name",),
    "read:services": ("read:services:name",),
    "read:services:name": (),
    "read:hub": (),
    "access:servers": (),
    "access:services": (),
    "shares": ("access:servers", "read:shares", "users:shares", "groups:shares"),
    "read:shares": (),
    "users:shares": ("read:users:shares",),
    "groups:shares": ("read:groups:shares",),
    "read:users:shares": (),
    "read:groups:shares": (),
    # Ours: what a teacher does with a class.
    "classroom": ("read:users", "list:users", "servers", "read:groups", "list:groups"),
    "proxy": (),
    "shutdown": (),
    "read:metrics": (),
}

# What `self` stands for, each with !user=<me>.
SELF: Final = (
    "read:users",
    "users:shares",
    "read:shares",
    "users:activity",
    "servers",
    "tokens",
    "access:servers",
)

FILTER_KINDS: Final = frozenset({"user", "group", "server", "service"})

# What needs no value: it is then the bearer's own.
OWN_KINDS: Final = frozenset({"user", "server", "service"})

_SHOWN: Final = 100


def why_unknown(scope: str, custom: Collection[str] = ()) -> str:
    """What is wrong with a scope as written, or "" if it can be granted.

    `custom` are the scopes of the configuration.
    """
    name, mark, bound = scope.partition("!")
    if name not in HIERARCHY and name not in custom:
        close = difflib.get_close_matches(name[:_SHOWN], [*HIERARCHY, *custom], n=1, cutoff=0.6)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"there is no scope {name[:_SHOWN]!r}{hint}"
    kind, equals, value = bound.partition("=")
    if not mark or (not equals and kind in OWN_KINDS):
        return ""
    if kind not in FILTER_KINDS or not equals or not value:
        return (
            f"the scope {scope[:_SHOWN]!r} has a filter that isn't one of !user, !group=NAME, "
            "!server and !service"
        )
    if kind == "server" and "/" not in value:
        return (
            f"the scope {scope[:_SHOWN]!r} names no server: write !server={value[:_SHOWN]}/ "
            f"for the default one, !server={value[:_SHOWN]}/NAME for another"
        )
    return ""
