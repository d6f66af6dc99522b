"""Roles: the named sets of scopes that everybody has by what they are.

The sets are JupyterHub's defaults, so a token means the same here as there.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from appliance.access.scopes import Bearer, Scopes
from appliance.names import ServerId

USER: Final = ("self",)
ADMIN: Final = (
    "admin-ui",
    "admin:users",
    "admin:servers",
    "admin:services",
    "tokens",
    "admin:groups",
    "list:services",
    "read:services",
    "read:hub",
    "proxy",
    "shutdown",
    "access:services",
    "access:servers",
    "read:roles",
    "read:metrics",
    "shares",
)
# What everybody may know of themselves, whatever their token says.
IDENTIFY: Final = ("read:users:name!user", "read:users:groups!user")


@lru_cache(maxsize=4096)
def scopes_of_user(name: str, *, admin: bool) -> Scopes:
    """All that a user may do now."""
    roles = (*USER, *ADMIN) if admin else USER
    return Scopes.expand((*roles, *IDENTIFY), Bearer(user=name))


def roles_of_user(*, admin: bool) -> list[str]:
    """The names of a user's roles, as user models list them."""
    return ["admin", "user"] if admin else ["user"]


def server_scope(server: ServerId) -> str:
    """The scope that opens one server in a browser."""
    return f"access:servers!server={server.user}/{server.name}"
