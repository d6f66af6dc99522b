"""What is said at the end: where the appliance is, and how its first admins get in."""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from appliance.client.first_admins import FirstAdmins, SetupLink
from appliance.config.schema import Config
from appliance.errors import ApplianceError
from appliance.names import Username, parse_username

# Addresses of documentation (RFC 5737, RFC 3849): connecting a datagram socket sends nothing, it
# only
# makes the kernel choose the address that this machine would be seen with.
_PROBES: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def addresses(config: Config) -> list[str]:
    """The appliance's URLs, the likeliest first."""
    port = "" if config.http.port == 80 else f":{config.http.port}"
    hosts = [config.http.address] if is_one(config.http.address) else own_addresses()
    bracketed = (f"[{host}]" if ":" in host else host for host in hosts)
    return [f"http://{host}{port}{config.base_url}" for host in bracketed]


def is_one(address: str) -> bool:
    return address not in {"", "0.0.0.0", "::"}  # noqa: S104 - compared, bound nowhere


def own_addresses() -> list[str]:
    """This machine's addresses as others see them; its name when it has none."""
    found = []
    for family, probe in _PROBES:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as one:
            one.connect((probe, 9))
            found.append(str(one.getsockname()[0]))
    if not found:
        # No route out of here; the addresses of its own network are what counts then.
        command = ["hostname", "-I"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = done.stdout.split()
    return found or [socket.gethostname()]


def first_admins(names: Sequence[Username], *, known: int) -> list[Username]:
    """Whom to make an admin: who was named, else on a new appliance the person who typed sudo."""
    if names or known:
        return list(names)
    with contextlib.suppress(ApplianceError, KeyError):
        person = os.environ.get("SUDO_USER", "")
        if pwd.getpwnam(person).pw_uid != 0:
            return [parse_username(person)]
    return []


def make_admins(admins: FirstAdmins, names: Sequence[Username]) -> list[SetupLink]:
    """Links for those who still have to choose a password."""
    return admins.ensure(first_admins(names, known=admins.count()))


def link_entries(links: Sequence[SetupLink], root: str) -> list[dict[str, str]]:
    return [
        {
            "name": link.name,
            "url": f"{root.rstrip('/')}{link.path}",
            "lifetime": lifetime(link.expires_at, now=datetime.now(UTC)),
        }
        for link in links
    ]


def lifetime(expires_at: str, *, now: datetime) -> str:
    """How long a link is good, in words."""
    try:
        expires = datetime.fromisoformat(expires_at)
    except ValueError:
        return "a while"
    hours = round((expires - now).total_seconds() / 3600)
    return f"{hours} hours" if hours < 48 else f"{round(hours / 24)} days"
