from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.config.schema import Config
from appliance.local_spawner.class_files import ChildRunner
from appliance.places import Places
from appliance.systemd_spawner.accounts import Accounts
from appliance.systemd_spawner.class_files import ClassFilesKeeper
from appliance.systemd_spawner.class_folders import ClassFolders
from appliance.systemd_spawner.class_machine import ClassMachine
from appliance.systemd_spawner.class_store import ClassStore
from appliance.systemd_spawner.ends import Ends
from appliance.systemd_spawner.listener import Listener
from appliance.systemd_spawner.servers import Servers
from appliance.systemd_spawner.service_accounts import ServiceAccounts
from appliance.systemd_spawner.services import ManagedServices
from appliance.systemd_spawner.settings import read_settings
from appliance.systemd_spawner.sockets import Sockets
from tests.fakes.systemd import FakeHost, FakeJournal, FakeUnits


@pytest.fixture
def places() -> Iterator[Places]:
    """In a short folder, for the sake of sockets' paths."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="s") as folder:
        base = Path(folder)
        places = Places(
            software=base / "software",
            settings=base / "settings",
            state=base / "state",
            run=base / "run",
            homes=base / "homes",
            class_files=base / "class-files",
        )
        for path in (places.rendered, places.run, places.homes, places.spawner_state):
            path.mkdir(parents=True)
        places.class_files.mkdir()
        config = Config.model_validate({"limits": {"memory": "1G"}})
        (places.rendered / "spawner.json").write_text(config.model_dump_json())
        yield places


@pytest.fixture
def units() -> FakeUnits:
    return FakeUnits()


@pytest.fixture
def journal() -> FakeJournal:
    return FakeJournal()


@pytest.fixture
def host(places: Places) -> FakeHost:
    return FakeHost(places.homes)


@pytest.fixture
def ends() -> Ends:
    return Ends()


@pytest.fixture
def accounts(places: Places, host: FakeHost) -> Accounts:
    return Accounts(places.spawner_state / "accounts.json", host=host)


@pytest.fixture
def classes(
    places: Places, accounts: Accounts, host: FakeHost, units: FakeUnits
) -> ClassFilesKeeper:
    """As the daemon has it, but everything belongs to whoever runs the tests."""
    folders = ClassFolders(places.class_files, has_groups=False)
    return ClassFilesKeeper(
        store=ClassStore(
            places.spawner_state / "classes.json",
            is_slug_taken=folders.is_taken,
            is_id_taken=host.is_id_taken,
        ),
        folders=folders,
        machine=ClassMachine(accounts=accounts, host=host, units=units),
        runner=ChildRunner(),
    )


@pytest.fixture
def servers(
    places: Places,
    units: FakeUnits,
    journal: FakeJournal,
    accounts: Accounts,
    classes: ClassFilesKeeper,
    ends: Ends,
) -> Servers:
    servers = Servers(
        units=units,
        accounts=accounts,
        sockets=Sockets(places.server_sockets, proxy_group=os.getgid()),
        journal=journal,
        places=places,
        read_settings=lambda: read_settings(places.rendered / "spawner.json"),
        denied_addresses=list,
        ends=ends,
        classes=classes,
    )
    units.on_changed = servers.look
    return servers


@pytest.fixture
def managed(
    places: Places, units: FakeUnits, journal: FakeJournal, host: FakeHost
) -> ManagedServices:
    return ManagedServices(
        units=units,
        accounts=ServiceAccounts(places.spawner_state / "service-accounts.json", host=host),
        journal=journal,
        places=places,
    )


class Daemon:
    """A listener in a thread, which can be restarted under its clients."""

    def __init__(
        self,
        path: Path,
        servers: Servers,
        services: ManagedServices,
        classes: ClassFilesKeeper,
        ends: Ends,
    ) -> None:
        self.path = path
        self._classes = classes
        self._servers = servers
        self._services = services
        self._ends = ends
        self.allowed = {os.getuid()}
        self.connections_max = 64
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread()

    def start(self) -> None:
        self.path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(self.path))
        listening.listen(128)
        self._stop, self._stopped = os.pipe()
        listener = Listener(
            listening,
            servers=self._servers,
            services=self._services,
            classes=self._classes,
            ends=self._ends,
            allowed_uids=lambda: self.allowed,
            connections_max=self.connections_max,
            request_timeout=0.5,
        )

        def run() -> None:
            with listening:
                listener.serve(stop=self._stop, tick=lambda: None, interval=1)

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def stop(self) -> None:
        os.close(self._stopped)
        self._thread.join()
        os.close(self._stop)

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(10)
        client.connect(str(self.path))
        return client


@pytest.fixture
def daemon(
    places: Places,
    servers: Servers,
    managed: ManagedServices,
    classes: ClassFilesKeeper,
    ends: Ends,
) -> Iterator[Daemon]:
    daemon = Daemon(places.spawner_socket, servers, managed, classes, ends)
    daemon.start()
    yield daemon
    daemon.stop()
