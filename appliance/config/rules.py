"""What must hold between settings, where each alone is right: names that must be known, or differ.

Every fault has the place of the setting that is at fault, so that the file's line can be named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from appliance.config.schema import Config, ProxyProgram
from appliance.scope_names import why_unknown

ADMIN: Final = "admin"
BUILT_IN: Final = frozenset({"user", ADMIN, "teacher", "server", "token"})
"""Roles that are there anyway, and that the appliance gives to whom they are for."""

_MEMBERS: Final = ("users", "groups", "services")
_INHERIT: Final = "inherit"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong, and where: names from the top, and for an item of a list its number."""

    path: tuple[str, ...]
    text: str


def find_faults(config: Config) -> list[Fault]:
    """Everything that is wrong between the settings of a configuration."""
    return [
        *_roles(config),
        *_custom_scopes(config),
        *_services(config),
        *_second_factors(config),
        *_https(config),
        *_host_names(config),
    ]


def find_hints(config: Config) -> list[str]:
    """What is allowed, and most likely a slip: a service may come later, or by the API."""
    return [
        f"roles.{name}.services has {service}, which is not in services; the role waits for it"
        for name, role in config.roles.items()
        for service in role.services
        if service not in config.services
    ]


def _roles(config: Config) -> Iterator[Fault]:
    for name, role in config.roles.items():
        path = ("roles", name)
        if name == ADMIN and role.scopes:
            yield Fault((*path, "scopes"), "can't be changed: this role always allows everything")
            continue
        if name in BUILT_IN:
            yield from _built_in_members(config, name)
            # A file that was written by a program has every line, and means nothing by it.
            if name != ADMIN and "scopes" in role.model_fields_set and not role.scopes:
                yield Fault(
                    (*path, "scopes"),
                    "must have at least one scope; leave the line out for the usual ones",
                )
        yield from _unknown_scopes(config, (*path, "scopes"), role.scopes)
        if name != "token":
            for number, scope in enumerate(role.scopes):
                if scope.partition("!")[0] == _INHERIT:
                    yield Fault(
                        (*path, "scopes", str(number)),
                        "inherit is what tokens have of their owner; only the role token may "
                        "have it",
                    )


def _built_in_members(config: Config, name: str) -> Iterator[Fault]:
    who = {
        "user": "everybody has this role",
        ADMIN: "admins have this role: appliance user admin NAME; a service: services.NAME.admin",
        "server": "every server's own token has this role",
        "token": "tokens have this role unless told otherwise",
    }
    for kind in _MEMBERS:
        if getattr(config.roles[name], kind):
            yield Fault(("roles", name, kind), f"can't be given to anybody: {who[name]}")


def _unknown_scopes(
    config: Config, path: tuple[str, ...], scopes: Iterable[str]
) -> Iterator[Fault]:
    for number, scope in enumerate(scopes):
        why = why_unknown(scope, config.custom_scopes)
        if why:
            yield Fault((*path, str(number)), why)


def _custom_scopes(config: Config) -> Iterator[Fault]:
    contained: dict[str, list[str]] = {}
    for name, scope in config.custom_scopes.items():
        path = ("custom_scopes", name, "subscopes")
        contained[name] = []
        for number, part in enumerate(scope.subscopes):
            place = (*path, str(number))
            if part in config.custom_scopes:
                contained[name].append(part)
            elif not part.startswith("custom:"):
                yield Fault(place, f"must be a custom scope such as {name}, found {part[:100]!r}")
            else:
                yield Fault(place, why_unknown(part, config.custom_scopes))
    for name, part in _circles(contained):
        way = "" if part == name else f", by way of {part}"
        yield Fault(("custom_scopes", name, "subscopes"), f"leads back to {name}{way}")


def _circles(contained: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    """Each circle once, as who closes it and what it leads back by; without recursion, for a file
    may have a long chain."""
    done: set[str] = set()
    for start in contained:
        way = {start: iter(contained[start])} if start not in done else {}
        while way:
            name = next(reversed(way))
            part = next(way[name], None)
            if part is None:
                done.add(name)
                del way[name]
            elif part in way:
                yield name, part
            elif part not in done:
                way[part] = iter(contained[part])


def _services(config: Config) -> Iterator[Fault]:
    clients: dict[str, str] = {}
    secrets: dict[str, str] = {}
    for name, service in config.services.items():
        path = ("services", name)
        scopes = service.oauth_client_allowed_scopes
        yield from _unknown_scopes(config, (*path, "oauth_client_allowed_scopes"), scopes)
        client = service.oauth_client_id or f"service-{name}"
        if client in clients:
            yield Fault(
                (*path, "oauth_client_id"),
                f"must differ from that of the service {clients[client]}, which is {client}, too",
            )
        clients.setdefault(client, name)
        secret = service.api_token.get_secret_value() if service.api_token else ""
        if secret and secret in secrets:
            yield Fault(
                (*path, "api_token"), f"must differ from that of the service {secrets[secret]}"
            )
        secrets.setdefault(secret, name)


def _host_names(config: Config) -> Iterator[Fault]:
    """With HTTPS both names must be in the certificate, or browsers warn of one of them."""
    if config.http.content_host and config.proxy.program is not ProxyProgram.NGINX:
        yield Fault(("http", "content_host"), "can't be set with another proxy.program than nginx")
    for setting in ("host", "content_host"):
        name = getattr(config.http, setting)
        if name and config.https.is_on and name not in config.https.names:
            yield Fault(
                ("http", setting),
                f"must be one of https.names, which are {', '.join(config.https.names) or 'none'}",
            )


def _second_factors(config: Config) -> Iterator[Fault]:
    known = {"user", ADMIN, "teacher"} | (set(config.roles) - BUILT_IN)
    for number, name in enumerate(config.passwords.second_factor_roles):
        if name not in known:
            yield Fault(
                ("passwords", "second_factor_roles", str(number)),
                f"must be a role that people have, such as {', '.join(sorted(known))}; "
                f"found {name!r}",
            )


def _https(config: Config) -> Iterator[Fault]:
    if not config.https.is_on:
        return
    if config.https.port == config.http.port:
        yield Fault(
            ("https", "port"),
            f"must differ from http.port, which is {config.http.port}, too",
        )
    if config.proxy.program is ProxyProgram.CONFIGURABLE:
        yield Fault(
            ("https", "mode"),
            "must be off while proxy.program is configurable-http-proxy, which does HTTPS itself",
        )
