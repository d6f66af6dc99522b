"""nginx's configuration as one text, from the settings alone.

Routing needs no table: a server that listens has a socket at a known path, and every request whose
socket isn't there goes to the hub, which offers to start the server. How addresses map to sockets
is in routing.py, how requests are passed on in passing.py, which headers pass in headers.py; this
file joins them. Written for nginx 1.22 and newer.
"""

from __future__ import annotations

import importlib.resources
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.config.schema import Config, ProxyProgram
from appliance.errors import ConfigError, Problem
from appliance.places import Places
from appliance.proxy.headers import CLOSED, CLOSED_MAPS, cookie_maps
from appliance.proxy.hosts import host_maps, to_other_host
from appliance.proxy.listening import listen_lines, trusted_maps
from appliance.proxy.passing import (
    SERVER_BODY,
    UPSTREAM,
    USERS_SERVER,
    to_hub,
    to_server,
    to_service,
    upload_to_hub,
)
from appliance.proxy.routing import quote, route_map
from appliance.proxy.services import service_locations, service_patterns, service_upstreams
from appliance.proxy.static_files import StaticRoots
from appliance.proxy.static_locations import HUB_FRESHNESS, static_locations
from appliance.proxy.tls import (
    challenge_routes,
    own_ca_routes,
    tls_locations,
    tls_maps,
    tls_server,
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What the text depends on and the settings don't say."""

    ipv6: bool = True
    gzip_static: bool = True
    """nginx was built with the module, as Debian's is."""
    user: str = ""
    """The account of nginx's workers where root starts it; empty: root doesn't."""
    certificate: Path | None = None
    """A file with certificates and key (certificates.py), if HTTPS is on."""


DEBIAN: Final = Machine()


def render(
    config: Config, places: Places, *, static: StaticRoots, machine: Machine = DEBIAN
) -> str:
    """nginx.conf; raises ConfigError for what nginx could not be told."""
    _check_paths(places)
    if config.https.is_on and machine.certificate is None:
        raise _problem("", "https.mode: there is no certificate yet")
    for root in (static.lab, static.notebook, static.extensions, static.hub, machine.certificate):
        if root:
            _literal(root)
    parts = [
        _head(places, machine),
        "http {",
        _indent(_http(config, places, static)),
        _indent(_public_server(config, places, static, machine)),
        _indent(_api_server(places)),
        "}",
    ]
    return "\n".join(parts) + "\n"


def _head(places: Places, machine: Machine) -> str:
    user = f"user {machine.user};\n" if machine.user else ""
    return f"""\
# Made from config.yaml by `appliance config`; changes here are lost.
{user}worker_processes {1 if places.trial else "auto"};
pid {quote(str(places.run / "proxy" / "nginx.pid"))};
error_log stderr notice;
# Open notebooks keep the process that had them before a reload; it ends when they do.
worker_shutdown_timeout 24h;

events {{
    worker_connections {1000 if places.trial else 8000};
}}
"""


def _http(config: Config, places: Places, static: StaticRoots) -> str:
    temporary = places.state / "proxy"
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "\n".join(f"{kind}_temp_path {quote(str(temporary / kind))};" for kind in kinds)
    return f"""\
{TYPES}
{folders}
server_tokens off;
sendfile on;
tcp_nopush on;
absolute_redirect off;
recursive_error_pages on;
# There are more variables than nginx has room for unless it is told.
variables_hash_max_size 2048;
variables_hash_bucket_size 128;

{_access_log(config, places)}
{_patience(config)}
{route_map(config.base_url, static, _further_routes(config))}

map $appliance_named $appliance_named_folder {{
    default {quote(f"{places.server_sockets}/$appliance_user/$appliance_named")};
    "" {quote(f"{places.server_sockets}/.none")};
}}

map $request_method $appliance_refused_method {{
    default 1;
    "~^(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$" 0;
}}

{HUB_FRESHNESS}
# Of all protocols to change to, only websockets.
map $http_upgrade $appliance_upgrade {{
    default "";
    "~*^websocket$" websocket;
}}
map $appliance_upgrade $appliance_connection {{
    default close;
    websocket upgrade;
}}

{cookie_maps()}
{CLOSED_MAPS}
{trusted_maps(config, places)}
{tls_maps(config)}
{host_maps(config)}
upstream appliance_hub {{
    server {quote(f"unix:{places.hub_socket}")};
    keepalive 8;
}}
{service_upstreams(config)}
"""


def _access_log(config: Config, places: Places) -> str:
    log = "/dev/stdout" if places.trial else SYSLOG
    with_secrets = f"{re.escape(config.base_url)}hub/(?:api/authorizations|join)/"
    return f"""\
# Addresses have tokens in their query, and join codes and what old clients send in the path, so
# neither log has them: the access log by this map, the error log by being off inside servers (nginx
# puts the whole request into every message).
map $request_uri $appliance_logged_path {{
    {quote(f"~^(?<appliance_old>{with_secrets})")} $appliance_old;
    {quote("~^(?<appliance_path>[^?]*)")} $appliance_path;
}}
map "$status $request_uri" $appliance_logged {{
    default 1;
    {quote(f"~^[123].. {re.escape(config.base_url)}(?:user/|hub/static/|hub/health)")} 0;
}}
log_format appliance '$remote_addr "$request_method $appliance_logged_path" '
                     '$status $body_bytes_sent $request_time';
access_log {log} appliance if=$appliance_logged;
"""


def _further_routes(config: Config) -> list[tuple[str, str]]:
    return [*challenge_routes(), *own_ca_routes(config), *service_patterns(config)]


def _patience(config: Config) -> str:
    # configurable-http-proxy keeps connections, and must let go of them before nginx does.
    told = " 60s" if config.proxy.program is ProxyProgram.CONFIGURABLE else ""
    return f"""\
# Who may not keep a worker waiting.
client_header_timeout 15s;
client_body_timeout 60s;
send_timeout 120s;
keepalive_timeout 75s{told};
reset_timedout_connection on;
large_client_header_buffers 4 16k;
client_body_buffer_size 1m;
limit_conn_zone $binary_remote_addr zone=appliance_addresses:4m;
limit_conn_status 429;
"""


SYSLOG: Final = "syslog:server=unix:/run/systemd/journal/dev-log,nohostname,tag=appliance_proxy"

TYPES: Final = """\
types {
    text/css css;
    text/html html;
    text/javascript js mjs;
    application/json json map;
    application/wasm wasm;
    image/svg+xml svg;
    image/png png;
    font/woff woff;
    font/woff2 woff2;
    font/ttf ttf;
    application/vnd.ms-fontobject eot;
}
default_type application/octet-stream;
"""


def _public_server(config: Config, places: Places, static: StaticRoots, machine: Machine) -> str:
    base = config.base_url
    sockets = places.server_sockets
    root = f"location = /-root {{\n    return 302 {quote(base)};\n}}\n" if base != "/" else ""
    return f"""\
server {{
{_indent(listen_lines(config, places, ipv6=machine.ipv6))}
    server_name _;
    error_log stderr emerg;
    limit_conn appliance_addresses {500 if places.trial else 4000};
{_indent(CLOSED)}
{_indent(tls_server(config, machine.certificate))}
    if ($appliance_route = bad) {{
        return 400;
    }}
    if ($appliance_refused_method) {{
        return 405;
    }}
{_indent(to_other_host(config))}\
    set $appliance_socket {quote(f"{sockets}/$appliance_user/default.sock")};
    set $appliance_prefix {quote(f"{base}user/$appliance_user/")};
    # nginx sees directories, not sockets; a named server has a directory of its own.
    if (-d $appliance_named_folder) {{
        set $appliance_socket {quote("$appliance_named_folder/sock")};
        set $appliance_prefix {quote(f"{base}user/$appliance_user/$appliance_named/")};
    }}
    # From here on only our own names are looked at, never the path that was sent.
    rewrite ^ /-$appliance_route last;

    location = /-server {{
        internal;
{_indent(to_server(), 8)}
    }}
    location @server {{
{_indent(to_server(), 8)}
    }}
{_indent(static_locations(static, gzip_static=machine.gzip_static))}
    location = /-hub {{
        internal;
{_indent(to_hub(), 8)}
        error_page 502 504 = @hub_down;
        error_page 413 = @too_large;
    }}
    location = /-upload {{
{_indent(upload_to_hub(), 8)}
        error_page 502 504 = @hub_down;
    }}
    location = /-api_upload {{
{_indent(upload_to_hub(), 8)}
        error_page 502 504 = @api_down;
    }}
    location = /-api {{
        internal;
{_indent(to_hub(), 8)}
        error_page 502 504 = @api_down;
    }}
{_indent(tls_locations(places))}
{_indent(_service_locations(config, places))}
    location @hub {{
{_indent(to_hub(body=SERVER_BODY), 8)}
        error_page 502 504 = @hub_down;
    }}
{_indent(root)}{_indent(_down_locations())}}}
"""


def _service_locations(config: Config, places: Places) -> str:
    return service_locations(
        config, places, body=_indent(to_service()), upstream=_indent(UPSTREAM.rstrip())
    )


def _down_locations() -> str:
    """What is said where nobody can be asked, or nothing is passed on."""
    pages = importlib.resources.files("appliance.proxy")
    down, too_large = (
        pages.joinpath(name).read_text("utf-8") for name in ("hub_down.html", "too_large.html")
    )
    answer = '{"status": 503, "message": "The hub is starting; try again in a moment."}'
    return "".join(
        f"""\
location @{name} {{
    default_type {kind};
    {"add_header Retry-After 4 always;" if status == "503" else ""}
    add_header Cache-Control no-store always;
{_indent(CLOSED)}\
    return {status} {quote(text)};
}}
"""
        for name, status, kind, text in (
            ("hub_down", "503", '"text/html; charset=utf-8"', down),
            ("api_down", "503", "application/json", answer),
            ("too_large", "413", '"text/html; charset=utf-8"', too_large),
        )
    )


def _api_server(places: Places) -> str:
    """For single-user servers: the hub's API, by token; a cookie has no business here."""
    return f"""\
server {{
    listen {quote(f"unix:{places.api_socket}")};
    server_name _;
    error_log stderr emerg;
    if ($appliance_route !~ ^api) {{
        return 404;
    }}
    if ($appliance_refused_method) {{
        return 405;
    }}
    rewrite ^ /-$appliance_route last;
    location = /-api_upload {{
{_indent(upload_to_hub(headers=USERS_SERVER), 8)}
        error_page 502 504 = @api_down;
    }}
    location = /-api {{
        internal;
{_indent(to_hub(headers=USERS_SERVER), 8)}
        error_page 502 504 = @api_down;
    }}
{_indent(_down_locations())}}}
"""


def _check_paths(places: Places) -> None:
    for path in (places.run, places.state):
        _literal(path)
        if ":" in str(path):
            raise _problem("", f"{path} has a ':' in it, which nginx takes for the end of a socket")


def _literal(path: Path) -> str:
    if "$" in str(path) or not str(path).isprintable():
        raise _problem("", f"{path} has characters in it that nginx can't be told")
    return str(path)


def _problem(place: str, text: str) -> ConfigError:
    return ConfigError([Problem(place, text)])


def _indent(text: str, width: int = 4) -> str:
    return textwrap.indent(text, " " * width)
