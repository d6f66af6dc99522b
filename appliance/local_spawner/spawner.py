"""Fulfils `interfaces.Spawner` with child processes of the hub, for trial mode."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from appliance.config.schema import Config
from appliance.errors import SpawnFailed, SpawnRefused, SpawnTimeout
from appliance.interfaces import Exited, Running, Started, StartRequest
from appliance.limits import Told
from appliance.local_spawner.class_files import local_keeper
from appliance.local_spawner.process import ServerProcess
from appliance.local_spawner.usage import read_usage
from appliance.names import ServerId, Username
from appliance.places import Places
from appliance.systemd_spawner.class_client import ClassFilesClient
from appliance.systemd_spawner.environment import server_environment
from appliance.systemd_spawner.programs import check_program, server_command
from appliance.systemd_spawner.protocol import parse_request
from appliance.systemd_spawner.settings import ServerSettings, read_settings
from appliance.systemd_spawner.sockets import Sockets

# How this machine reaches the network is for its user's servers too.
_PASSED_ON: Final = (
    "LD_LIBRARY_PATH",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "TZ",
    *(
        name
        for word in ("http", "https", "no")
        for name in (f"{word}_proxy", f"{word}_proxy".upper())
    ),
)
_LOG_BYTES: Final = 64 * 1024
_FAILURE_LOG_LINES: Final = 30


@dataclass(slots=True)
class _Server:
    process: ServerProcess
    started: datetime
    ready: bool = False
    stopping: bool = False


class LocalSpawner(ClassFilesClient):
    """Servers of this process; they end with it. Classes' files are worked on in its threads."""

    holds_limits = False

    def __init__(self, config: Config, places: Places, *, command: list[str] | None = None) -> None:
        super().__init__()
        self._settings = ServerSettings.from_config(config.model_dump(mode="json"))
        self._places = places
        self._command = command
        self._classes = local_keeper(places)
        self._sockets = Sockets(places.server_sockets, proxy_group=os.getgid())
        self._servers: dict[ServerId, _Server] = {}
        self._starting: set[ServerId] = set()
        self._ends: asyncio.Queue[Exited] = asyncio.Queue()
        self._followers: set[asyncio.Task[None]] = set()

    async def start(self, server: ServerId, request: StartRequest) -> Started:
        """Return when the server said it is ready; raise SpawnError, with nothing left running."""
        if server in self._starting or server in self._servers:
            raise SpawnRefused(_cannot_start(server), why="it runs already")
        self._starting.add(server)
        try:
            await self._start(server, request)
        except OSError as err:
            raise SpawnFailed(
                _cannot_start(server),
                why=str(err),
                mend=f"see whether the disk is full and {self._places.run} can be written",
            ) from err
        finally:
            self._starting.discard(server)
            if server not in self._servers:
                self._sockets.remove(server)
        return Started()

    async def _start(self, server: ServerId, request: StartRequest) -> None:
        settings = self._read_settings()
        command = self._command_for(settings.servers_program)
        home = self._ensure_folder(self._places.homes / server.user)
        await asyncio.to_thread(self._classes.settle, server.user)
        self._ensure_folder(self._places.run)
        with self._sockets.open(server) as listener:
            # Short, because kernels' sockets are in it, and their paths may have 107 bytes.
            folder = self._ensure_folder(self._places.run / "s" / secrets.token_hex(4))
            environment = server_environment(
                server,
                account=getpass.getuser(),
                home=str(home),
                runtime_directory=str(self._ensure_folder(folder / "r")),
                settings=settings,
                places=self._places,
            )
            passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
            process = await ServerProcess.launch(
                command,
                folder=folder,
                token=request.token,
                environment=passed_on | environment,
                home=home,
                listener=listener,
                log=self._log_file(server),
            )
        entry = _Server(process, datetime.now(UTC))
        self._servers[server] = entry
        try:
            await self._wait_until_ready(server, entry, settings)
        except BaseException:
            # Cancelled, too: nothing may be left running.
            del self._servers[server]
            await asyncio.shield(process.stop())
            raise
        follower = asyncio.create_task(self._follow(server, entry), name=f"server {server}")
        self._followers.add(follower)
        follower.add_done_callback(self._followers.discard)

    def _command_for(self, program: str) -> list[str]:
        if self._command:
            return self._command
        check_program(program, self._places.user_environment)
        return server_command(self._places, program)

    async def _wait_until_ready(
        self, server: ServerId, entry: _Server, settings: ServerSettings
    ) -> None:
        seconds = settings.servers_start_timeout
        try:
            entry.ready = await entry.process.wait_until_ready(seconds)
        except TimeoutError as err:
            raise SpawnTimeout(
                _cannot_start(server),
                why=f"it did not get ready within {seconds} seconds and was stopped",
                log=tuple(self._read_log(server, _FAILURE_LOG_LINES)),
            ) from err
        if not entry.ready:
            reason = "it was stopped" if entry.stopping else _describe(await entry.process.wait())
            raise SpawnFailed(
                _cannot_start(server),
                why=reason,
                log=tuple(self._read_log(server, _FAILURE_LOG_LINES)),
            )

    async def _follow(self, server: ServerId, entry: _Server) -> None:
        status = await entry.process.wait()
        # A stop and a new start may have come first.
        if self._servers.get(server) is entry:
            del self._servers[server]
            self._sockets.remove(server)
        if entry.stopping:
            self._ends.put_nowait(Exited(server, "it was stopped", failed=False, cause="stopped"))
        else:
            cause = "exit" if status > 0 else "signal" if status else "finished"
            self._ends.put_nowait(Exited(server, _describe(status), status != 0, cause))

    async def stop(self, server: ServerId) -> None:
        """Return when it is gone."""
        entry = self._servers.get(server)
        if entry is None:
            return
        entry.stopping = True
        self._sockets.remove(server)
        await entry.process.stop()
        if self._servers.get(server) is entry and entry.ready:
            del self._servers[server]

    async def running(self) -> dict[ServerId, Running]:
        """Every server that runs now."""
        found = {}
        for server, entry in self._servers.items():
            usage = read_usage(entry.process.pid)
            found[server] = Running(
                server=server,
                ready=entry.ready,
                started=entry.started,
                memory_bytes=usage.memory_bytes,
                cpu_seconds=usage.cpu_seconds,
                tasks=usage.tasks,
            )
        return found

    async def exits(self) -> AsyncIterator[Exited]:
        """Ends of servers as they happen."""
        while True:
            yield await self._ends.get()

    async def log(self, server: ServerId, *, lines: int) -> list[str]:
        """The last lines of the server's log file, oldest first."""
        return self._read_log(server, lines)

    async def forget_user(self, user: Username) -> None:
        """Stop the user's servers; put the home where no later user of the name gets it."""
        for server in [server for server in self._servers if server.user == user]:
            await self.stop(server)
        home = self._places.homes / user
        if home.is_dir():
            # No user name begins with a dot.
            retired = self._ensure_folder(self._places.homes / ".retired")
            home.rename(retired / f"{user}.{time.time_ns()}")
        self._classes.forget_user(user)
        self._sockets.forget(user)

    async def rename_user(self, user: Username, new: Username) -> None:
        """Give the home to the new name."""
        what = f"cannot rename the user '{user}'"
        if any(server.user in (user, new) for server in (*self._servers, *self._starting)):
            raise SpawnRefused(what, why="a server is running", mend="stop it first")
        home, wanted = self._places.homes / user, self._places.homes / new
        if home.is_dir():
            if wanted.exists():
                raise SpawnRefused(
                    what, why=f"{wanted} is there already", mend="choose another name"
                )
            home.rename(wanted)
        self._classes.rename_user(user, new)
        self._sockets.forget(user)

    async def set_limits(self, people: Mapping[Username, Told]) -> None:
        """There are no limits here."""

    async def apply_limits(self) -> None:
        """Without systemd there is nothing that could hold a server to a limit."""

    async def ask(
        self, message: dict[str, Any], *, seconds: float, descriptor: int = -1
    ) -> dict[str, Any]:
        """What the root daemon answers elsewhere: here it is done by a thread."""
        request = parse_request(json.dumps(message).encode())
        return await asyncio.to_thread(self._classes.carry_out, request, descriptor)

    def _read_settings(self) -> ServerSettings:
        rendered = self._places.rendered / "spawner.json"
        return read_settings(rendered) if rendered.exists() else self._settings

    def _log_file(self, server: ServerId) -> Path:
        folder = self._ensure_folder(self._places.logs)
        return folder / f"{server.unit.removesuffix('.service')}.log"

    def _read_log(self, server: ServerId, lines: int) -> list[str]:
        try:
            with self._log_file(server).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_BYTES))
                content = file.read()
        except FileNotFoundError:
            return []
        return content.decode(errors="replace").splitlines()[-lines:]

    def _ensure_folder(self, folder: Path) -> Path:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder


def _describe(status: int) -> str:
    if status == 0:
        return "it ended by itself"
    if status > 0:
        return f"its process ended with exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"its process was ended by {name}"


def _cannot_start(server: ServerId) -> str:
    return f"cannot start the server of '{server}'"
