"""The roles of one configuration."""

from __future__ import annotations

from appliance.access.roles import Role, Roles
from appliance.config.schema import Config


def configured_roles(config: Config) -> Roles:
    """The built-in roles, as the configuration changes them, and its own."""
    usual = Roles()
    roles = []
    for name, role in config.roles.items():
        before = usual.find(name)
        # Where nothing is said of a built-in role's scopes or description, it keeps them.
        roles.append(
            Role(
                name=name,
                description=role.description or (before.description if before else ""),
                scopes=tuple(role.scopes) or (before.scopes if before else ()),
                users=frozenset(role.users),
                groups=frozenset(role.groups),
                services=frozenset(role.services),
            )
        )
    custom = {name: tuple(scope.subscopes) for name, scope in config.custom_scopes.items()}
    return Roles(roles, custom=custom)
