"""Where people find the appliance, as far as the machine itself can know."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from typing import Final

from appliance.config.schema import Config
from appliance.places import Places

# Addresses of documentation (RFC 5737, RFC 3849): connecting a datagram socket sends nothing, it
# only makes Linux choose the address that this machine would be seen with.
_PROBES: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
_USUAL: Final = {"http": 80, "https": 443}
_EVERY: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared, bound nowhere
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})


def root_urls(config: Config, places: Places) -> list[str]:
    """http(s)://HOST[:PORT], the likeliest first; paths of the hub's go behind it as they are."""
    https = config.https
    if https.is_on and https.names:
        names = [name for name in https.names if name != config.http.content_host]
        return [_root("https", name, https.port) for name in names or https.names]
    address = config.http.host or config.http.address
    if places.trial and address in _EVERY | _LOOPBACK:
        hosts = ["localhost"]
    else:
        hosts = own_addresses() if address in _EVERY else [address]
    if https.is_on:
        return [_root("https", host, https.port) for host in hosts]
    return [_root("http", host, config.http.port) for host in hosts]


def _root(scheme: str, host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" + ("" if port == _USUAL[scheme] else f":{port}")


def own_addresses() -> list[str]:
    """This machine's addresses as others see them; its name when it has none."""
    found = []
    for family, probe in _PROBES:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as one:
            one.connect((probe, 9))
            found.append(str(one.getsockname()[0]))
    if not found:
        # No route out of here; the addresses of its own network are what counts then.
        with contextlib.suppress(OSError):
            done = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False)
            found = done.stdout.split()
    return found or [socket.gethostname()]
