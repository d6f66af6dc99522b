"""Starting, stopping, listing and watching servers: what the daemon's verbs do.

systemd is the only truth about what runs; kept here is merely which servers are being started or
stopped at this moment, and whose end is still to be told. So a restarted daemon picks everything up
from systemd, and servers don't notice.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from appliance.errors import SpawnError, SpawnFailed, SpawnRefused
from appliance.limits import Told
from appliance.names import (
    SERVER_NAME_PATTERN,
    USERNAME_PATTERN,
    ServerId,
    Username,
    server_of_unit,
)
from appliance.places import Places
from appliance.systemd_spawner.accounts import Accounts
from appliance.systemd_spawner.causes import Causes
from appliance.systemd_spawner.class_files import ClassFilesKeeper
from appliance.systemd_spawner.ends import Ends
from appliance.systemd_spawner.journal import Journal
from appliance.systemd_spawner.offline import Offline
from appliance.systemd_spawner.properties import limit_properties
from appliance.systemd_spawner.results import STOPPED
from appliance.systemd_spawner.settings import ServerSettings
from appliance.systemd_spawner.sockets import Sockets
from appliance.systemd_spawner.starter import (
    STOP_WAIT_SECONDS,
    Starter,
    cannot_start,
    credentials_folder,
    does_not_end,
    runs_already,
)
from appliance.systemd_spawner.status_text import StartedHow
from appliance.systemd_spawner.told import ToldStore
from appliance.systemd_spawner.units import SystemdError, Units, UnitState

log = logging.getLogger(__name__)

# How long systemd may take to forget an ended unit that stands in the way of a new one.
_FORGET_SECONDS: Final = 5.0


@dataclass(slots=True)
class _Claim:
    """A server that is being started; `cancelled` once a stop came in between."""

    cancelled: bool = False
    finished: threading.Event = field(default_factory=threading.Event)


class Servers:
    """All single-user servers of this machine; every method may be called from any thread."""

    def __init__(
        self,
        *,
        units: Units,
        accounts: Accounts,
        sockets: Sockets,
        journal: Journal,
        places: Places,
        read_settings: Callable[[], ServerSettings],
        denied_addresses: Callable[[], list[str]],
        ends: Ends,
        classes: ClassFilesKeeper | None = None,
    ) -> None:
        told = ToldStore(places.run / "limits.json")
        causes = Causes(journal=journal, read_settings=read_settings, told=told)
        self._units = units
        self._accounts = accounts
        self._sockets = sockets
        self._journal = journal
        self._causes = causes
        self._places = places
        self._read_settings = read_settings
        self._ends = ends
        self._offline = Offline(
            places.spawner_state / "offline.json", units=units, denied_addresses=denied_addresses
        )
        self._starter = Starter(
            units=units,
            accounts=accounts,
            sockets=sockets,
            causes=causes,
            places=places,
            read_settings=read_settings,
            denied_addresses=denied_addresses,
            told=told,
            offline=self._offline,
            classes=classes,
        )
        self._told = told
        self._classes = classes
        self._lock = threading.Lock()
        self._claims: dict[ServerId, _Claim] = {}
        self._stopping: set[ServerId] = set()
        self._tracked: set[ServerId] = set()

    # Starting

    def start(self, server: ServerId, token: str, told: Told | None = None) -> StartedHow:
        """Return when the server is ready; raise SpawnError with nothing left running.

        `told` is what the hub tells of the user anew.
        """
        with self._claimed(server) as claim:
            self._refuse_if_running(server)
            if told is not None:
                self._told.keep({server.user: told}, active=self._active())
            how = self._starter.start(server, token, is_cancelled=lambda: claim.cancelled)
            with self._lock:
                self._tracked.add(server)
        self.look(server.unit)
        return how

    def _refuse_if_running(self, server: ServerId) -> None:
        deadline = time.monotonic() + _FORGET_SECONDS
        while True:
            state = self._units.state(server.unit)
            if state is None:
                return
            if not state.ended:
                raise runs_already(server)
            if time.monotonic() > deadline:
                raise does_not_end(server)
            # An ended unit that nobody has read yet; systemd forgets it in its next round.
            self.look(server.unit, claimed=True)
            self._units.release(server.unit)
            time.sleep(0.02)

    @contextmanager
    def _claimed(self, server: ServerId) -> Iterator[_Claim]:
        claim = _Claim()
        with self._lock:
            if server in self._claims:
                raise SpawnRefused(cannot_start(server), why="it is being started already")
            self._claims[server] = claim
        try:
            yield claim
        finally:
            with self._lock:
                del self._claims[server]
            claim.finished.set()

    # Stopping

    def stop(self, server: ServerId) -> None:
        """Return when the server is gone; also breaks off its start."""
        with self._lock:
            claim = self._claims.get(server)
            if claim is not None:
                claim.cancelled = True
            self._stopping.add(server)
        try:
            # First, so that new requests get the hub's page and not a server that is going down.
            self._sockets.remove(server)
            self._units.stop(server.unit, timeout=STOP_WAIT_SECONDS)
            if claim is not None:
                self._await_cancelled(server, claim)
            self.look(server.unit)
        except (SystemdError, TimeoutError) as err:
            raise SpawnFailed(
                f"cannot stop the server of '{server}'",
                why=f"systemd: {err or 'its job did not end in time'}",
                mend=f"systemctl kill --signal=KILL '{server.unit}'",
            ) from err
        finally:
            with self._lock:
                self._stopping.discard(server)

    def _await_cancelled(self, server: ServerId, claim: _Claim) -> None:
        """Until the start is over, so that the next one isn't refused because of it."""
        deadline = time.monotonic() + STOP_WAIT_SECONDS
        while not claim.finished.wait(0.2) and time.monotonic() < deadline:
            # The unit may have been made just after the first stop.
            self._units.stop(server.unit, timeout=STOP_WAIT_SECONDS)

    def forget_user(self, user: Username) -> None:
        """Stop what the user runs, retire the account, close the home."""
        with self._lock:
            starting = {server for server in self._claims if server.user == user}
        running = {server for server in self._running() if server.user == user}
        for server in sorted(starting | running):
            self.stop(server)
        self._accounts.retire(user)
        if self._classes is not None:
            self._classes.forget_user(user)
        self._told.forget(user)
        self._sockets.forget(user)

    def rename_user(self, user: Username, new: Username) -> None:
        """Let the account be the new name's; sockets and units are made from names when needed."""
        with self._lock:
            starting = set(self._claims)
        for server in sorted(starting | self._running().keys()):
            if server.user in (user, new):
                raise SpawnRefused(
                    f"cannot rename the user '{user}'",
                    why=f"the server of '{server}' is running",
                    mend="stop it first",
                )
        self._accounts.rename(user, new)
        if self._classes is not None:
            self._classes.rename_user(user, new)
        self._sockets.forget(user)

    # Looking

    def listing(self) -> list[dict[str, Any]]:
        """Every server that runs now, straight from systemd."""
        rows = []
        for server, active in sorted(self._running().items()):
            usage = self._units.usage(server.unit)
            if usage is None:
                continue
            rows.append(
                {
                    "user": server.user,
                    "server": server.name,
                    "ready": active == "active",
                    "started": datetime.fromtimestamp(usage.started, UTC).isoformat(),
                    "memory_bytes": usage.memory,
                    "memory_limit_bytes": usage.memory_max,
                    "cpu_seconds": usage.cpu_seconds,
                    "tasks": usage.tasks,
                    "cpu_limit": usage.cpu_max,
                    "tasks_limit": usage.tasks_max,
                }
            )
        return rows

    def log(self, server: ServerId, lines: int) -> list[str]:
        """The last lines in the journal of the server's units, past ones too."""
        return self._journal.read(server.unit, lines)

    def set_offline(self, users: Sequence[Username]) -> dict[str, Any]:
        """Take the network from the servers of these users and of nobody else.

        The answer is whose servers must be started anew for it.
        """
        try:
            self._offline.set(users)
        except OSError as err:
            raise SpawnFailed(
                "cannot note who has no network", why=str(err), mend="sudo appliance disk status"
            ) from err
        return self._offline.apply(self._running())

    def set_limits(self, people: Mapping[Username, Told]) -> int:
        """Put new limits on the running servers of some users; how many there are."""
        active = self._active()
        told = {user: one for user, one in people.items() if user in active}
        self._told.keep(told, active=active)
        return self._apply(server for server in self._running() if server.user in people)

    def _active(self) -> set[Username]:
        """Users who have a server, or one that starts."""
        with self._lock:
            return {server.user for server in (*self._tracked, *self._claims)}

    def apply_limits(self) -> int:
        """Put the limits of spawner.json on every running server; how many there are."""
        return self._apply(self._running())

    def _apply(self, servers: Iterable[ServerId]) -> int:
        limits = self._read_settings().limits
        refused = []
        running = list(servers)
        for server in running:
            effective = limits.of(server.user, self._told.find(server.user))
            try:
                self._units.set_properties(server.unit, limit_properties(effective))
            except SystemdError as err:
                state = self._units.state(server.unit)
                if state is not None and not state.ended:
                    refused.append(f"{server}: {err}")
        if refused:
            raise SpawnFailed(
                f"cannot change the limits of {len(refused)} of {len(running)} running servers",
                why="; ".join(refused[:5]),
                mend="sudo appliance logs spawner; stop and start these servers",
            )
        return len(running)

    def _running(self) -> dict[ServerId, str]:
        try:
            listing = self._units.listing()
        except SystemdError as err:
            raise SpawnError(
                "cannot list the servers",
                why=f"systemd: {err}",
                mend="systemctl status dbus; sudo appliance logs spawner",
            ) from err
        running = {}
        for unit, active in listing.items():
            server = server_of(unit)
            if server is not None and active not in ("inactive", "failed"):
                running[server] = active
        return running

    # Watching

    def look(self, unit: str, *, claimed: bool = False) -> None:
        """See whether the unit has ended, and if so tell the watchers why, once."""
        server = server_of(unit)
        if server is None:
            return
        with self._lock:
            if server not in self._tracked or (server in self._claims and not claimed):
                return
        state = self._units.state(unit)
        if state is None or state.ended:
            self._finish(server, state)

    def resync(self) -> None:
        """Agree with systemd after this daemon, dbus or systemd itself was started anew."""
        running = self._running()
        with self._lock:
            claimed = set(self._claims)
            gone = self._tracked - running.keys() - claimed
            self._tracked |= running.keys() - claimed
        for server in running.keys() - claimed:
            with suppress(SystemdError):
                self._units.hold(server.unit)
        for server in gone:
            self._finish(server, self._units.state(server.unit))
        for server in running.keys() - claimed:
            # One may have ended before it was held.
            self.look(server.unit)

    def clean(self) -> None:
        """Remove what a daemon that died left in /run; before the first request is served."""
        self._sockets.clean(self._running())
        folder = credentials_folder(self._places)
        for path in folder.iterdir() if folder.is_dir() else ():
            path.unlink(missing_ok=True)

    def _finish(self, server: ServerId, state: UnitState | None) -> None:
        with self._lock:
            if server not in self._tracked:
                return
            self._tracked.discard(server)
            stopped = server in self._stopping
            if server not in self._claims:
                self._sockets.remove(server)
        end = STOPPED if stopped else self._causes.explain(server, state)
        if state is not None:
            self._units.release(server.unit)
        log.info("server of %s ended: %s", server, end.reason)
        self._ends.publish(
            {
                "event": "exited",
                "user": server.user,
                "server": server.name,
                "reason": end.reason,
                "failed": end.failed,
                "cause": end.cause,
            }
        )


def server_of(unit: str) -> ServerId | None:
    """The server a unit runs, None for a unit that only looks like one of ours."""
    server = server_of_unit(unit)
    if server is None or not re.fullmatch(USERNAME_PATTERN, server.user):
        return None
    if server.name and not re.fullmatch(SERVER_NAME_PATTERN, server.name):
        return None
    return server
