"""Roles: named sets of scopes, given to users, groups and services.

Everybody has the role `user`, admins have `admin` besides, and a single-user server's token has
`server`; these sets are JupyterHub's defaults, so a token means the same here as there. More roles
come from the configuration, which may also say anew what `user`, `server` and `token` hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from appliance.access.scopes import Bearer, Scopes
from appliance.names import ServerId
from appliance.scope_names import why_unknown

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
    "classroom",
)
# Held on the classes that one teaches, and on nothing else.
TEACHER: Final = ("classroom",)
SERVER: Final = ("users:activity!user", "access:servers!server")
TOKEN: Final = ("inherit",)
# What everybody may know of themselves, whatever their token says.
IDENTIFY: Final = ("read:users:name!user", "read:users:groups!user", "read:services:name!service")


@dataclass(frozen=True, slots=True)
class Role:
    """A set of scopes and who has it."""

    name: str
    description: str = ""
    scopes: tuple[str, ...] = ()
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()


_BUILT_IN: Final = (
    Role("user", "Everybody with an account", USER),
    Role("admin", "May do everything that isn't root's", ADMIN),
    Role("teacher", "Runs the classes that they teach", TEACHER),
    Role("server", "What a single-user server's own token may do", SERVER),
    Role("token", "What a new API token may do unless told otherwise", TOKEN),
)


class Roles:
    """The roles of one configuration; a change of it makes a new hub, and new roles."""

    def __init__(
        self, roles: Iterable[Role] = (), *, custom: Mapping[str, tuple[str, ...]] | None = None
    ) -> None:
        """`custom` has the scopes of the configuration, each with those it contains."""
        self._roles = {role.name: role for role in _BUILT_IN}
        for role in roles:
            self._roles[role.name] = role
        self.custom = dict(custom or {})
        self._with_users = [role for role in self._roles.values() if role.users]
        self._of_user = lru_cache(maxsize=4096)(self._expand_user)

    def __getitem__(self, name: str) -> Role:
        return self._roles[name]

    def find(self, name: str) -> Role | None:
        return self._roles.get(name)

    def expand(self, scopes: Iterable[str], bearer: Bearer) -> Scopes:
        """Scopes as written to what they mean for their bearer; custom ones included."""
        return Scopes.expand(scopes, bearer, custom=self.custom)

    def why_unknown(self, scope: str) -> str:
        """What is wrong with a scope as written, or "" if it can be granted."""
        return why_unknown(scope, self.custom)

    @property
    def users(self) -> frozenset[str]:
        """Everybody whom a role names."""
        return frozenset[str]().union(*(role.users for role in self._with_users))

    # Who has which

    def of_user(self, name: str, *, admin: bool, teaches: bool = False) -> list[str]:
        """A user's own roles by name, as user models list them; those of groups aren't in it."""
        own = {role.name for role in self._with_users if name in role.users} | {"user"}
        given = {"admin"} if admin else set[str]()
        return sorted((own - {"admin", "teacher"}) | given | ({"teacher"} if teaches else set()))

    def of_group(self, name: str) -> list[str]:
        return sorted(role.name for role in self._roles.values() if name in role.groups)

    def of_service(self, name: str, *, admin: bool = False) -> list[str]:
        own = {role.name for role in self._roles.values() if name in role.services}
        return sorted(own | {"admin"} if admin else own)

    # What they may do

    def scopes_of_user(
        self,
        name: str,
        *,
        admin: bool,
        groups: frozenset[str] = frozenset(),
        shared: frozenset[str] = frozenset(),
        teaches: frozenset[str] = frozenset(),
    ) -> Scopes:
        """All that a user may do now; `shared` are the scopes others gave on their servers, and
        `teaches` the classes of a teacher."""
        found: Scopes = self._of_user(
            name, admin=admin, groups=groups, shared=shared, teaches=teaches
        )
        return found

    def scopes_of_service(self, name: str, *, admin: bool = False) -> Scopes:
        """All that a service may do now; nothing unless roles say so."""
        texts = [text for role in self.of_service(name, admin=admin) for text in self[role].scopes]
        return self.expand(texts, Bearer(service=name))

    def server_scopes(self, server: ServerId) -> list[str]:
        """The scopes of a single-user server's own token, with their filters bound."""
        bearer = Bearer(user=server.user, server=f"{server.user}/{server.name}")
        return self.expand(self["server"].scopes, bearer).listed()

    def _expand_user(
        self,
        name: str,
        *,
        admin: bool,
        groups: frozenset[str],
        shared: frozenset[str],
        teaches: frozenset[str],
    ) -> Scopes:
        roles = set(self.of_user(name, admin=admin))
        for group in groups:
            roles |= set(self.of_group(group))
        texts = [text for role in sorted(roles) for text in self[role].scopes]
        # Whatever the role says, it is said of the classes alone.
        taught = [
            f"{text.partition('!')[0]}!group={group}"
            for text in self["teacher"].scopes
            for group in sorted(teaches)
        ]
        return self.expand((*texts, *taught, *shared, *IDENTIFY), Bearer(user=name))


def server_scope(server: ServerId) -> str:
    """The scope that opens one server in a browser."""
    return f"access:servers!server={server.user}/{server.name}"


def service_scope(name: str) -> str:
    """The scope that opens one service in a browser."""
    return f"access:services!service={name}"
