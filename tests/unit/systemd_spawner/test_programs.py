from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.config.schema import ServerProgram
from appliance.errors import SpawnRefused
from appliance.places import Places
from appliance.systemd_spawner import programs
from appliance.systemd_spawner.programs import (
    APPLIANCE,
    STOCK,
    check_program,
    preloaded_command,
    server_command,
)


def install(environment: Path, version: str) -> None:
    packages = environment / "lib/python3.11/site-packages"
    for folder in (f"jupyterhub-{version}.dist-info", "jupyterhub/singleuser"):
        (packages / folder).mkdir(parents=True)


def test_the_names_are_the_settings() -> None:
    assert {APPLIANCE, STOCK} == set(ServerProgram)


def test_each_program_has_its_module_and_sees_nothing_of_the_home() -> None:
    own, stock = (server_command(Places.installed(), name) for name in (APPLIANCE, STOCK))
    assert own[1:] == ["-I", "-m", "appliance.singleuser"]
    assert stock[1:] == ["-I", "-m", "appliance.singleuser.stock"]


def test_a_preloaded_server_has_its_cold_command_behind_it(tmp_path: Path) -> None:
    places = replace(Places.installed(), software=tmp_path)
    package = tmp_path / "environments/user-1/lib/python3.11/site-packages/appliance/preload"
    package.mkdir(parents=True)
    (tmp_path / "user").symlink_to("environments/user-1")
    cold = server_command(places, APPLIANCE)
    assert preloaded_command(places, cold) == cold
    (package / "client.py").touch()
    assert preloaded_command(places, cold) == [
        f"{tmp_path}/environments/user-1/bin/python", "-I", "-S", f"{package}/client.py",
        "/run/appliance/preload/server.sock", "server", "--", *cold,
    ]  # fmt: skip


@pytest.mark.parametrize("version", ["5.0.0", "5.5.4", "6.1.1", "10.0.0rc1"])
def test_what_is_installed_may_be_chosen(version: str, tmp_path: Path) -> None:
    install(tmp_path, version)
    check_program(STOCK, tmp_path)


@pytest.mark.parametrize("version", ["4.1.6", "0.9.6"])
def test_an_old_package_is_refused(version: str, tmp_path: Path) -> None:
    install(tmp_path, version)
    with pytest.raises(SpawnRefused, match=f"jupyterhub {version} is in") as raised:
        check_program(STOCK, tmp_path)
    assert "appliance env install jupyterhub" in raised.value.mend


def test_a_missing_package_is_refused(tmp_path: Path) -> None:
    # A package of a longer name is another one.
    install(tmp_path, "idle-culler-2.0.0")
    with pytest.raises(SpawnRefused, match="the package jupyterhub is not in"):
        check_program(STOCK, tmp_path)
    check_program(APPLIANCE, tmp_path)


def test_a_machine_without_systemd_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "6.1.1")
    monkeypatch.setattr(programs, "_SOCKET_PROXY", tmp_path / "systemd-socket-proxyd")
    with pytest.raises(SpawnRefused, match="comes with systemd"):
        check_program(STOCK, tmp_path)
