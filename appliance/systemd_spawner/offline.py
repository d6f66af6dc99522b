"""Whose servers have no network: kept until the hub says otherwise, put on units, and looked after.

Where the kernel filters packets by unit, servers that run lose and regain their network at once.
Elsewhere one that is started meanwhile gets a network of its own in which there is nothing, and one
that runs has to be started anew; the hub is told which.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Final

from appliance.names import ServerId, Username
from appliance.systemd_spawner.accounts import write_atomically
from appliance.systemd_spawner.properties import Property, denied_property
from appliance.systemd_spawner.units import SystemdError, Units

log = logging.getLogger(__name__)

# The daemon's own unit, which has IPAccounting=yes and may not use the network either.
OWN_UNIT: Final = "appliance-spawner.service"
_ANY: Final = [(int(socket.AF_INET), b"\0" * 4, 0), (int(socket.AF_INET6), b"\0" * 16, 0)]
# systemd takes an empty list for "forget the earlier ones".
_FORGET: Final = Property("IPAddressDeny", "a(iayu)", [])
_DENY_ALL: Final = (
    # systemd counts packets only where it filters them: so one can see that it does.
    Property("IPAccounting", "b", value=True),
    _FORGET,
    Property("IPAddressDeny", "a(iayu)", _ANY),
)
_NOTHING_THERE: Final = Property("PrivateNetwork", "b", value=True)


class Offline:
    """Every method may be called from any thread."""

    def __init__(
        self, path: Path, *, units: Units, denied_addresses: Callable[[], list[str]]
    ) -> None:
        self._path = path
        self._units = units
        self._denied_addresses = denied_addresses
        self._lock = threading.Lock()
        self._users = _read(path)

    def includes(self, user: Username) -> bool:
        """Whether a user's servers have no network; if that can't be known, it is so."""
        with self._lock:
            return self._users is None or user in self._users

    def set(self, users: Collection[Username]) -> None:
        """From now on it is these and nobody else; raises OSError with nothing changed."""
        wanted = frozenset(users)
        with self._lock:
            if wanted != self._users:
                write_atomically(self._path, json.dumps(sorted(wanted)).encode())
                self._users = wanted

    def at_start(self, user: Username) -> list[Property]:
        """What a unit that is about to start gets besides; later ones win."""
        if not self.includes(user):
            return []
        return list(_DENY_ALL) if self._is_filtering() else [*_DENY_ALL, _NOTHING_THERE]

    def apply(self, servers: Iterable[ServerId]) -> dict[str, list[str]]:
        """Put it on servers that run; the answer is which of them it isn't in force for.

        `open` have a network that they should not have, `cut` none though they may have one.
        """
        is_filtering = self._is_filtering()
        found: dict[str, list[str]] = {"open": [], "cut": []}
        for server in servers:
            wanted = self.includes(server.user)
            try:
                is_private = self._units.flag(server.unit, "PrivateNetwork")
                if not is_private:
                    self._units.set_properties(server.unit, self._live(wanted=wanted))
            except SystemdError as err:
                state = self._units.state(server.unit)
                if state is None or state.ended:
                    continue
                log.warning("cannot change the network of %s: %s", server, err)
                is_private = not wanted
            if wanted and not (is_private or is_filtering):
                found["open"].append(server.user)
            elif is_private and not wanted:
                found["cut"].append(server.user)
        return {name: sorted(set(users)) for name, users in found.items()}

    def _live(self, *, wanted: bool) -> list[Property]:
        if wanted:
            return list(_DENY_ALL)
        return [_FORGET, denied_property(self._denied_addresses())]

    def _is_filtering(self) -> bool:
        """Whether the kernel keeps the daemon itself from the network, and so servers too."""
        try:
            return self._units.counts_packets(OWN_UNIT)
        except SystemdError as err:
            log.warning("cannot see whether packets are filtered: %s", err)
            return False


def _read(path: Path) -> frozenset[Username] | None:
    """None if it is damaged: then nobody has a network until the hub tells who may."""
    try:
        return frozenset(Username(str(name)) for name in json.loads(path.read_bytes()))
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError, TypeError) as err:
        log.warning("cannot read %s, so no server has a network: %s", path, err)
        return None
