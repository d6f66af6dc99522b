"""What is said at the end: how the first admins get in."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Sequence
from datetime import UTC, datetime

from appliance.client.first_admins import FirstAdmins, SetupLink
from appliance.errors import ApplianceError
from appliance.names import Username, parse_username


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
            "url": f"{root}{link.path}",
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
