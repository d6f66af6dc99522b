"""What scopes allow, in words for people who are asked to grant them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from appliance.access.scopes import HIERARCHY
from appliance.texts import Text, say

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
_EVERY: Final = {"groups": say("every group"), "services": say("every service")}
_FOR_EVERYTHING: Final = {
    "whose": say("everybody's"),
    "account": say("everybody's account"),
    "servers": say("everybody's servers"),
    "whom": say("everybody"),
    **_EVERY,
}
_OWN: Final = {
    "whose": say("your"),
    "account": say("your account"),
    "servers": say("your servers"),
    "whom": say("you"),
    **_EVERY,
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
    return Text.of(pattern, {**(_places(kind, value, reader) if mark else _FOR_EVERYTHING)})


def _places(kind: str, value: str, reader: str) -> dict[str, str]:
    """What a filter makes of the places in a sentence; `!user` alone is the reader's own."""
    if kind == "group":
        return {
            **_EVERY,
            "whose": say("“{group}” members'", group=value),
            "account": say("“{group}” members' account", group=value),
            "servers": say("“{group}” members' servers", group=value),
            "whom": say("“{group}” members", group=value),
            "groups": say("the group “{group}”", group=value),
        }
    if kind == "service":
        one = say("the service “{service}”", service=value) if value else say("itself")
        return {**_OWN, "services": one}
    owner, _, server = value.partition("/")
    owner = owner or reader
    found = _of_person(owner, reader)
    if kind == "server":
        found["servers"] = _one_server(owner, server, reader)
    return found


def _of_person(name: str, reader: str) -> dict[str, str]:
    if name == reader:
        return {**_OWN}
    return {
        **_EVERY,
        "whose": say("{name}'s", name=name),
        "account": say("{name}'s account", name=name),
        "servers": say("{name}'s servers", name=name),
        "whom": name,
    }


def _one_server(owner: str, server: str, reader: str) -> str:
    if owner == reader:
        return say("your server “{server}”", server=server) if server else say("your server")
    if server:
        return say("{name}'s server “{server}”", name=owner, server=server)
    return say("{name}'s server", name=owner)


def _contained(scope: str) -> set[str]:
    """All that a scope contains, with the same filter."""
    name, mark, bound = scope.partition("!")
    parts = {f"{part}{mark}{bound}" for part in HIERARCHY.get(name, ())}
    return parts | {deeper for part in parts for deeper in _contained(part)}
