"""Which scopes a client may ask for, and which of them a user's token will hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from appliance.access.principal import Principal
from appliance.access.roles import Roles, server_scope, service_scope
from appliance.access.scopes import Bearer, GroupsOf, no_groups
from appliance.hub.oauth_values import Client
from appliance.names import ServerId, ServerName, Username

# What clients ask for that know no scopes yet: who the user is, which they hear in any case.
_IDENTIFY: Final = "identify"
_INHERIT: Final = "inherit"


def asked_scopes(roles: Roles, asked: Iterable[str]) -> set[str]:
    """Scopes as asked for; a role's name, which old clients send, stands for its scopes."""
    found: set[str] = set()
    for text in asked:
        if text == _IDENTIFY:
            continue
        role = None if not roles.why_unknown(text) else roles.find(text)
        found |= set(role.scopes) if role else {text}
    return found


def may_ask(roles: Roles, client: Client, asked: Iterable[str]) -> bool:
    """Whether a client may ask for these: all of it within what it is allowed."""
    # Anybody: a name that no user has, so that !user means the same on both sides.
    anybody = Bearer(user="!", server=f"{client.owner}/{client.server}", service=client.service)
    allowed = {*client.allowed_scopes, *_always(client, anybody.user)}
    further = asked_scopes(roles, asked) - allowed
    if _INHERIT in further or any(roles.why_unknown(text) for text in further):
        return False
    wanted = roles.expand(further, anybody)
    return wanted.intersect(roles.expand(allowed, anybody), no_groups) == wanted


def granted_scopes(
    roles: Roles,
    client: Client,
    principal: Principal,
    asked: Iterable[str],
    *,
    groups_of: GroupsOf,
) -> list[str]:
    """What a token for this client will hold: what was asked for, as far as the user has it."""
    granted = _always(client, principal.name)
    bearer = Bearer(
        user=principal.name, server=f"{client.owner}/{client.server}", service=client.service
    )
    for text in asked_scopes(roles, asked):
        if text == _INHERIT:
            granted.add(text)
            continue
        wanted = roles.expand([text], bearer)
        common = wanted.intersect(principal.scopes, groups_of)
        bound = "!" not in text or "=" in text
        if wanted.granted and wanted == common and bound:
            granted.add(text)
        else:
            granted |= set(common.listed())
    return sorted(granted)


def _always(client: Client, user: str) -> set[str]:
    """Access to the client itself, and who its bearer is."""
    if client.service:
        access = service_scope(client.service)
    else:
        access = server_scope(ServerId(Username(client.owner), ServerName(client.server)))
    return {access, f"read:users:name!user={user}", f"read:users:groups!user={user}"}
