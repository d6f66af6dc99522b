"""The variables by which programs learn of a proxy and of certificate authorities.

curl, pip, uv, git, Python's urllib and requests, and Node read one or the other of these, apt those
of proxies.
Standard library only: the root daemon imports this module too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

AUTHORITIES_FILE: Final = "authorities.pem"
"""In the rendered folder: the system's authorities and those of network.ca_file."""

SYSTEM_AUTHORITIES: Final = "/etc/ssl/certs/ca-certificates.crt"
_ALWAYS_DIRECT: Final = ("localhost", "127.0.0.1", "::1")
AUTHORITY_VARIABLES: Final = (
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
)  # fmt: skip


def proxy_url(proxy: str, user: str, password: str) -> str:
    """The proxy with name and password, as programs want it."""
    if not proxy or not user:
        return proxy
    scheme, _, host = proxy.partition("://")
    return f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{host}"


def outgoing_variables(
    *, proxy: str, direct: Sequence[str], authorities: Path | None
) -> dict[str, str]:
    """Variables for a program that goes to the network; empty if nothing is set."""
    found = {}
    if proxy:
        found = {
            "http_proxy": proxy,
            "https_proxy": proxy,
            "no_proxy": ",".join([*_ALWAYS_DIRECT, *direct]),
        }
        # Some programs read the one spelling, some the other.
        found |= {name.upper(): value for name, value in found.items()}
    if authorities:
        found |= dict.fromkeys(AUTHORITY_VARIABLES, str(authorities))
    return found


def apt_options(variables: Mapping[str, str]) -> list[str]:
    """What apt has to be told besides these variables: it reads those of proxies alone."""
    authorities = variables.get("SSL_CERT_FILE", "")
    if authorities in ("", SYSTEM_AUTHORITIES):
        return []
    return ["-o", f"Acquire::https::CAInfo={authorities}"]
