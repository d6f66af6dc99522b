"""The hub's program: reads what the configuration was rendered to, and serves.

Exit codes: 78 for a configuration or database that can't be used, which trying again doesn't mend.
A disk that fails, or a database that is gone, is none of these: 1, so that systemd starts the hub
again until all is well.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
from pathlib import Path
from typing import Final

from appliance.config.rendered import read_in_force
from appliance.config.schema import Config
from appliance.db.errors import DatabaseGoneError, SchemaTooNewError, trouble_with_disk
from appliance.db.reserve import Reserve
from appliance.errors import ApplianceError, ConfigError
from appliance.hub.app import make_hub
from appliance.hub.excuse import excuse
from appliance.hub.server import ADMIN_SOCKET, HUB_SOCKET, HubServer
from appliance.interfaces import ServiceRunner, Spawner
from appliance.notify import listen_fds, wait_before_refusing
from appliance.places import Places

log = logging.getLogger("appliance.hub")

_EX_CONFIG: Final = 78
_STORAGE_SECONDS: Final = 5
# sd-daemon(3): the journal takes the priority from the line.
_PRIORITIES: Final = {
    logging.DEBUG: "<7>",
    logging.INFO: "<6>",
    logging.WARNING: "<4>",
    logging.ERROR: "<3>",
    logging.CRITICAL: "<2>",
}


class JournalFormatter(logging.Formatter):
    """Lines for the journal: each begins with its priority, those of a traceback too."""

    def __init__(self, *, prefixed: bool) -> None:
        super().__init__("%(message)s" if prefixed else "hub: %(levelname)s: %(message)s")
        self._prefixed = prefixed

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not self._prefixed:
            return text
        prefix = _PRIORITIES.get(record.levelno, "<6>")
        return "\n".join(prefix + line for line in text.splitlines())


def main() -> int:
    """Serve until told to stop; returns the exit code."""
    os.umask(0o077)
    _log_to_stderr()
    places = Places.current()
    try:
        config = read_in_force(places)
        places.hub_state.mkdir(mode=0o700, parents=True, exist_ok=True)
        reserve = None if places.trial else Reserve(places.hub_state / "reserve")
        spawner, runner = _make_spawner(config, places)
        hub = make_hub(config, places, spawner, reserve=reserve, service_runner=runner)
    except (ApplianceError, OSError) as err:
        return _refuse(err, places)
    _collect_from_here()
    asyncio.run(HubServer(hub).run(_sockets(places)))
    return 0


def _refuse(error: ApplianceError | OSError, places: Places) -> int:
    """Say why the hub can't start; the exit code."""
    for problem in getattr(error, "problems", []):
        log.critical("%s", problem)
    log.critical("cannot start: %s", error)
    trouble = error if isinstance(error, DatabaseGoneError) else trouble_with_disk(error)
    if trouble is not None:
        # It stays so for longer than systemd waits before it starts us again.
        excuse(trouble, _sockets(places), seconds=_STORAGE_SECONDS)
        return 1
    if isinstance(error, OSError):
        raise error
    if isinstance(error, ConfigError | SchemaTooNewError):
        wait_before_refusing()
        return _EX_CONFIG
    return 1


def _collect_from_here() -> None:
    """Never look for garbage among what stays until the end (`__main__.py` began without)."""
    gc.freeze()
    gc.enable()


def _make_spawner(config: Config, places: Places) -> tuple[Spawner, ServiceRunner]:
    """What runs servers and services; each mode imports its own alone."""
    if places.trial:
        from appliance.local_spawner.services import LocalServices
        from appliance.local_spawner.spawner import LocalSpawner

        return LocalSpawner(config, places), LocalServices(config, places)
    from appliance.systemd_spawner.service_runner import SystemdServices
    from appliance.systemd_spawner.spawner import SystemdSpawner

    spawner = SystemdSpawner(
        places.spawner_socket, start_timeout_seconds=config.servers.start_timeout
    )
    return spawner, SystemdServices(spawner)


def _sockets(places: Places) -> dict[str, socket.socket]:
    """The sockets that systemd holds for us, or, where there is none, our own."""
    given = listen_fds()
    wanted = {HUB_SOCKET: places.hub_socket, ADMIN_SOCKET: places.admin_socket}
    return {name: given.get(name) or _listen(path) for name, path in wanted.items()}


def _listen(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(1024)
    return listener


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JournalFormatter(prefixed="JOURNAL_STREAM" in os.environ))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # They tell of requests in more words than we allow ourselves.
    for name in ("oauthlib", "tornado.access", "alembic", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.WARNING)
