"""The proxy's part of services: which address leads to which of them.

A service of the configuration whose address is in numbers, or is a socket, stands in nginx's own
configuration. nginx would have to look up any other when it starts, and not start when that fails;
and services made through the API come and go. All those are reached through a socket of the hub's
(`hub/service_relay.py`), and where there is none, the hub has the page that says so.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from appliance.config.schema import Config
from appliance.names import SERVICE_NAME_PATTERN
from appliance.places import Places
from appliance.proxy.headers import NOT_FROM_SERVERS, SERVERS_WINDOWS
from appliance.proxy.routing import quote

RELAY: Final = "relay"
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class ServiceRoute:
    """A service in nginx's configuration; `scheme` and `server` as nginx has them."""

    number: int
    name: str
    scheme: str
    server: str

    @property
    def route(self) -> str:
        return f"service-{self.number}"

    @property
    def upstream(self) -> str:
        return f"appliance_service_{self.number}"


def service_routes(config: Config) -> list[ServiceRoute]:
    """The services that nginx reaches by itself."""
    found = []
    for number, (name, service) in enumerate(sorted(config.services.items())):
        place = _fixed_place(service.url or "")
        if place:
            found.append(ServiceRoute(number, name, *place))
    return found


def _fixed_place(url: str) -> tuple[str, str] | None:
    """Scheme and server of an address that needs no look-up, None for any other."""
    parts = urlsplit(url)
    if parts.scheme == "http+unix":
        return "http", f"unix:{unquote(parts.netloc)}"
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    shown = f"[{address}]" if address.version == 6 else str(address)
    return parts.scheme, f"{shown}:{parts.port or _PORTS[parts.scheme]}"


def service_patterns(config: Config) -> list[tuple[str, str]]:
    """Lines of the map from raw paths to routes."""
    base = re.escape(config.base_url)
    known = [
        (rf"~^{base}services/{re.escape(one.name)}/", one.route) for one in service_routes(config)
    ]
    return [*known, (rf"~^{base}services/(?<appliance_service>{SERVICE_NAME_PATTERN})/", RELAY)]


def service_upstreams(config: Config) -> str:
    return "\n".join(
        f"upstream {one.upstream} {{\n    server {quote(one.server)} max_fails=0;\n}}"
        for one in service_routes(config)
    )


def service_locations(config: Config, places: Places, *, body: str, upstream: str) -> str:
    """A location for each service, and one for those that the hub relays; `body` has what all
    share that pass on requests as they are."""
    base = config.base_url
    ways = [
        (one.route, f"{one.scheme}://{one.upstream}", f"{base}services/{one.name}/")
        for one in service_routes(config)
    ]
    relay = f"http://unix:{places.service_sockets}/$appliance_service.sock:"
    ways.append((RELAY, relay, f"{base}services/$appliance_service/"))
    hidden = "\n".join(f"    proxy_hide_header {name};" for name in NOT_FROM_SERVERS)
    return "".join(
        f"""\
location = /-{route} {{
    internal;
    proxy_pass {quote(f"{target}$request_uri")};
{body}
{upstream}
{hidden}
    {SERVERS_WINDOWS}
    # A service sets cookies for itself alone.
    proxy_cookie_path ~^ {quote(prefix)};
    proxy_cookie_domain ~. "";
    # Nobody answers there: the hub has the page that says so.
    error_page 502 504 = @hub;
}}
"""
        for route, target, prefix in ways
    )
