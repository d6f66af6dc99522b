"""Making the first admins, so that their passwords are known to nobody but them.

Each gets a set-up link, with which they choose a password in the browser, once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from appliance.client.hub import HubClient
from appliance.errors import ApplianceError, NotFound
from appliance.names import Username


@dataclass(frozen=True, slots=True)
class SetupLink:
    """A link for an admin without a password; `path` begins with the base URL."""

    name: Username
    path: str
    expires_at: str


class FirstAdmins:
    """Makes admins at a hub; whoever is one already keeps everything."""

    def __init__(self, hub: HubClient) -> None:
        self._hub = hub

    def count(self) -> int:
        """How many admins the hub knows."""
        return int(self._hub.status()["users"]["admins"])

    def ensure(self, names: Iterable[Username]) -> list[SetupLink]:
        """Make each name an admin; links for those who have no password yet."""
        links = [self._ensure(name) for name in names]
        return [link for link in links if link]

    def _ensure(self, name: Username) -> SetupLink | None:
        made = self._hub.add_users([name], admin=True, generate=False)
        try:
            found = self._hub.user(name)
        except NotFound as err:
            why = "; ".join(skipped["why"] for skipped in made["skipped"])
            raise ApplianceError(f"cannot make {name!r} an admin", why=why) from err
        if not found["admin"]:
            self._hub.set_admin(name, admin=True)
        if found["appliance"]["state"] == "waiting":
            self._hub.approve(name)
        if found["appliance"]["has_password"]:
            return None
        link = self._hub.make_link(name)
        return SetupLink(name, link["path"], link["expires_at"])
