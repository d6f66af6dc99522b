"""What scopes allow, in words for people who are asked to grant them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from appliance.access.scopes import HIERARCHY

# What stands in braces depends on the scope's filter: see `_places`.
WORDS: Final[Mapping[str, str]] = {
    "self": "Do all that you may do with your own account and servers",
    "inherit": "Do all that you may do",
    "admin-ui": "Open the admin pages",
    "admin:users": "Make, change and remove {account}",
    "admin:auth_state": "See what the log-in stores about {account}",
    "users": "See and change {account}",
    "read:users": "See {whose} name, groups and last activity",
    "list:users": "Find {account} in the list of users",
    "users:activity": "Report when {account} and {servers} were used",
    "read:users:name": "See {whose} user name",
    "read:users:groups": "See {whose} groups",
    "read:users:activity": "See when {account} was last used",
    "read:roles": "See who has which roles",
    "read:roles:users": "See {whose} roles",
    "read:roles:services": "See which roles {services} has",
    "read:roles:groups": "See which roles {groups} has",
    "delete:users": "Remove {account}",
    "admin:servers": "Start, stop and look into {servers}",
    "admin:server_state": "See the state and the log of {servers}",
    "servers": "See, start and stop {servers}",
    "read:servers": "See {servers} and how they do",
    "start:servers": "Start {servers}",
    "delete:servers": "Stop and forget {servers}",
    "tokens": "See, make and revoke {whose} API tokens",
    "read:tokens": "See the list of {whose} API tokens",
    "admin:groups": "Make, change and remove {groups}",
    "groups": "See {groups} and change who is in it",
    "read:groups": "See {groups} and who is in it",
    "list:groups": "Find {groups} in the list of groups",
    "read:groups:name": "See the name of {groups}",
    "delete:groups": "Remove {groups}",
    "admin:services": "Make, change and remove {services}",
    "list:services": "Find {services} in the list of services",
    "read:services": "See {services} with its settings",
    "read:services:name": "See the name of {services}",
    "read:hub": "See which version the hub has",
    "access:servers": "Use {servers}: read and change files, run programs",
    "access:services": "Use {services} in your name",
    "shares": "Use {servers} and share them with others",
    "read:shares": "See with whom {servers} are shared",
    "users:shares": "See and give up what others share with {whom}",
    "groups:shares": "See and give up what is shared with {groups}",
    "read:users:shares": "See what others share with {whom}",
    "read:groups:shares": "See what is shared with {groups}",
    "classroom": "Run {groups} as a class: see, add and approve people, make passwords, give and "
    "collect files",
    "proxy": "See and change the proxy's routes",
    "shutdown": "Shut the hub down",
    "read:metrics": "Read the hub's metrics",
}
_FOR_EVERYTHING: Final = {
    "whose": "everybody's",
    "account": "everybody's account",
    "servers": "everybody's servers",
    "whom": "everybody",
    "groups": "every group",
    "services": "every service",
}


def in_words(
    scopes: Iterable[str],
    *,
    reader: str,
    custom: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """A sentence for each scope, without those that another one of them says already.

    `custom` are the configuration's own scopes with their descriptions.
    """
    written = sorted(set(scopes))
    said = {part for scope in written for part in _contained(scope)}
    told = [_sentence(scope, reader, custom) for scope in written if scope not in said]
    return list(dict.fromkeys(told))


def _sentence(scope: str, reader: str, custom: Mapping[str, str]) -> str:
    name, mark, bound = scope.partition("!")
    pattern = WORDS.get(name)
    if pattern is None:
        return custom.get(name) or scope
    kind, _, value = bound.partition("=")
    return pattern.format_map(_places(kind, value, reader) if mark else _FOR_EVERYTHING)


def _places(kind: str, value: str, reader: str) -> dict[str, str]:
    """What a filter makes of the places in a sentence; `!user` alone is the reader's own."""
    own = _of_person(reader, reader)
    if kind == "group":
        members = f"“{value}” members"
        return {
            **_possessions(f"{members}'"),
            "whom": members,
            "groups": f"the group “{value}”",
            "services": "every service",
        }
    if kind == "service":
        return {**own, "services": f"the service “{value}”" if value else "itself"}
    owner, _, server = value.partition("/")
    found = _of_person(owner or reader, reader)
    if kind == "server":
        whose = found["whose"]
        found["servers"] = f"{whose} server “{server}”" if server else f"{whose} server"
    return found


def _of_person(name: str, reader: str) -> dict[str, str]:
    return {
        **_possessions("your" if name == reader else f"{name}'s"),
        "whom": "you" if name == reader else name,
        "groups": "every group",
        "services": "every service",
    }


def _possessions(whose: str) -> dict[str, str]:
    return {"whose": whose, "account": f"{whose} account", "servers": f"{whose} servers"}


def _contained(scope: str) -> set[str]:
    """All that a scope contains, with the same filter."""
    name, mark, bound = scope.partition("!")
    parts = {f"{part}{mark}{bound}" for part in HIERARCHY.get(name, ())}
    return parts | {deeper for part in parts for deeper in _contained(part)}
