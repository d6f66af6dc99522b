"""Services that the appliance runs: a unit each, which systemd starts again when it ends.

The unit is transient as those of single-user servers are, but nobody watches it: systemd keeps it,
with a pause between two starts and an end to them, and says how it is when somebody asks.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from appliance.errors import SpawnFailed, SpawnRefused
from appliance.names import service_of_unit, service_unit
from appliance.places import Places
from appliance.systemd_spawner.journal import Journal
from appliance.systemd_spawner.results import describe_end
from appliance.systemd_spawner.service_accounts import ServiceAccounts
from appliance.systemd_spawner.service_properties import STOP_SECONDS, unit_properties
from appliance.systemd_spawner.service_settings import (
    ServiceSettings,
    digest_of,
    environment_file,
    made_from,
    read_service,
    service_environment,
)
from appliance.systemd_spawner.units import SERVICES_PATTERN, SystemdError, Units, UnitState

_START_SECONDS: Final = 30.0
_LOG_LINES: Final = 10
_FORGET_SECONDS: Final = 5.0


class ManagedServices:
    """All services of this machine; every method may be called from any thread."""

    def __init__(
        self, *, units: Units, accounts: ServiceAccounts, journal: Journal, places: Places
    ) -> None:
        self._units = units
        self._accounts = accounts
        self._journal = journal
        self._places = places
        self._busy: set[str] = set()
        self._lock = threading.Lock()

    def start(self, service: str, token: str) -> None:
        """Return when its program was started; raises SpawnError."""
        what = _cannot_start(service)
        with self._alone(service):
            settings = self._read(service)
            if settings is None:
                raise SpawnRefused(
                    what, why="the configuration has no such service with a command",
                    mend=f"sudo appliance config get services.{service}",
                )  # fmt: skip
            self._make_room(service)
            properties = unit_properties(
                settings,
                command=self._command(settings),
                account=self._accounts.ensure(service, self._home(service)),
                environment_file=self._write_environment(settings, token),
                places=self._places,
            )
            try:
                result = self._units.start(
                    service_unit(service), properties, timeout=_START_SECONDS
                )
            except (SystemdError, TimeoutError) as err:
                raise SpawnFailed(
                    what, why=f"systemd: {err or 'it did not start in time'}",
                    mend="sudo appliance logs spawner",
                ) from err  # fmt: skip
            if result != "done":
                # systemd goes on trying, as it does for one that ends later.
                raise SpawnFailed(
                    what,
                    why=self._why(service, self._units.state(service_unit(service))),
                    mend=f"sudo appliance logs {service}",
                    log=tuple(self._journal.read(service_unit(service), _LOG_LINES, sync=True)),
                )

    def stop(self, service: str) -> None:
        """Return when it is gone; also for one that the configuration doesn't know any more."""
        with self._alone(service):
            self._end(service)
            self._file(service).unlink(missing_ok=True)

    def listing(self) -> list[dict[str, Any]]:
        """Every service that systemd has, and whether it runs with the settings of now."""
        rows = []
        for unit in sorted(self._units.listing(SERVICES_PATTERN)):
            service = service_of_unit(unit)
            state = self._units.state(unit) if service else None
            if service is None or state is None:
                continue
            settings = self._read(service)
            digest, token_hash = self._made_from(service)
            rows.append(
                {
                    "service": service,
                    "state": _state(state),
                    "why": self._why(service, state),
                    "token_hash": token_hash,
                    "outdated": settings is None or digest_of(settings, self._places) != digest,
                    "pid": state.pid,
                }
            )
        return rows

    @contextlib.contextmanager
    def _alone(self, service: str) -> Iterator[None]:
        with self._lock:
            if service in self._busy:
                raise SpawnRefused(
                    f"cannot change the service {service}",
                    why="it is being started or stopped at this moment",
                )
            self._busy.add(service)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(service)

    def _make_room(self, service: str) -> None:
        """Refuse if it runs; what is left of an ended one goes."""
        state = self._units.state(service_unit(service))
        if state is None:
            return
        if not state.ended:
            raise SpawnRefused(_cannot_start(service), why="it runs already")
        self._end(service)

    def _end(self, service: str) -> None:
        unit = service_unit(service)
        try:
            self._units.stop(unit, timeout=STOP_SECONDS + 15)
            self._units.release(unit)
            deadline = time.monotonic() + _FORGET_SECONDS
            # systemd forgets it in its next round; until then a new one could not be made.
            while self._units.state(unit) is not None and time.monotonic() < deadline:
                time.sleep(0.02)
        except (SystemdError, TimeoutError) as err:
            raise SpawnFailed(
                f"cannot stop the service {service}",
                why=f"systemd: {err or 'its job did not end in time'}",
                mend=f"systemctl kill --signal=KILL '{unit}'",
            ) from err

    def _command(self, settings: ServiceSettings) -> list[str]:
        """With the program's whole path, found where the service's own PATH says."""
        program, *arguments = settings.command
        environment = service_environment(
            settings, token="", home="", account="", places=self._places
        )
        found = shutil.which(program, path=environment["PATH"])
        if found is None or not Path(found).is_absolute():
            raise SpawnRefused(
                _cannot_start(settings.name),
                why=f"there is no program {program!r} on {environment['PATH']}",
                mend="install it there, or give the whole path in "
                f"services.{settings.name}.command",
            )
        return [found, *arguments]

    def _write_environment(self, settings: ServiceSettings, token: str) -> Path:
        home = self._home(settings.name)
        account = self._accounts.ensure(settings.name, home)
        environment = service_environment(
            settings, token=token, home=str(home), account=account, places=self._places
        )
        text = environment_file(environment, digest=digest_of(settings, self._places), token=token)
        path = self._file(settings.name)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        try:
            new.touch(mode=0o600)
            new.write_text(text)
            new.rename(path)
        except OSError as err:
            new.unlink(missing_ok=True)
            raise SpawnRefused(
                _cannot_start(settings.name),
                why=str(err),
                mend=f"see whether {path.parent} is full",
            ) from err
        return path

    def _made_from(self, service: str) -> tuple[str, str]:
        try:
            return made_from(self._file(service).read_text())
        except OSError:
            return "", ""

    def _why(self, service: str, state: UnitState | None) -> str:
        """Why it doesn't run; "" for one that does."""
        if state is None:
            return "systemd does not know it"
        if state.active == "active":
            return ""
        unit = service_unit(service)
        out_of_memory = self._journal.ran_out_of_memory(unit, state.invocation)
        if state.result == "start-limit-hit":
            return "it ended again and again, soon after each start"
        why = describe_end(state, out_of_memory=out_of_memory, settings=None)[0]
        return why if state.ended else f"{why}, and is about to be started again"

    def _read(self, service: str) -> ServiceSettings | None:
        return read_service(self._places.rendered / "spawner.json", service)

    def _file(self, service: str) -> Path:
        return self._places.service_environments / f"{service}.env"

    def _home(self, service: str) -> Path:
        return self._places.state / "services" / service


def _state(state: UnitState) -> str:
    if state.active == "active":
        return "running"
    return "failed" if state.ended else "starting"


def _cannot_start(service: str) -> str:
    return f"cannot start the service {service}"
