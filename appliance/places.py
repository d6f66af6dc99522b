"""Where everything is: the fixed places of an installed appliance, or a trial's folder.

Standard library only: the root daemon and the installer import this module too.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

# Set by the wrapper command of a trial folder; an installed appliance never reads it as root.
TRIAL_VARIABLE: Final = "APPLIANCE_TRIAL"


# names.py counts on it: the longest names of user and server just fit behind it into a socket's
# path.
_RUN_BYTES: Final = len("/run/appliance")


def _trial_run(folder: Path) -> Path:
    """Sockets of a trial: in its folder if their paths can't get too long there, else in /tmp.

    The name in /tmp follows from the folder, so that every command finds it; the trial's supervisor
    makes it for its own user alone, and refuses one that somebody else made.
    """
    run = folder / "run"
    if len(os.fsencode(run)) <= _RUN_BYTES:
        return run
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()
    return Path("/tmp") / f"ha-{digest[:6]}"  # noqa: S108 - checked by the supervisor


@dataclass(frozen=True, slots=True)
class Places:
    """Directories and files; what is named here has no other name anywhere else."""

    software: Path
    """Environments and what was installed: hub/, user/, spawner/, wheels/."""
    settings: Path
    """config.yaml and its history/."""
    state: Path
    """What must outlive a reboot: hub/, spawner/, rendered/."""
    run: Path
    """Sockets."""
    homes: Path
    trial: bool = False
    class_files: Path = Path("/srv/appliance")
    """What classes have in common, and their archives."""

    @classmethod
    def installed(cls) -> Self:
        """The places that the static unit files in units/ name."""
        return cls(
            software=Path("/opt/appliance"),
            settings=Path("/etc/appliance"),
            state=Path("/var/lib/appliance"),
            run=Path("/run/appliance"),
            homes=Path("/home"),
        )

    @classmethod
    def of_trial(cls, folder: Path) -> Self:
        """Everything below one folder but the sockets, for `bootstrap.py --trial`."""
        return cls(
            software=folder / "software",
            settings=folder,
            state=folder / "state",
            run=_trial_run(folder),
            homes=folder / "homes",
            trial=True,
            class_files=folder / "class-files",
        )

    @classmethod
    def current(cls) -> Self:
        """The trial named by the environment, else the installed appliance."""
        folder = os.environ.get(TRIAL_VARIABLE, "")
        return cls.of_trial(Path(folder)) if folder else cls.installed()

    @property
    def user_environment(self) -> Path:
        """The directory behind software/user, a link that a newer installation points elsewhere.

        A server is started from here, so that it doesn't import half of it from the newer one.
        """
        return (self.software / "user").resolve()

    @property
    def jupyter(self) -> Path:
        """Kernels for everybody besides those of the environment; see appliance/environments."""
        return self.software / "jupyter"

    @property
    def config_file(self) -> Path:
        return self.settings / "config.yaml"

    @property
    def config_history(self) -> Path:
        """Earlier versions of the configuration, newest last by name."""
        return self.settings / "history"

    @property
    def rendered(self) -> Path:
        """hub.json, spawner.json, nginx.conf: what `appliance config reload` makes."""
        return self.state / "rendered"

    @property
    def logs(self) -> Path:
        """Files, in a trial alone; an installed appliance writes to the journal."""
        return self.state / "log"

    def service_log(self, service: str) -> Path:
        """What a trial's service wrote."""
        return self.logs / f"service-{service}.log"

    @property
    def health(self) -> Path:
        """How the appliance is, a file for each topic (findings.py): root writes, all read."""
        return self.state / "health"

    @property
    def upgrades(self) -> Path:
        """What an upgrade would go back to."""
        return self.state / "upgrade"

    @property
    def upkeep_state(self) -> Path:
        """What the regular upkeep remembers."""
        return self.state / "upkeep"

    @property
    def disk_state(self) -> Path:
        """Who uses how much of the disk, for the hub to read, and which quotas were set."""
        return self.state / "disk"

    @property
    def certificates(self) -> Path:
        """Keys and certificates for HTTPS, and what is needed to get new ones."""
        return self.state / "certificates"

    @property
    def backups(self) -> Path:
        """Where backups go unless the settings name another place."""
        return self.state / "backups"

    @property
    def hub_state(self) -> Path:
        return self.state / "hub"

    @property
    def database(self) -> Path:
        return self.hub_state / "hub.sqlite"

    @property
    def hub_audit(self) -> Path:
        """What the hub notes of what people do."""
        return self.hub_state / "audit"

    @property
    def root_audit(self) -> Path:
        """What root's command line notes, where the hub can't go."""
        return self.state / "audit"

    @property
    def spawner_state(self) -> Path:
        return self.state / "spawner"

    @property
    def hub_socket(self) -> Path:
        """The hub, for the proxy."""
        return self.run / "hub.sock"

    @property
    def admin_socket(self) -> Path:
        """The hub, for root's command line: who can connect is an admin."""
        return self.run / "admin.sock"

    @property
    def spawner_socket(self) -> Path:
        return self.run / "spawner.sock"

    @property
    def front_socket(self) -> Path:
        """The proxy, for a web server of this machine that stands in front of it."""
        return self.run / "front" / "http.sock"

    @property
    def api_socket(self) -> Path:
        """The proxy, for single-user servers: /hub/api/ and nothing else."""
        return self.run / "proxy" / "api.sock"

    @property
    def preload_sockets(self) -> Path:
        """The preload daemons, for single-user servers: server.sock and kernel.sock."""
        return self.run / "preload"

    @property
    def server_sockets(self) -> Path:
        return self.run / "servers"

    @property
    def service_sockets(self) -> Path:
        """The hub, for the proxy, on behalf of services that the proxy can't reach by itself."""
        return self.run / "services"

    @property
    def service_environments(self) -> Path:
        """What services that the appliance runs are told, secrets included: for root alone."""
        return self.run / "service-env"
