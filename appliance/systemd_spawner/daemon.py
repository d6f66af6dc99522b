"""The root daemon: joins the parts, tells systemd how it fares, and stops.

Stopping is quick and stops nothing else: servers belong to systemd, and what was being started when
the daemon ended goes on and is found by the next one.
"""

from __future__ import annotations

import grp
import logging
import os
import pwd
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from appliance.errors import ApplianceError
from appliance.notify import listen_fds, notify, wait_before_refusing, watchdog_interval
from appliance.places import Places
from appliance.systemd_spawner.accounts import Accounts, StoreDamagedError
from appliance.systemd_spawner.bus import Bus
from appliance.systemd_spawner.class_files import ClassFilesKeeper
from appliance.systemd_spawner.class_folders import ClassFolders
from appliance.systemd_spawner.class_machine import ClassMachine
from appliance.systemd_spawner.class_store import ClassStore
from appliance.systemd_spawner.ends import Ends
from appliance.systemd_spawner.file_jobs import UnitRunner, stop_file_jobs
from appliance.systemd_spawner.host import Host
from appliance.systemd_spawner.journal import Journal
from appliance.systemd_spawner.listener import Listener
from appliance.systemd_spawner.properties import denied_addresses
from appliance.systemd_spawner.servers import Servers
from appliance.systemd_spawner.service_accounts import ServiceAccounts
from appliance.systemd_spawner.services import ManagedServices
from appliance.systemd_spawner.settings import read_settings
from appliance.systemd_spawner.sockets import Sockets
from appliance.systemd_spawner.units import SystemdError, Units

log = logging.getLogger("appliance.spawner")

HUB_ACCOUNT: Final = "appliance-hub"
PROXY_GROUP: Final = "appliance-proxy"

_EXIT_CONFIG: Final = 78
# A thread does little more than wait; the default of 8 MiB each counts against the unit's limits.
_STACK_BYTES: Final = 512 * 1024
_TICK_SECONDS: Final = 10.0
# Longer than any call to systemd may take (sd-bus gives up after 25 s).
_BUS_STUCK_SECONDS: Final = 45.0
_RESYNC_SECONDS: Final = 60.0


class Watch:
    """A thread that looks at units as systemd tells of changes, and at all of them now and then."""

    def __init__(self) -> None:
        self._changed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.synced = threading.Event()

    def on_changed(self, unit: str) -> None:
        """Called in the connection's thread, which must not wait."""
        self._changed.put(unit)

    def on_connected(self) -> None:
        self._changed.put("")

    def run(self, servers: Servers) -> None:
        """For ever; "" in the queue asks for a look at everything."""
        due = time.monotonic() + _RESYNC_SECONDS
        while True:
            try:
                unit = self._changed.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                unit = ""
            try:
                if unit:
                    servers.look(unit)
                else:
                    due = time.monotonic() + _RESYNC_SECONDS
                    servers.resync()
                    self.synced.set()
            except (SystemdError, ApplianceError) as err:
                log.warning("cannot look at %s: %s", unit or "the running servers", err)
                due = min(due, time.monotonic() + 5)
            except Exception:
                # The edge of this thread, without which nobody would hear of ends any more.
                log.exception("looking at %s failed", unit or "the running servers")


def main() -> int:
    """Run until SIGTERM; returns the exit status."""
    _log_to_journal()
    threading.stack_size(_STACK_BYTES)
    os.umask(0o077)
    try:
        return _run(Places.installed())
    except ApplianceError as err:
        log.error("%s", err)  # noqa: TRY400 - a sentence for people, not a traceback
        if not isinstance(err, StoreDamagedError):
            return 1
        wait_before_refusing()
        return _EXIT_CONFIG


def _log_to_journal() -> None:
    """To stderr, each line with its priority as sd-daemon(3) has it."""
    for level, priority in ((logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3)):
        logging.addLevelName(level, f"<{priority}>")
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s%(message)s")


def _run(places: Places) -> int:
    stop = _stop_descriptor()
    host = Host(homes=places.homes)
    host.clear_stale_locks()
    accounts = Accounts(places.spawner_state / "accounts.json", host=host)
    accounts.finish_interrupted()
    watch, ends = Watch(), Ends()
    bus = Bus(on_changed=watch.on_changed, on_connected=watch.on_connected)
    classes = _classes(places, accounts, host, bus)
    servers = Servers(
        units=bus,
        accounts=accounts,
        sockets=Sockets(places.server_sockets, proxy_group=grp.getgrnam(PROXY_GROUP).gr_gid),
        journal=Journal(),
        places=places,
        read_settings=lambda: read_settings(places.rendered / "spawner.json"),
        denied_addresses=_read_denied_addresses,
        ends=ends,
        classes=classes,
    )
    services = ManagedServices(
        units=bus,
        accounts=ServiceAccounts(places.spawner_state / "service-accounts.json", host=host),
        journal=Journal(),
        places=places,
    )
    bus.open()
    threading.Thread(target=watch.run, args=(servers,), name="watch", daemon=True).start()
    servers.clean()
    stop_file_jobs(bus)
    classes.begin_anew()
    threading.Thread(target=classes.finish_interrupted, name="classes", daemon=True).start()
    watch.synced.wait(timeout=_BUS_STUCK_SECONDS)
    listener = Listener(
        _listening_socket(places),
        servers=servers,
        services=services,
        classes=classes,
        ends=ends,
        allowed_uids=_allowed_uids,
    )
    notify("READY=1")

    def tick() -> None:
        # No word to the watchdog while the bus is stuck: systemd then starts the daemon anew.
        if time.monotonic() - bus.last_alive < _BUS_STUCK_SECONDS:
            notify("WATCHDOG=1")

    listener.serve(stop=stop, tick=tick, interval=min(watchdog_interval() or _TICK_SECONDS, 10.0))
    notify("STOPPING=1")
    return 0


def _classes(places: Places, accounts: Accounts, host: Host, units: Units) -> ClassFilesKeeper:
    folders = ClassFolders(places.class_files)
    store = ClassStore(
        places.spawner_state / "classes.json",
        is_slug_taken=lambda slug: folders.is_taken(slug) or host.has_class_group(slug),
        is_id_taken=host.is_id_taken,
    )
    return ClassFilesKeeper(
        store=store,
        folders=folders,
        machine=ClassMachine(accounts=accounts, host=host, units=units),
        runner=UnitRunner(units, places),
    )


def _stop_descriptor() -> int:
    """Readable once SIGTERM or SIGINT came."""
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def on_signal(_number: int, _frame: object) -> None:
        with suppress(BlockingIOError):
            os.write(writer, b"x")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return reader


def _listening_socket(places: Places) -> socket.socket:
    given = listen_fds().get("spawner")
    if given is not None:
        return given
    raise ApplianceError(
        f"cannot listen on {places.spawner_socket}",
        why="systemd passed no socket named 'spawner'",
        mend="systemctl start appliance-spawner.socket",
    )


def _allowed_uids() -> Collection[int]:
    try:
        return {0, pwd.getpwnam(HUB_ACCOUNT).pw_uid}
    except KeyError:
        return {0}


def _read_denied_addresses() -> list[str]:
    try:
        resolv_conf = Path("/etc/resolv.conf").read_text(errors="replace")
    except OSError:
        resolv_conf = ""
    return denied_addresses(resolv_conf)
