"""What another web server in front needs: websockets, large files, and who the visitor is."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Final


class Front(StrEnum):
    """Web servers that there are snippets for."""

    NGINX = "nginx"
    APACHE = "apache"
    CADDY = "caddy"


_NGINX: Final = """\
# /etc/nginx/conf.d/hub.conf; then: sudo nginx -t && sudo systemctl reload nginx
map $http_upgrade $hub_connection {{
    default upgrade;
    "" close;
}}
server {{
    listen 443 ssl;
    listen [::]:443 ssl;
    server_name {name};
    ssl_certificate     /etc/ssl/{name}.crt;
    ssl_certificate_key /etc/ssl/private/{name}.key;

    client_max_body_size 512m;
    location / {{
        proxy_pass {target};
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        # Kernels and terminals are websockets; progress and messages are streams.
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $hub_connection;
        proxy_buffering off;
        proxy_request_buffering off;
        proxy_read_timeout 1d;
        proxy_send_timeout 1d;
    }}
}}
server {{
    listen 80;
    listen [::]:80;
    server_name {name};
    return 308 https://$host$request_uri;
}}
"""

_APACHE: Final = """\
# /etc/apache2/sites-available/hub.conf; then:
#   sudo a2enmod ssl proxy proxy_http headers && sudo a2ensite hub && sudo systemctl reload apache2
# Apache 2.4.47 or newer (Debian 11 and later).
<VirtualHost *:443>
    ServerName {name}
    SSLEngine on
    SSLCertificateFile    /etc/ssl/{name}.crt
    SSLCertificateKeyFile /etc/ssl/private/{name}.key

    LimitRequestBody 536870912
    AllowEncodedSlashes NoDecode
    ProxyPreserveHost On
    ProxyTimeout 86400
    RequestHeader set X-Forwarded-Proto expr=%{{REQUEST_SCHEME}}
    # Kernels and terminals are websockets (upgrade=); addresses go on as they came (nocanon).
    ProxyPass        / {target}/ nocanon upgrade=websocket flushpackets=on
    ProxyPassReverse / {target}/
</VirtualHost>
<VirtualHost *:80>
    ServerName {name}
    Redirect 308 / https://{name}/
</VirtualHost>
"""

_CADDY: Final = """\
# /etc/caddy/Caddyfile; then: sudo systemctl reload caddy
# Caddy gets the certificate by itself, and passes on websockets and X-Forwarded-For, -Proto, -Host.
{name} {{
    request_body {{
        max_size 512MB
    }}
    reverse_proxy {target} {{
        flush_interval -1
    }}
}}
"""

_TEXTS: Final = {Front.NGINX: _NGINX, Front.APACHE: _APACHE, Front.CADDY: _CADDY}


def snippet(front: Front, name: str, *, to: str | Path) -> str:
    """The configuration of a web server that has the name, and passes on to our socket on the same
    machine, or to HOST:PORT on another."""
    ways = {
        Front.NGINX: ("http://unix:{}", "http://{}"),
        Front.APACHE: ("unix:{}|http://localhost", "http://{}"),
        Front.CADDY: ("unix/{}", "{}"),
    }
    target = ways[front][0 if isinstance(to, Path) else 1].format(to)
    return _TEXTS[front].format(name=name, target=target)


def settings_for(address: str) -> list[tuple[str, str]]:
    """What to set here when that server is on this machine (empty) or at another address.

    On this machine it comes by a unix socket: at a port, every user's program could come as well,
    and say that it is somebody else.
    """
    if not address:
        return [("http.socket", "true"), ("http.address", "127.0.0.1"), ("http.port", "8000")]
    return [("http.trusted_proxies", address)]
