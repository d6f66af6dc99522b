"""How a request is passed on: to a user's server, to the hub, to a service.

Each text is the inside of a location: limits, patience, and the headers that the other end gets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from appliance.proxy.headers import NOT_FROM_SERVERS, REMOVED, SERVERS_WINDOWS
from appliance.proxy.routing import quote

# jupyter_server refuses larger requests; more need not be kept for it.
SERVER_BODY: Final = "512m"
# Forms, and rosters pasted into one; what the hub itself takes at most.
HUB_BODY: Final = "2m"

BROWSER: Final = {"Connection": "", "Upgrade": "", "Cookie": "$appliance_hub_cookie"}
"""What the hub gets from who comes by the public address."""
USERS_SERVER: Final = {
    "Host": "localhost",
    "X-Forwarded-For": "127.0.0.1",
    "X-Real-IP": "127.0.0.1",
    "X-Forwarded-Host": "localhost",
    "Connection": "",
    "Upgrade": "",
    "Cookie": "",
}
"""What it gets from a user's server: a token, and no cookie, which has no business there."""

# X-Accel-Redirect above all: with it a user's server would choose what nginx does next.
UPSTREAM: Final = """\
proxy_http_version 1.1;
proxy_ignore_headers X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate
    X-Accel-Buffering X-Accel-Charset;
proxy_hide_header X-Accel-Redirect;
proxy_buffering off;
proxy_buffer_size 16k;
proxy_buffers 4 16k;
"""


def to_server() -> str:
    """To the socket that the maps of addresses chose."""
    headers = _sent_on(
        {
            "Upgrade": "$appliance_upgrade",
            "Connection": "$appliance_connection",
            "Cookie": "$appliance_server_cookie",
        }
    )
    hidden = "\n".join(f"proxy_hide_header {name};" for name in NOT_FROM_SERVERS)
    return f"""\
client_max_body_size {SERVER_BODY};
proxy_pass "http://unix:$appliance_socket:$request_uri";
{UPSTREAM}\
{hidden}
{SERVERS_WINDOWS}
# A websocket is silent between two pings, and some cells take a night.
proxy_read_timeout 1d;
proxy_send_timeout 300s;
# A server sets cookies for itself alone, not for the hub or for other servers.
proxy_cookie_path ~^ $appliance_prefix;
proxy_cookie_domain ~. "";
proxy_cookie_flags ~ $appliance_secure;
gzip on;
gzip_comp_level 1;
gzip_min_length 1000;
gzip_proxied any;
gzip_types application/json application/javascript text/javascript
    text/css text/plain image/svg+xml;
{headers}
# No socket, or nobody behind it: the hub has the page that offers to start the server. A named
# location keeps method, body and address.
error_page 502 = @hub;
"""


def to_service() -> str:
    """To a service; its address and what it may answer are in services.py."""
    headers = _sent_on(
        {
            "Upgrade": "$appliance_upgrade",
            "Connection": "$appliance_connection",
            "Cookie": "$appliance_service_cookie",
        }
    )
    return f"""\
client_max_body_size {SERVER_BODY};
proxy_ssl_server_name on;
proxy_read_timeout 1d;
proxy_send_timeout 300s;
{headers}"""


def to_hub(*, body: str = HUB_BODY, headers: Mapping[str, str] = BROWSER) -> str:
    return f"""\
client_max_body_size {body};
proxy_pass "http://appliance_hub$request_uri";
{UPSTREAM}\
# While the hub restarts, systemd holds its socket: requests wait there.
proxy_connect_timeout 60s;
proxy_read_timeout 180s;
{_sent_on(headers)}
"""


def upload_to_hub(*, headers: Mapping[str, str] = BROWSER) -> str:
    """Large files go on to the hub as they come; it knows at once who may send them."""
    return f"""\
internal;
proxy_request_buffering off;
{to_hub(body=SERVER_BODY, headers=headers).rstrip()}
"""


def _sent_on(extra: Mapping[str, str]) -> str:
    headers = {
        "Host": "$http_host",
        "X-Forwarded-For": "$remote_addr",
        "X-Forwarded-Proto": "$appliance_scheme",
        "X-Forwarded-Host": "$http_host",
        "X-Real-IP": "$remote_addr",
        **dict.fromkeys(REMOVED, ""),
        **extra,
    }
    return "\n".join(f"proxy_set_header {name} {quote(value)};" for name, value in headers.items())
