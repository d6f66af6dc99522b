"""nginx's part in HTTPS: ports and ciphers, plain HTTP's way there, and what proves our names.

One server of nginx.conf has both ports, so that nothing is said twice. What a request came by is
`$appliance_scheme` (a trusted web server in front may have taken it by https).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from appliance.config.https_schema import HttpsMode
from appliance.config.schema import Config
from appliance.places import Places
from appliance.proxy.routing import quote

CHALLENGE_PATH: Final = "/.well-known/acme-challenge/"
CA_PATH: Final = "hub/ca.crt"
"""Below the base URL: the certificate of our own authority, for people to take."""

# Mozilla's "intermediate" without the ones that need parameters of their own: every browser of the
# last ten years. Tickets would let whoever steals a key read what was said before.
_STRENGTH: Final = """\
ssl_protocols TLSv1.2 TLSv1.3;
ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305;
ssl_prefer_server_ciphers off;
ssl_session_cache shared:appliance_tls:5m;
ssl_session_timeout 1d;
ssl_session_tickets off;
"""


# A server doesn't know how its visitors come, and sets its cookies the same either way.
_SECURE: Final = """\
map $appliance_scheme $appliance_secure {
    default "";
    https secure;
}
"""


def challenge_routes() -> list[tuple[str, str]]:
    """What proves to an authority that a name is this machine's; there in every mode, since the
    first certificate is asked for by plain HTTP."""
    token = r"(?<appliance_token>[A-Za-z0-9_-]{1,200})"  # noqa: S105 - a pattern
    return [(rf"~^{re.escape(CHALLENGE_PATH)}{token}(?:\?|$)", "challenge")]


def own_ca_routes(config: Config) -> list[tuple[str, str]]:
    """Our own authority's certificate, while we have one in use."""
    if config.https.mode is not HttpsMode.OWN_CA:
        return []
    return [(rf"~^{re.escape(config.base_url + CA_PATH)}(?:\?|$)", "own_ca")]


def tls_maps(config: Config) -> str:
    """Whether a request must come back by HTTPS, to which host, and what browsers remember."""
    https = config.https
    if not https.is_on:
        return f'{_SECURE}map $https $appliance_hsts {{\n    default "";\n}}\n'
    hsts = f"max-age={https.hsts}" if https.hsts else ""
    first = https.names[0] if https.names else "$host"
    hosts = "\n".join(f"    {quote(_bracketed(name))} {quote('$host')};" for name in https.names)
    health = re.escape(f"{config.base_url}hub/health")
    # Our own services ask the API by plain HTTP from this machine, and watchers ask for health.
    spared = r"~^http (?:challenge|own_ca) |^http api (?<appliance_from>\S+) (?P=appliance_from) |"
    spared += rf"^http hub \S+ \S+ {health}(?:\?|$)"
    return f"""\
{_SECURE}\
map $host $appliance_https_host {{
    default {quote(_bracketed(first))};
{hosts}
}}
map "$appliance_scheme $appliance_route $server_addr $realip_remote_addr $request_uri" \
$appliance_to_https {{
    default 0;
    {quote(spared)} 0;
    "~^http (?!bad )" {1 if https.redirect else 0};
}}
map $https $appliance_hsts {{
    default "";
    on {quote(hsts)};
}}
"""


def tls_server(config: Config, certificate: Path | None) -> str:
    """What stands in the server that has both ports, before its locations."""
    if not config.https.is_on or certificate is None:
        return ""
    there = f"https://$appliance_https_host{_port(config)}$request_uri"
    # The file has the certificates and the key, so that a change is whole or not at all.
    return f"""\
ssl_certificate {quote(str(certificate))};
ssl_certificate_key {quote(str(certificate))};
{_STRENGTH}\
# Plain HTTP that was sent to the port for HTTPS.
error_page 497 =308 {quote(there)};
if ($appliance_to_https) {{
    return 308 {quote(there)};
}}
"""


def tls_locations(places: Places) -> str:
    """Where the routes from above lead."""
    found = [
        ("challenge", places.certificates / "challenges", "$appliance_token", "text/plain"),
        ("own_ca", places.certificates, "ca.crt", "application/x-x509-ca-cert"),
    ]
    return "".join(
        f"""\
location = /-{route} {{
    internal;
    types {{ }}
    default_type {kind};
    alias {quote(f"{folder}/{name}")};
}}
"""
        for route, folder, name, kind in found
    )


def _port(config: Config) -> str:
    return "" if config.https.port == 443 else f":{config.https.port}"


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name
