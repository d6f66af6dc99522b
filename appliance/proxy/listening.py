"""At which addresses nginx takes connections, and whom it believes about where they come from."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from appliance.config.schema import Config
from appliance.places import Places
from appliance.proxy.routing import quote


def listen_lines(config: Config, places: Places, *, ipv6: bool) -> str:
    """The addresses and ports of nginx's one public server."""
    lines = [_listen_at(config.http.address, config.http.port, "", ipv6=ipv6)]
    if config.https.is_on:
        lines.append(_listen_at(config.http.address, config.https.port, "ssl ", ipv6=ipv6))
    if config.http.socket:
        # Here and not for all of nginx: users' servers come by a unix socket, too, and whom they
        # say they are is nobody's business. What is said here replaces what is said there.
        lines += [f"listen {quote(f'unix:{places.front_socket}')};", "set_real_ip_from unix:;"]
        lines += [_believe_forwarded(config)]
    return _lines(lines)


def _listen_at(address: str, port: int, kind: str, *, ipv6: bool) -> str:
    options = f"{kind}default_server so_keepalive=on"
    if address:
        parsed = ipaddress.ip_address(address)
        shown = f"[{parsed}]" if parsed.version == 6 else str(parsed)
        return f"listen {shown}:{port} {options};"
    both = [f"listen 0.0.0.0:{port} {options};"]
    if ipv6:
        both.append(f"listen [::]:{port} ipv6only=on {options};")
    return "\n".join(both)


def _believe_forwarded(config: Config) -> str:
    networks = [_network(text) for text in config.http.trusted_proxies]
    lines = [f"set_real_ip_from {network};" for network in networks]
    return _lines([*lines, "real_ip_header X-Forwarded-For;", "real_ip_recursive on;"])


def trusted_maps(config: Config, places: Places) -> str:
    """Who the client is, and whether it came by https, as a web server in front says if trusted."""
    networks = [_network(text) for text in config.http.trusted_proxies]
    if not networks and not config.http.socket:
        return "map $scheme $appliance_scheme {\n    default $scheme;\n}\n"
    front = f"    {quote(f'unix:{places.front_socket}')} 1;" if config.http.socket else ""
    return f"""\
{_believe_forwarded(config)}
geo $realip_remote_addr $appliance_from_network {{
    default 0;
{_lines(f"    {network} 1;" for network in networks)}
}}
map $server_addr $appliance_from_front {{
    default $appliance_from_network;
{front}
}}
map "$appliance_from_front $http_x_forwarded_proto" $appliance_scheme {{
    default $scheme;
    "~*^1 (?:http|ws)s(?:,|$)" https;
    "~*^1 (?:http|ws)(?:,|$)" http;
}}
"""


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text, strict=False))


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(lines)
