"""Services are started with what is installed, and only what changed is restarted."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.errors import InstallError
from appliance.places import Places
from appliance.rollout.services import SOCKET_UNITS
from installer.events import Reporter
from installer.service_steps import SERVICES, TARGET, Services
from tests.fakes.systemctl import FakeSystemctl

SPAWNER, HUB, PROXY = SERVICES


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSystemctl:
    return FakeSystemctl.install(tmp_path, monkeypatch)


@pytest.fixture
def services(tmp_path: Path) -> Services:
    places = replace(
        Places.installed(), software=tmp_path / "opt", state=tmp_path / "var", run=tmp_path / "run"
    )
    for name in ("hub-1", "hub-2", "spawner-1"):
        (places.software / "environments" / name).mkdir(parents=True)
    (places.software / "hub").symlink_to("environments/hub-1")
    (places.software / "spawner").symlink_to("environments/spawner-1")
    places.rendered.mkdir(parents=True)
    for name in ("hub.json", "nginx.conf"):
        (places.rendered / name).write_text(name)
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    for unit in (*SERVICES, *SOCKET_UNITS, TARGET):
        (units / unit).write_text(unit)
        # Units are put in place before services start.
        os.utime(units / unit, (1_000_000_000, 1_000_000_000))
    return Services(places, Reporter(as_json=True), etc=tmp_path / "etc")


def _restarted(calls: list[str]) -> list[str]:
    return [call for call in calls if call.split()[0] in {"restart", "reload-or-restart"}]


def test_the_first_time_everything_starts(services: Services, systemctl: FakeSystemctl) -> None:
    assert not services.is_done()
    services.apply()
    calls = systemctl.calls()
    assert f"enable --quiet {TARGET}" in calls
    assert f"restart {HUB}" in calls
    assert services.is_done()
    assert systemctl.calls() == []


def test_no_user_may_read_digests_of_the_settings(
    services: Services, systemctl: FakeSystemctl
) -> None:
    """The settings hold the join code, and whoever has their digest can try codes at home."""
    services.apply()
    readable = [path for path in services.places.software.rglob("*.json") if path.is_file()]
    assert [path.stat().st_mode & 0o777 for path in readable] == [0o600]


def test_nothing_changed_restarts_nothing(services: Services, systemctl: FakeSystemctl) -> None:
    services.apply()
    systemctl.calls()
    assert services.is_done()
    services.apply()
    assert _restarted(systemctl.calls()) == []


def test_a_new_hub_restarts_the_hub_alone(services: Services, systemctl: FakeSystemctl) -> None:
    services.apply()
    systemctl.calls()
    link = services.places.software / "hub"
    link.unlink()
    link.symlink_to("environments/hub-2")
    assert not services.is_done()
    services.apply()
    assert _restarted(systemctl.calls()) == [f"restart {HUB}"]


def test_new_text_for_nginx_is_a_reload(services: Services, systemctl: FakeSystemctl) -> None:
    services.apply()
    systemctl.calls()
    (services.places.rendered / "nginx.conf").write_text("other")
    services.apply()
    assert _restarted(systemctl.calls()) == [f"reload-or-restart {PROXY}"]


def test_a_changed_socket_unit_is_opened_anew(services: Services, systemctl: FakeSystemctl) -> None:
    services.apply()
    systemctl.calls()
    (services.etc / "systemd/system" / SOCKET_UNITS[0]).write_text("changed")
    os.utime(services.etc / "systemd/system" / SOCKET_UNITS[0], (4_000_000_000, 4_000_000_000))
    services.apply()
    calls = systemctl.calls()
    assert calls.index(f"stop {SPAWNER}") < calls.index(f"restart {SOCKET_UNITS[0]}")
    assert _restarted(calls) == [f"restart {SOCKET_UNITS[0]}", f"restart {SPAWNER}"]


def test_what_died_is_started(services: Services, systemctl: FakeSystemctl) -> None:
    services.apply()
    systemctl.calls()
    systemctl.kill(SPAWNER)
    assert not services.is_done()
    services.apply()
    assert _restarted(systemctl.calls()) == [f"restart {SPAWNER}"]


def test_an_interrupted_start_is_done_again(services: Services, systemctl: FakeSystemctl) -> None:
    """What ran before is on record until its successor ran."""
    services.apply()
    link = services.places.software / "hub"
    link.unlink()
    link.symlink_to("environments/hub-2")
    systemctl.break_unit(HUB)
    with pytest.raises(InstallError) as caught:
        services.apply()
    assert f"Job for {HUB} failed." in caught.value.why
    assert HUB in services.stale()
