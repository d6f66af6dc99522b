"""What the hub told of users' groups and limits, kept for as long as their servers may run.

In /run, because after the machine's next start no server runs that it could be about.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from appliance.limits import Told, parse_told
from appliance.names import Username
from appliance.systemd_spawner.accounts import write_atomically

log = logging.getLogger(__name__)

_NOTHING: Final = Told()
_MOST: Final = 20_000
"""Users, and groups of theirs, that are kept besides those who have a server."""


class ToldStore:
    """By user; every method may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._told = _read(path)

    def find(self, user: Username) -> Told:
        """What is known of a user; somebody unknown is in no group."""
        with self._lock:
            return self._told.get(user, _NOTHING)

    def keep(self, people: Mapping[Username, Told], *, active: Collection[Username]) -> None:
        """Remember the latest of some users; of too many, only those who have a server now.

        Else a hub that isn't ours any more could fill the machine's memory by it.
        """
        with self._lock:
            told = {**self._told, **people}
            if sum(1 + len(one.groups) for one in told.values()) > _MOST:
                told = {user: one for user, one in told.items() if user in active}
            self._put(told)

    def forget(self, user: Username) -> None:
        """A later user of that name begins with nothing."""
        with self._lock:
            self._put({name: one for name, one in self._told.items() if name != user})

    def _put(self, told: dict[Username, Told]) -> None:
        if told == self._told:
            return
        self._told = told
        content = json.dumps({user: one.model() for user, one in told.items()})
        try:
            write_atomically(self._path, content.encode())
        except OSError as err:
            # It is in memory; only a daemon that is started anew would miss it.
            log.warning("cannot write %s: %s", self._path, err)


def _read(path: Path) -> dict[Username, Told]:
    try:
        content = json.loads(path.read_bytes())
        return {Username(str(user)): parse_told(one) for user, one in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as err:
        # The hub tells it again with each start, and when it starts itself.
        log.warning("cannot read %s: %s", path, err)
        return {}
