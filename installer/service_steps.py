"""Steps that make the appliance run: configuration, services, health, first admins."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.config.edit import write_first
from appliance.config.load import check_text, read_text
from appliance.config.rendered import HUB_FILE
from appliance.config.schema import Config
from appliance.errors import InstallError
from appliance.places import Places
from appliance.rollout.health import Deadline, Unhealthy, wait_for_health
from appliance.rollout.render import (
    PROXY_FILE,
    SOURCE_FILE,
    NginxText,
    check_nginx,
    render_all,
    write_rendered,
)
from appliance.rollout.services import HUB_UNIT, PROXY_UNIT, SOCKET_UNITS, SPAWNER_UNIT
from installer.commands import run, succeeds
from installer.events import Reporter
from installer.files import digest_of, write_file

SERVICES: Final = (SPAWNER_UNIT, HUB_UNIT, PROXY_UNIT)
TARGET: Final = "appliance.target"
_HEALTH_SECONDS: Final = 90.0
_LOG_LINES: Final = 12


@dataclass
class Configuration:
    """The first config.yaml, and what the programs read, made from the text that is in force."""

    places: Places
    nginx_text: NginxText
    changes: dict[str, str]
    title: str = "Writing the configuration"

    def is_done(self) -> bool:
        if (
            not self.places.config_file.exists()
            or not (self.places.rendered / SOURCE_FILE).exists()
        ):
            return False
        files = render_all(self.in_force(), self.places, nginx_text=self.nginx_text)
        return all(
            path.is_file() and path.read_text("utf-8") == rendered.text
            for path, rendered in files.items()
        )

    def source(self) -> str:
        """The text in force: edits of config.yaml wait for `appliance config reload`."""
        rendered = self.places.rendered / SOURCE_FILE
        return read_text(rendered if rendered.exists() else self.places.config_file)

    def in_force(self) -> Config:
        return check_text(self.source(), name=str(self.places.config_file))

    def has_unapplied_edits(self) -> bool:
        return read_text(self.places.config_file) != self.source()

    def apply(self) -> None:
        if not self.places.config_file.exists() and (self.places.rendered / SOURCE_FILE).exists():
            # Somebody deleted it; the settings in force must not be lost with it.
            write_file(self.places.config_file, self.source().encode(), mode=0o600)
        write_first(self.places, self.changes)
        source = self.source()
        files = render_all(self.in_force(), self.places, nginx_text=self.nginx_text)
        check_nginx(files[self.places.rendered / PROXY_FILE].text, self.places)
        write_rendered(files, self.places, source=source)


@dataclass
class Services:
    """Enabled, running, and running what is installed now: only what changed is restarted."""

    places: Places
    reporter: Reporter
    etc: Path = Path("/etc")
    title: str = "Starting the services"

    @property
    def _record(self) -> Path:
        """What each service was started with; written after it started."""
        return self.places.software / "started.json"

    def wanted(self) -> dict[str, str]:
        """A digest for each service of everything that it reads only when it starts."""
        software, rendered = self.places.software, self.places.rendered
        hub = (str((software / "hub").resolve()), _content(rendered / HUB_FILE))
        parts: dict[str, Iterable[str | bytes]] = {
            SPAWNER_UNIT: (str((software / "spawner").resolve()),),
            HUB_UNIT: hub,
            PROXY_UNIT: (_content(rendered / PROXY_FILE),),
        }
        return {
            service: digest_of(*parts[service], *self._unit_files(service)) for service in SERVICES
        }

    def _unit_files(self, service: str) -> list[bytes]:
        """The service's unit and its sockets': a socket unit is read anew only with its service."""
        stem = service.removesuffix(".service")
        units = sorted((self.etc / "systemd/system").glob(f"{stem}*"))
        return [_content(unit) for unit in units if unit.is_file()]

    def started(self) -> dict[str, str]:
        try:
            found = json.loads(self._record.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def stale(self) -> list[str]:
        """Services that don't run, or run something older than what is installed."""
        wanted, started = self.wanted(), self.started()
        return [
            service
            for service in SERVICES
            if wanted[service] != started.get(service)
            or not succeeds("systemctl", "is-active", "--quiet", service)
        ]

    def is_done(self) -> bool:
        enabled = succeeds("systemctl", "is-enabled", "--quiet", TARGET)
        listening = all(
            succeeds("systemctl", "is-active", "--quiet", unit) for unit in SOCKET_UNITS
        )
        return enabled and listening and not self.stale()

    def apply(self) -> None:
        self._systemctl("enable", "--quiet", TARGET)
        for service in self.stale():
            self.reporter.detail(service)
            self._restart(service)
        self._systemctl("start", TARGET, *SOCKET_UNITS, *SERVICES)
        # A digest of settings lets users try out which join code they hold.
        write_file(self._record, json.dumps(self.wanted(), indent=1).encode(), mode=0o600)

    def _restart(self, service: str) -> None:
        """Unless its socket units changed, a service restarts under its open sockets."""
        succeeds("systemctl", "reset-failed", service)
        stem = service.removesuffix(".service")
        sockets = [unit for unit in SOCKET_UNITS if unit.startswith(stem)]
        closed = [unit for unit in sockets if self._must_reopen(unit)]
        if closed:
            succeeds("systemctl", "stop", service)
            self._systemctl("restart", *closed)
        verb = "restart"
        if service == PROXY_UNIT and not self._unit_changed(service):
            # A reload keeps every open connection.
            verb = "reload-or-restart"
        self._systemctl(verb, service)

    def _must_reopen(self, unit: str) -> bool:
        return self._unit_changed(unit) or not succeeds("systemctl", "is-active", "--quiet", unit)

    def _unit_changed(self, unit: str) -> bool:
        """Whether the unit file is newer than the last time that all was started."""
        file = self.etc / "systemd/system" / unit
        try:
            return file.stat().st_mtime > self._record.stat().st_mtime
        except OSError:
            return True

    def _systemctl(self, *words: str) -> None:
        try:
            run(
                ["systemctl", *words],
                failure=f"systemd cannot {words[0]} the services",
                reporter=self.reporter,
            )
        except InstallError as err:
            failed = [unit for unit in words if unit.endswith(".service")] or list(SERVICES)
            log = "\n".join(line for unit in failed for line in journal(unit))
            raise InstallError(
                err.what, why=f"{err.why}\n{log}", mend="sudo journalctl -b -u 'appliance-*'"
            ) from err


@dataclass
class Health:
    """The hub answers through the proxy."""

    configuration: Configuration
    title: str = "Checking that it answers"
    seconds: float = _HEALTH_SECONDS

    def is_done(self) -> bool:
        return False

    def apply(self) -> None:
        try:
            wait_for_health(self.configuration.in_force(), Deadline.after(self.seconds))
        except Unhealthy as err:
            log = "\n".join(line for unit in SERVICES for line in journal(unit))
            raise InstallError(err.what, why=f"{err.why}\n{log}", mend=err.mend) from err


def journal(unit: str) -> list[str]:
    """The last lines that a unit wrote since the machine started."""
    command = [
        "journalctl",
        "-b",
        "-q",
        "-n",
        str(_LOG_LINES),
        "-o",
        "cat",
        "--no-pager",
        "-u",
        unit,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [f"{unit}: {line}" for line in done.stdout.splitlines()]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
