"""Services that the daemon runs, with a fake systemd: what their units are, and what is told."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from appliance.config.rendered import dump_json
from appliance.config.schema import Config
from appliance.errors import SpawnFailed, SpawnRefused
from appliance.places import Places
from appliance.systemd_spawner.accounts import StoreDamagedError
from appliance.systemd_spawner.service_accounts import ServiceAccounts
from appliance.systemd_spawner.service_runner import SystemdServices
from appliance.systemd_spawner.service_settings import environment_file, made_from
from appliance.systemd_spawner.services import ManagedServices
from appliance.systemd_spawner.spawner import SystemdSpawner
from tests.component.spawner.conftest import Daemon
from tests.fakes.systemd import CRASHED, FakeHost, FakeJournal, FakeUnits, UnitState

TOKEN = "f" * 64
UNIT = "appliance-service-culler.service"
CULLER: dict[str, Any] = {
    "command": ["sleep", "1"],
    "environment": {"KEY": 'a "quoted" $secret `x` \\ here', "JUPYTERHUB_API_TOKEN": "mine"},
    "api_token": "configured-token",
}


@pytest.fixture(autouse=True)
def _configured(places: Places) -> None:
    _configure(places, culler=CULLER)


def _configure(places: Places, **services: dict[str, Any]) -> None:
    config = Config.model_validate({"services": services})
    (places.rendered / "spawner.json").write_text(dump_json(config, secrets=False))


def _environment(places: Places) -> dict[str, str]:
    lines = (places.service_environments / "culler.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def test_the_unit(
    places: Places, managed: ManagedServices, units: FakeUnits, host: FakeHost
) -> None:
    managed.start("culler", TOKEN)
    unit = units.properties[UNIT]
    program, arguments, how = unit["ExecStartEx"][0]
    assert how == ["no-env-expand"]
    assert Path(program).is_absolute()
    assert arguments == [program, "1"]
    assert unit["User"] == "svc-culler"
    assert host.system_accounts == {"svc-culler": places.state / "services" / "culler"}
    assert (unit["Restart"], unit["StartLimitBurst"] > 1) == ("always", True)
    assert unit["MemoryMax"] == 512 * 2**20
    assert unit["NoNewPrivileges"] is True
    assert unit["ProtectHome"] == "yes"
    assert f"-{places.hub_state}" in unit["InaccessiblePaths"]
    # Anybody may ask systemd for these; nobody for what is in the file.
    assert "Environment" not in unit
    assert TOKEN not in repr(unit)
    assert "quoted" not in repr(unit)
    file = places.service_environments / "culler.env"
    assert unit["EnvironmentFiles"] == [(str(file), False)]
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    environment = _environment(places)
    assert environment["JUPYTERHUB_API_TOKEN"] == f'"{TOKEN}"'
    assert environment["KEY"] == '"a \\"quoted\\" \\$secret \\`x\\` \\\\ here"'
    assert environment["JUPYTERHUB_API_URL"] == '"http://127.0.0.1:80/hub/api"'
    assert "JUPYTERHUB_SERVICE_URL" not in environment
    assert "JUPYTERHUB_ACTIVITY_URL" not in environment


def test_a_service_with_pages_is_told_where_they_are(
    places: Places, managed: ManagedServices
) -> None:
    _configure(places, culler={"command": ["sleep", "1"], "url": "http://127.0.0.1:9001"})
    managed.start("culler", TOKEN)
    environment = _environment(places)
    assert environment["JUPYTERHUB_SERVICE_URL"] == '"http://127.0.0.1:9001"'
    assert environment["JUPYTERHUB_SERVICE_PREFIX"] == '"/services/culler/"'
    assert environment["JUPYTERHUB_CLIENT_ID"] == '"service-culler"'
    assert environment["JUPYTERHUB_OAUTH_CALLBACK_URL"] == '"/services/culler/oauth_callback"'


def test_what_is_told_of_it(managed: ManagedServices, units: FakeUnits) -> None:
    assert managed.listing() == []
    managed.start("culler", TOKEN)
    (row,) = managed.listing()
    assert (row["service"], row["state"], row["why"], row["outdated"]) == (
        "culler", "running", "", False,
    )  # fmt: skip
    units.loaded[UNIT] = UnitState("activating", "exit-code", 1, 3, "ab")
    (row,) = managed.listing()
    assert row["state"] == "starting"
    assert "exit status 3" in row["why"]
    units.loaded[UNIT] = UnitState("failed", "start-limit-hit", 1, 3, "ab")
    (row,) = managed.listing()
    assert (row["state"], "again and again" in row["why"]) == ("failed", True)


@pytest.mark.parametrize(
    "change",
    [{"command": ["sleep", "2"]}, {"environment": {"KEY": "other"}}, {"memory": "1G"},
     {"url": "http://127.0.0.1:9001"}, {"command": []}],
    ids=str,
)  # fmt: skip
def test_other_settings_make_it_outdated(
    places: Places, managed: ManagedServices, change: dict[str, Any]
) -> None:
    managed.start("culler", TOKEN)
    _configure(places, culler=CULLER | change)
    assert managed.listing()[0]["outdated"]
    _configure(places, culler=CULLER | {"info": {"a": 1}, "display": False})
    assert not managed.listing()[0]["outdated"]
    _configure(places)
    assert managed.listing()[0]["outdated"]


def test_stopping_leaves_nothing(
    places: Places, managed: ManagedServices, units: FakeUnits
) -> None:
    managed.start("culler", TOKEN)
    _configure(places)
    managed.stop("culler")
    managed.stop("culler")
    assert units.loaded == {}
    assert list(places.service_environments.iterdir()) == []


def test_one_that_ended_is_started_again(managed: ManagedServices, units: FakeUnits) -> None:
    managed.start("culler", TOKEN)
    with pytest.raises(SpawnRefused, match="runs already"):
        managed.start("culler", TOKEN)
    units.loaded[UNIT] = CRASHED
    managed.start("culler", TOKEN)
    assert managed.listing()[0]["state"] == "running"


def test_a_program_that_ends_at_once_is_told_with_its_words(
    managed: ManagedServices, units: FakeUnits, journal: FakeJournal
) -> None:
    units.outcome = CRASHED
    journal.lines[UNIT] = ["no such module"]
    with pytest.raises(SpawnFailed, match="exit status 3") as failure:
        managed.start("culler", TOKEN)
    assert failure.value.log == ("no such module",)


@pytest.mark.parametrize(
    ("services", "why"),
    [
        ({}, "no such service"),
        ({"culler": {"api_token": "configured"}}, "no such service"),
        ({"culler": {"command": ["no-such-program"]}}, "no program 'no-such-program'"),
        ({"culler": {"command": ["./beside"]}}, "no program './beside'"),
        ({"culler": {"command": ["/etc/passwd"]}}, "no program '/etc/passwd'"),
    ],
)
def test_what_cannot_be_started(
    places: Places, managed: ManagedServices, services: dict[str, Any], why: str
) -> None:
    _configure(places, **services)
    with pytest.raises(SpawnRefused, match=why):
        managed.start("culler", TOKEN)


def test_a_damaged_file_starts_nothing(places: Places, managed: ManagedServices) -> None:
    for text in ("", "[]", '{"services": 3}', '{"services": {"culler": {"command": ["x"]}}}'):
        (places.rendered / "spawner.json").write_text(text)
        with pytest.raises(SpawnRefused):
            managed.start("culler", TOKEN)


def test_accounts_are_remembered_and_never_shared(places: Places, host: FakeHost) -> None:
    store = places.spawner_state / "service-accounts.json"
    accounts = ServiceAccounts(store, host=host)
    host.taken_names.add("svc-a-b")
    names = {name: accounts.ensure(name, Path("/x")) for name in ("a.b", "a-b", "A_B", "-" * 40)}
    assert len(set(names.values())) == 4
    assert "svc-a-b" not in names.values()
    assert all(len(name) <= 32 for name in names.values())
    again = ServiceAccounts(store, host=host)
    assert {name: again.ensure(name, Path("/x")) for name in names} == names
    store.write_text("{")
    with pytest.raises(StoreDamagedError):
        ServiceAccounts(store, host=host)


def test_environment_files_say_what_they_were_made_from() -> None:
    text = environment_file({"A": "# settings x"}, digest="d1", token="t")
    assert made_from(text)[0] == "d1"
    assert made_from("") == ("", "")
    assert made_from("nonsense\n# \n") == ("", "")


# Over the daemon's socket


async def test_the_hub_asks_by_name_alone(places: Places, daemon: Daemon) -> None:
    runner = SystemdServices(SystemdSpawner(places.spawner_socket))
    await runner.start("culler", "configured-token")
    found = await runner.services()
    assert (found["culler"].state, found["culler"].outdated) == ("running", False)
    assert len(found["culler"].token_hash) == 64
    await runner.stop("culler")
    assert await runner.services() == {}
    with pytest.raises(SpawnRefused, match="no such service"):
        await runner.start("another", TOKEN)


@pytest.mark.parametrize(
    "fields",
    [
        {"service": "culler", "token": TOKEN, "command": ["true"]},
        {"service": "culler"}, {"token": TOKEN}, {"service": "../x", "token": TOKEN},
        {"service": "a b", "token": TOKEN}, {"service": "culler", "token": "a\nb" * 4},
        {"service": 3, "token": TOKEN}, {"service": "culler", "token": "short"},
    ],
    ids=str,
)  # fmt: skip
async def test_nothing_else_is_taken_from_a_request(
    daemon: Daemon, units: FakeUnits, fields: dict[str, Any]
) -> None:
    reader, writer = await asyncio.open_unix_connection(str(daemon.path))
    writer.write(json.dumps({"verb": "start_service", **fields}).encode() + b"\n")
    answer = json.loads(await reader.readline())
    writer.close()
    assert (answer["ok"], answer["code"]) == (False, "bad_request")
    assert units.loaded == {}
