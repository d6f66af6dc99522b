"""One start of a server: account, socket, credential, unit, and cleaning up after a failure."""

from __future__ import annotations

import hashlib
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from appliance.errors import ApplianceError, SpawnFailed, SpawnRefused, SpawnTimeout
from appliance.names import ServerId
from appliance.places import Places
from appliance.systemd_spawner.accounts import Account, Accounts
from appliance.systemd_spawner.causes import Causes
from appliance.systemd_spawner.class_files import ClassFilesKeeper
from appliance.systemd_spawner.environment import server_environment
from appliance.systemd_spawner.offline import Offline
from appliance.systemd_spawner.programs import (
    check_program,
    preloaded_command,
    server_command,
)
from appliance.systemd_spawner.properties import (
    STOP_TIMEOUT_SECONDS,
    Property,
    service_properties,
)
from appliance.systemd_spawner.results import STOPPED
from appliance.systemd_spawner.settings import ServerSettings
from appliance.systemd_spawner.sockets import Sockets
from appliance.systemd_spawner.status_text import StartedHow, parse_status_text
from appliance.systemd_spawner.told import ToldStore
from appliance.systemd_spawner.units import (
    BusLostError,
    SystemdError,
    UnitExistsError,
    Units,
    UnitState,
)

# A unit's own time to stop, and what systemd may need beyond it before a job ends.
STOP_WAIT_SECONDS: Final = STOP_TIMEOUT_SECONDS + 15
_LOG_LINES: Final = 30


