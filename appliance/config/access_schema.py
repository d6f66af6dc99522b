"""Roles and scopes of the configuration: who may do what, beyond what everybody and admins may.

Whether scopes exist, and whether custom ones fit together, is checked on the whole configuration:
rules.py.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from appliance.config.kinds import Example, Means, Reload, Section, Typed
from appliance.errors import BadRequest
from appliance.names import parse_group_name, parse_username


def check_user(value: str) -> str:
    """Refuse what is no user's name; capitals are for people, and the name is kept in small."""
    try:
        return parse_username(value)
    except BadRequest as error:
        raise PydanticCustomError("not_a_user", "not a user") from error


def check_group(value: str) -> str:
    """Refuse what is no group's name."""
    try:
        return parse_group_name(value)
    except BadRequest as error:
        raise PydanticCustomError("not_a_group", "not a group") from error


RoleName = Annotated[
    str,
    Field(pattern=r"^[a-z][a-z0-9_~.-]{1,253}[a-z0-9]$"),
    Means(
        'a role\'s name such as "teachers": 3 to 255 of a-z, 0-9 and - _ ~ . , a letter first, '
        "a letter or digit last"
    ),
]

CustomScopeName = Annotated[
    str,
    Field(pattern=r"^custom:[a-z0-9][a-z0-9_*:-]+[a-z0-9_*]$", max_length=255),
    Means(
        'a name such as "custom:grades:read": "custom:" and then 3 or more of a-z, 0-9 and - _ * :'
    ),
]

ServiceName = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
    Means(
        'a service\'s name such as "culler": 1 to 64 letters, digits and . _ - , a letter or '
        "digit first"
    ),
]

ScopeText = Annotated[
    str,
    Field(min_length=1, max_length=1000),
    Means('a scope such as "list:users" or "servers!group=class-1"'),
]

User = Annotated[str, AfterValidator(check_user), Means('a user\'s name such as "ada"')]

Group = Annotated[
    str,
    AfterValidator(check_group),
    Means('a group\'s name such as "class-1": up to 255 characters, no slash'),
]

Description = Annotated[str, Field(max_length=2000), Means("text of up to 2000 characters")]


class Role(Section):
    """A set of permissions, and who has it besides what they may do anyway."""

    description: Annotated[Description, Reload.HUB, Example("May see the servers of class 1")] = ""
    """What the role is for; people see it where an app asks for permissions."""

    scopes: Annotated[
        list[ScopeText], Reload.HUB, Example(["list:users", "access:servers!group=class-1"])
    ] = []
    """What the role allows. For `user`, `server` and `token`, which everybody has, it takes the
    place of what they usually allow; `admin` always allows everything."""

    users: Annotated[list[User], Typed.SEPARATED, Reload.HUB, Example(["ada", "grace"])] = []
    """Users who have the role."""

    groups: Annotated[list[Group], Reload.HUB, Example(["teachers"])] = []
    """Groups whose members have the role."""

    services: Annotated[list[ServiceName], Typed.SEPARATED, Reload.HUB, Example(["culler"])] = []
    """Services that have the role."""


class CustomScope(Section):
    """A permission of your own, which services ask for and the appliance only passes on."""

    description: Annotated[Description, Reload.HUB, Example("Read the grades of a course")] = ""
    """What the scope allows, as people read it where an app asks for it."""

    subscopes: Annotated[list[ScopeText], Reload.HUB, Example(["custom:grades:list"])] = []
    """Other custom scopes that this one contains."""
