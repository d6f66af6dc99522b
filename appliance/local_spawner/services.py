"""Fulfils `interfaces.ServiceRunner` with child processes of the hub, for trial mode.

They run as whoever started the trial, are started again when they end, and end with the hub.
"""

from __future__ import annotations

import asyncio
import getpass
import hashlib
import json
import os
import shutil
import signal
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from appliance.config.rendered import dump_json
from appliance.config.schema import Config
from appliance.errors import SpawnFailed, SpawnRefused
from appliance.interfaces import RunningService
from appliance.local_spawner.process import LAUNCHER
from appliance.places import Places
from appliance.systemd_spawner.service_settings import (
    ServiceSettings,
    digest_of,
    read_service,
    service_environment,
)

_PAUSE_SECONDS: Final = 2.0
_STOP_SECONDS: Final = 10.0
# After that many starts in that time it is given up, and the hub tries again some minutes later.
_STARTS: Final = 10
_STARTS_SECONDS: Final = 120.0


@dataclass(slots=True)
class _Service:
    settings: ServiceSettings
    command: Sequence[str]
    environment: Mapping[str, str]
    token_hash: str
    process: asyncio.subprocess.Process
    keeper: asyncio.Task[None] | None = None
    why: str = ""
    """Why it isn't running; "" while it is."""
    given_up: bool = False
    starts: deque[float] = field(default_factory=lambda: deque(maxlen=_STARTS))


class LocalServices:
    """Services of this process; they end with it."""

    def __init__(self, config: Config, places: Places) -> None:
        self._config: dict[str, Any] = json.loads(dump_json(config, secrets=False))
        self._places = places
        self._services: dict[str, _Service] = {}

    async def start(self, service: str, token: str) -> None:
        """Return when its program was started; raises SpawnError."""
        what = f"cannot start the service {service}"
        if service in self._services:
            raise SpawnRefused(what, why="it runs already")
        settings = self._read(service)
        if settings is None:
            raise SpawnRefused(what, why="the configuration has no such service with a command")
        home = self._places.state / "services" / service
        environment = service_environment(
            settings, token=token, home=str(home), account=getpass.getuser(), places=self._places
        )
        program = shutil.which(settings.command[0], path=environment["PATH"])
        if program is None or not Path(program).is_absolute():
            raise SpawnRefused(
                what, why=f"there is no program {settings.command[0]!r} on {environment['PATH']}"
            )
        command = [program, *settings.command[1:]]
        try:
            process = await self._launch(settings, command, environment)
        except OSError as err:
            raise SpawnFailed(what, why=str(err)) from err
        token_hash = hashlib.sha256(token.encode()).hexdigest()
        entry = _Service(settings, command, environment, token_hash, process)
        self._services[service] = entry
        entry.keeper = asyncio.create_task(self._keep(entry), name=f"service {service}")

    async def stop(self, service: str) -> None:
        """Return when it is gone."""
        entry = self._services.pop(service, None)
        if entry is None or entry.keeper is None:
            return
        entry.keeper.cancel()
        await asyncio.wait({entry.keeper})

    async def services(self) -> dict[str, RunningService]:
        """Every service that was started and not stopped."""
        return {name: self._seen(name, entry) for name, entry in self._services.items()}

    def _seen(self, name: str, entry: _Service) -> RunningService:
        now = self._read(name)
        outdated = now is None or digest_of(now, self._places) != digest_of(
            entry.settings, self._places
        )
        state = "failed" if entry.given_up else "starting" if entry.why else "running"
        return RunningService(
            name=name,
            state=state,
            why=entry.why,
            token_hash=entry.token_hash,
            outdated=outdated,
            pid=0 if entry.why else entry.process.pid,
        )

    async def _keep(self, entry: _Service) -> None:
        """Start it again whenever it ends, until that happens too often."""
        try:
            while True:
                entry.starts.append(time.monotonic())
                status = await entry.process.wait()
                _kill_group(entry.process.pid, signal.SIGKILL)
                entry.why = f"its process ended with exit status {status}"
                if (
                    len(entry.starts) == _STARTS
                    and entry.starts[-1] - entry.starts[0] < _STARTS_SECONDS
                ):
                    entry.why = "it ended again and again, soon after each start"
                    entry.given_up = True
                    return
                await asyncio.sleep(_PAUSE_SECONDS)
                try:
                    entry.process = await self._launch(
                        entry.settings, entry.command, entry.environment
                    )
                    entry.why = ""
                except OSError as err:
                    entry.why, entry.given_up = str(err), True
                    return
        finally:
            await _end(entry.process)

    async def _launch(
        self, settings: ServiceSettings, command: Sequence[str], environment: Mapping[str, str]
    ) -> asyncio.subprocess.Process:
        home = self._places.state / "services" / settings.name
        for folder in (home, self._places.logs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = self._places.service_log(settings.name)
        log.touch(mode=0o600)
        launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(os.getpid())]
        with log.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *launcher,
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=home,
                env=dict(environment),
                start_new_session=True,
            )

    def _read(self, name: str) -> ServiceSettings | None:
        rendered = self._places.rendered / "spawner.json"
        if rendered.exists():
            return read_service(rendered, name)
        if not self._config["services"].get(name, {}).get("command"):
            return None
        return ServiceSettings.from_config(self._config, name)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask it to end, and end it with all that it started after a while."""
    if process.returncode is None:
        _kill_group(process.pid, signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
    _kill_group(process.pid, signal.SIGKILL)
    await process.wait()


def _kill_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
