"""Starting, stopping, listing and watching servers: what the daemon's verbs do.

systemd is the only truth about what runs; kept here is merely which servers are being started or
stopped at this moment, and whose end is still to be told. So a restarted daemon picks everything up
from systemd, and servers don't notice.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from appliance.errors import ApplianceError, SpawnError, SpawnFailed, SpawnRefused, SpawnTimeout
from appliance.names import (
    SERVER_NAME_PATTERN,
    USERNAME_PATTERN,
    ServerId,
    Username,
    server_of_unit,
)
from appliance.places import Places
from appliance.systemd_spawner.accounts import Account, Accounts
from appliance.systemd_spawner.ends import Ends
from appliance.systemd_spawner.environment import server_command, server_environment
from appliance.systemd_spawner.journal import Journal
from appliance.systemd_spawner.properties import (
    STOP_TIMEOUT_SECONDS,
    Property,
    limit_properties,
    service_properties,
)
from appliance.systemd_spawner.results import STOPPED, describe_end, was_killed
from appliance.systemd_spawner.settings import ServerSettings
from appliance.systemd_spawner.sockets import Sockets
from appliance.systemd_spawner.units import BusLostError, SystemdError, UnitExistsError, Units, UnitState

log = logging.getLogger(__name__)

_FAILURE_LOG_LINES: Final = 30
# What systemd may need beyond a unit's own timeouts before a job ends.
_JOB_SLACK_SECONDS: Final = 15
_STOP_WAIT_SECONDS: Final = STOP_TIMEOUT_SECONDS + _JOB_SLACK_SECONDS
_UNWATCHED: Final = "it ended while nobody could watch it"


@dataclass(slots=True)
class _Claim:
    """A server that is being started; `cancelled` once a stop came in between."""

    cancelled: bool = False


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
    ) -> None:
        self._units = units
        self._accounts = accounts
        self._sockets = sockets
        self._journal = journal
        self._places = places
        self._read_settings = read_settings
        self._denied_addresses = denied_addresses
        self._ends = ends
        self._lock = threading.Lock()
        self._claims: dict[ServerId, _Claim] = {}
        self._stopping: set[ServerId] = set()
        self._tracked: set[ServerId] = set()

    # Starting

    def start(self, server: ServerId, token: str) -> None:
        """Return when the server said that it is ready; raise SpawnError with nothing left running."""
        with self._claimed(server) as claim:
            self._refuse_if_running(server)
            settings = self._read_settings()
            account = self._accounts.ensure(server.user)
            with (
                self._socket_only_if_started(server) as listener,
                self._credential(token) as credential,
            ):
                properties = self._properties(
                    server, account, settings, listener.fileno(), credential
                )
                self._start_unit(server, properties, claim, settings)
            with self._lock:
                self._tracked.add(server)
        self.look(server.unit)

    def _properties(
        self,
        server: ServerId,
        account: Account,
        settings: ServerSettings,
        descriptor: int,
        credential: Path,
    ) -> list[Property]:
        home = str(self._accounts.home(account))
        runtime = runtime_directory(server, account.uid)
        return service_properties(
            server,
            account=account.name,
            home=home,
            command=server_command(self._places),
            environment=server_environment(
                server,
                account=account.name,
                home=home,
                runtime_directory=f"/run/{runtime}",
                settings=settings,
                places=self._places,
            ),
            credential=str(credential),
            socket_descriptor=descriptor,
            runtime_directory=runtime,
            denied_addresses=self._denied_addresses(),
            settings=settings,
            places=self._places,
        )

    def _start_unit(
        self,
        server: ServerId,
        properties: list[Property],
        claim: _Claim,
        settings: ServerSettings,
    ) -> None:
        if claim.cancelled:
            raise SpawnFailed(_cannot_start(server), why=STOPPED)
        timeout = settings.servers_start_timeout + _STOP_WAIT_SECONDS
        try:
            result = self._units.start(server.unit, properties, timeout=timeout)
        except UnitExistsError as err:
            raise _runs_already(server) from err
        except TimeoutError:
            result = "timeout"
        except BusLostError:
            result = self._settle(server.unit, timeout)
        except SystemdError as err:
            raise SpawnRefused(
                _cannot_start(server),
                why=f"systemd refused {server.unit}: {err}",
                mend="journalctl -u appliance-spawner",
            ) from err
        state = self._units.state(server.unit)
        if result == "done" and state and state.active == "active" and not claim.cancelled:
            return
        self._fail_start(server, state, result=result, claim=claim, settings=settings)

    def _settle(self, unit: str, timeout: float) -> str:
        """Find out how a start ended whose job was lost with the connection."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with suppress(BusLostError):
                state = self._units.state(unit)
                if state is None or state.ended:
                    return "failed"
                if state.active == "active":
                    return "done"
            time.sleep(0.5)
        return "timeout"

    def _fail_start(
        self,
        server: ServerId,
        state: UnitState | None,
        *,
        result: str,
        claim: _Claim,
        settings: ServerSettings,
    ) -> None:
        """Clean up after a start that didn't work out, and raise what is to be told."""
        if state is not None and not state.ended:
            self._units.stop(server.unit, timeout=_STOP_WAIT_SECONDS)
        if claim.cancelled:
            why = STOPPED
        elif state is None or (result == "timeout" and not state.ended):
            why = f"systemd did not finish the start (its job: {result})"
        else:
            why, _ = self._describe(server, state, settings)
        lines = tuple(self._journal.read(server.unit, _FAILURE_LOG_LINES, sync=True))
        self._units.release(server.unit)
        timed_out = result == "timeout" or (state is not None and state.result == "timeout")
        error = SpawnTimeout if timed_out else SpawnFailed
        raise error(
            _cannot_start(server),
            why=why,
            mend="try again; if it happens again, an admin can read the server's log",
            log=lines,
        )

    def _describe(
        self, server: ServerId, state: UnitState, settings: ServerSettings | None
    ) -> tuple[str, bool]:
        out_of_memory = was_killed(state) and self._journal.ran_out_of_memory(
            server.unit, state.invocation
        )
        return describe_end(state, out_of_memory=out_of_memory, settings=settings)

    def _refuse_if_running(self, server: ServerId) -> None:
        deadline = time.monotonic() + 5
        while True:
            state = self._units.state(server.unit)
            if state is None:
                return
            if not state.ended or time.monotonic() > deadline:
                raise _runs_already(server)
            # An ended unit that nobody has read yet; systemd forgets it in its next round.
            self.look(server.unit, claimed=True)
            self._units.release(server.unit)
            time.sleep(0.02)

    @contextmanager
    def _claimed(self, server: ServerId) -> Iterator[_Claim]:
        claim = _Claim()
        with self._lock:
            if server in self._claims:
                raise SpawnRefused(_cannot_start(server), why="it is being started already")
            self._claims[server] = claim
        try:
            yield claim
        finally:
            with self._lock:
                del self._claims[server]

    @contextmanager
    def _socket_only_if_started(self, server: ServerId) -> Iterator[socket.socket]:
        """The server's listening socket, gone again, as is the unit, if anything goes wrong."""
        try:
            with self._sockets.open(server) as listener:
                yield listener
        except OSError as err:
            self._sockets.remove(server)
            raise SpawnRefused(
                _cannot_start(server),
                why=str(err),
                mend=f"see whether {self._places.run} is full or was changed by hand",
            ) from err
        except ApplianceError:
            self._sockets.remove(server)
            raise
        except SystemdError as err:
            # How far it came is unknown, so make sure that it came nowhere.
            self._sockets.remove(server)
            with suppress(SystemdError, TimeoutError):
                self._units.stop(server.unit, timeout=_STOP_WAIT_SECONDS)
            raise SpawnFailed(
                _cannot_start(server), why=f"systemd: {err}", mend="try again in a minute"
            ) from err

    @contextmanager
    def _credential(self, token: str) -> Iterator[Path]:
        """A file that only root can read, there just as long as systemd needs to take it over."""
        folder = credentials_folder(self._places)
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / secrets.token_hex(16)
        path.touch(mode=0o600, exist_ok=False)
        try:
            path.write_text(token)
            yield path
        finally:
            path.unlink(missing_ok=True)

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
            self._units.stop(server.unit, timeout=_STOP_WAIT_SECONDS)
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

    def forget_user(self, user: Username) -> None:
        """Stop what the user runs, retire the account, close the home."""
        with self._lock:
            starting = {server for server in self._claims if server.user == user}
        running = {server for server in self._running() if server.user == user}
        for server in sorted(starting | running):
            self.stop(server)
        self._accounts.retire(user)
        self._sockets.forget(user)

    # Looking

    def list(self) -> list[dict[str, Any]]:
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
                }
            )
        return rows

    def log(self, server: ServerId, lines: int) -> list[str]:
        """The last lines in the journal of the server's units, past ones too."""
        return self._journal.read(server.unit, lines)

    def apply_limits(self) -> int:
        """Put the limits of spawner.json on every running server; how many there are."""
        properties = limit_properties(self._read_settings())
        refused = []
        running = self._running()
        for server in running:
            try:
                self._units.set_properties(server.unit, properties)
            except SystemdError as err:
                state = self._units.state(server.unit)
                if state is not None and not state.ended:
                    refused.append(f"{server}: {err}")
        if refused:
            raise SpawnFailed(
                f"cannot change the limits of {len(refused)} of {len(running)} running servers",
                why="; ".join(refused[:5]),
                mend="journalctl -u appliance-spawner; stop and start these servers",
            )
        return len(running)

    def _running(self) -> dict[ServerId, str]:
        try:
            listing = self._units.listing()
        except SystemdError as err:
            raise SpawnError(
                "cannot list the servers",
                why=f"systemd: {err}",
                mend="systemctl status dbus; journalctl -u appliance-spawner",
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
        reason, failed = STOPPED, False
        if not stopped:
            reason, failed = self._explain(server, state)
        if state is not None:
            self._units.release(server.unit)
        log.info("server of %s ended: %s", server, reason)
        self._ends.publish(
            {
                "event": "exited",
                "user": server.user,
                "server": server.name,
                "reason": reason,
                "failed": failed,
            }
        )

    def _explain(self, server: ServerId, state: UnitState | None) -> tuple[str, bool]:
        if state is None:
            return _UNWATCHED, True
        try:
            settings = self._read_settings()
        except SpawnRefused:
            settings = None
        return self._describe(server, state, settings)


def credentials_folder(places: Places) -> Path:
    """Where tokens wait for systemd to take them over."""
    return places.run / "credentials"


def runtime_directory(server: ServerId, uid: int) -> str:
    """Below /run, short: a kernel's socket in it may have 107 bytes, of which its own name takes 49."""
    name = f"appliance-user/{uid}"
    if server.name:
        name += f".{hashlib.sha256(server.name.encode()).hexdigest()[:8]}"
    return name


def server_of(unit: str) -> ServerId | None:
    """The server a unit runs, None for a unit that only looks like one of ours."""
    server = server_of_unit(unit)
    if server is None or not re.fullmatch(USERNAME_PATTERN, server.user):
        return None
    if server.name and not re.fullmatch(SERVER_NAME_PATTERN, server.name):
        return None
    return server


def _cannot_start(server: ServerId) -> str:
    return f"cannot start the server of '{server}'"


def _runs_already(server: ServerId) -> SpawnRefused:
    return SpawnRefused(_cannot_start(server), why="it runs already")