class Starter:
    """Starts servers; knows nothing of those that run."""

    def __init__(
        self,
        *,
        units: Units,
        accounts: Accounts,
        sockets: Sockets,
        causes: Causes,
        places: Places,
        read_settings: Callable[[], ServerSettings],
        denied_addresses: Callable[[], list[str]],
        told: ToldStore,
        offline: Offline,
        classes: ClassFilesKeeper | None = None,
    ) -> None:
        self._units = units
        self._accounts = accounts
        self._sockets = sockets
        self._causes = causes
        self._places = places
        self._read_settings = read_settings
        self._denied_addresses = denied_addresses
        self._told = told
        self._offline = offline
        self._classes = classes

    def start(
        self, server: ServerId, token: str, *, is_cancelled: Callable[[], bool]
    ) -> StartedHow:
        """Return when the server is ready; raise SpawnError with nothing left running."""
        settings = self._read_settings()
        check_program(settings.servers_program, self._places.user_environment)
        account = self._accounts.ensure(server.user)
        if self._classes is not None:
            self._classes.settle(server.user)
        with (
            self._socket_unless_failed(server) as listener,
            self._credential(token) as credential,
        ):
            properties = self._properties(
                server,
                account=account,
                settings=settings,
                descriptor=listener.fileno(),
                credential=credential,
            )
            properties += self._offline.at_start(server.user)
            self._start_unit(
                server, properties, settings.servers_start_timeout, is_cancelled=is_cancelled
            )
        return self._how(server.unit)

    def _how(self, unit: str) -> StartedHow:
        """It runs, so that systemd can't be asked at this moment doesn't matter."""
        with suppress(SystemdError):
            return parse_status_text(self._units.status_text(unit))
        return StartedHow()

    def _properties(
        self,
        server: ServerId,
        *,
        account: Account,
        settings: ServerSettings,
        descriptor: int,
        credential: Path,
    ) -> list[Property]:
        home = str(self._accounts.home(account))
        runtime = runtime_directory(server, account.uid)
        limits = settings.limits.of(server.user, self._told.find(server.user))
        command = server_command(self._places, settings.servers_program)
        if settings.forks_servers:
            command = preloaded_command(self._places, command)
        return service_properties(
            server,
            account=account.name,
            home=home,
            command=command,
            environment=server_environment(
                server,
                account=account.name,
                home=home,
                runtime_directory=f"/run/{runtime}",
                settings=settings,
                places=self._places,
                limits=limits,
            ),
            credential=str(credential),
            socket_descriptor=descriptor,
            runtime_directory=runtime,
            denied_addresses=self._denied_addresses(),
            settings=settings,
            limits=limits,
            places=self._places,
            class_groups=self._classes.groups_of(server.user) if self._classes else (),
        )

    def _start_unit(
        self,
        server: ServerId,
        properties: list[Property],
        seconds: int,
        *,
        is_cancelled: Callable[[], bool],
    ) -> None:
        if is_cancelled():
            raise SpawnFailed(cannot_start(server), why=STOPPED.reason)
        timeout = seconds + STOP_WAIT_SECONDS
        try:
            result = self._units.start(server.unit, properties, timeout=timeout)
        except UnitExistsError as err:
            raise runs_already(server) from err
        except TimeoutError:
            result = "timeout"
        except BusLostError:
            result = self._settle(server.unit, timeout)
        except SystemdError as err:
            raise SpawnRefused(
                cannot_start(server),
                why=f"systemd refused {server.unit}: {err}",
                mend="sudo appliance logs spawner",
            ) from err
        state = self._units.state(server.unit)
        if result == "done" and state and state.active == "active" and not is_cancelled():
            return
        self._fail(server, state, result=result, cancelled=is_cancelled())

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

    def _fail(
        self, server: ServerId, state: UnitState | None, *, result: str, cancelled: bool
    ) -> None:
        """Clean up after a start that didn't work out, and raise what is to be told."""
        running = state is not None and not state.ended
        if running:
            self._units.stop(server.unit, timeout=STOP_WAIT_SECONDS)
        if cancelled:
            why = STOPPED.reason
        elif state is None or running:
            why = f"systemd did not finish the start (its job: {result})"
        else:
            why = self._causes.explain(server, state).reason
        lines = self._causes.last_words(server, _LOG_LINES)
        self._units.release(server.unit)
        timed_out = result == "timeout" or (state is not None and state.result == "timeout")
        error = SpawnTimeout if timed_out else SpawnFailed
        raise error(
            cannot_start(server),
            why=why,
            mend="try again; if it happens again, an admin can read the server's log",
            log=lines,
        )

    @contextmanager
    def _socket_unless_failed(self, server: ServerId) -> Iterator[socket.socket]:
        """The server's listening socket, gone again, as is the unit, if anything goes wrong."""
        try:
            with self._sockets.open(server) as listener:
                yield listener
        except OSError as err:
            self._sockets.remove(server)
            raise SpawnRefused(
                cannot_start(server),
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
                self._units.stop(server.unit, timeout=STOP_WAIT_SECONDS)
            raise SpawnFailed(
                cannot_start(server), why=f"systemd: {err}", mend="try again in a minute"
            ) from err

    @contextmanager
    def _credential(self, token: str) -> Iterator[Path]:
        """A file that only root can read, there just until systemd has taken it over."""
        folder = credentials_folder(self._places)
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / secrets.token_hex(16)
        path.touch(mode=0o600, exist_ok=False)
        try:
            path.write_text(token)
            yield path
        finally:
            path.unlink(missing_ok=True)


def credentials_folder(places: Places) -> Path:
    """Where tokens wait for systemd to take them over."""
    return places.run / "credentials"


def runtime_directory(server: ServerId, uid: int) -> str:
    """Below /run, short: kernels' sockets are in it, and a socket's path may have 107 bytes."""
    name = f"appliance-user/{uid}"
    if server.name:
        name += f".{hashlib.sha256(server.name.encode()).hexdigest()[:8]}"
    return name


def cannot_start(server: ServerId) -> str:
    return f"cannot start the server of '{server}'"


def runs_already(server: ServerId) -> SpawnRefused:
    return SpawnRefused(cannot_start(server), why="it runs already")


def does_not_end(server: ServerId) -> SpawnRefused:
    """Linux can't kill what waits for a disk; systemd forgets the unit when that is over."""
    return SpawnRefused(
        cannot_start(server),
        why="a program of its last run has not ended: it waits for a disk or a file server that "
        "doesn't answer",
        mend="try again when it answers; if it never does, an admin can start the machine anew",
    )
