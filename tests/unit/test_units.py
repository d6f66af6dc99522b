from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from appliance.systemd_spawner.files import DAEMON_FILES

UNITS = Path(__file__).resolve().parents[2] / "units"
SERVICES = sorted(UNITS.glob("*.service"))
PRELOAD = ("appliance-preload-server.service", "appliance-preload-kernel.service")
# Root's regular work, which others start: it comes and goes, and ends when memory runs out.
TIMED = {service.name for service in SERVICES if "Type=oneshot" in service.read_text()}
LASTING = [service for service in SERVICES if service.name not in TIMED]
ALL = sorted(path for path in UNITS.iterdir() if path.suffix not in (".sysusers", ".tmpfiles"))


def test_systemd_understands_every_line() -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, ALL)],
        capture_output=True,
        text=True,
        check=False,
    )
    # What the installer puts elsewhere isn't here.
    lines = [line for line in done.stderr.splitlines() if "is not executable" not in line]
    assert lines == []


# Root that enters others' units keeps what that needs, and Linux lets no process with system call
# filters copy those of another: half of what the measure counts.
EXPOSED = {
    "appliance-preload-server.service": 69,
    "appliance-preload-kernel.service": 69,
    # Root that reads everybody's use of the disk, and asks the network for certificates.
    "appliance-upkeep.service": 55,
    # Root that puts back all that an upgrade replaced, and fetches packages for a new Python.
    "appliance-rebuild.service": 48,
    "appliance-back.service": 48,
}


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_services_are_little_exposed(service: Path) -> None:
    threshold = EXPOSED.get(service.name, 29)
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", f"--threshold={threshold}", str(service)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-300:]


def test_what_runs_from_the_environments_waits_until_they_are_rebuilt() -> None:
    rebuild = (UNITS / "appliance-rebuild.service").read_text()
    before = {
        name
        for line in rebuild.splitlines()
        if line.startswith("Before=")
        for name in line.removeprefix("Before=").split()
    }
    runs = ("ExecStart=/opt/appliance/hub/", "/opt/appliance/user ")
    needing = {path.name for path in SERVICES if any(word in path.read_text() for word in runs)}
    assert {"appliance-hub.service", "appliance-quota.service", *PRELOAD} <= needing
    assert needing <= before


@pytest.mark.parametrize("name", ["hub", "proxy"])
def test_what_talks_to_the_network_is_not_root(name: str) -> None:
    lines = (UNITS / f"appliance-{name}.service").read_text().splitlines()
    assert f"User=appliance-{name}" in lines
    assert f"Group=appliance-{name}" in lines
    assert "Slice=appliance.slice" in lines


@pytest.mark.parametrize("service", LASTING, ids=lambda path: path.name)
def test_services_come_back_by_themselves_and_go_last(service: Path) -> None:
    text = service.read_text()
    assert "Restart=always" in text
    assert "OOMScoreAdjust=-500" in text
    assert "PartOf=appliance.target" in text


# What systemd does by system call filters; systemd.exec(5) says so of each.
FILTERS = (
    "LockPersonality", "MemoryDenyWriteExecute", "NoNewPrivileges", "PrivateDevices",
    "ProtectClock", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules",
    "ProtectKernelTunables", "RestrictAddressFamilies", "RestrictNamespaces", "RestrictRealtime",
    "RestrictSUIDSGID", "SystemCallArchitectures", "SystemCallFilter", "SystemCallLog",
)  # fmt: skip


def settings_in(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("name", PRELOAD)
def test_nothing_keeps_a_preload_daemon_from_copying_filters(name: str) -> None:
    assert not set(FILTERS) & settings_in(name).keys()
    assert "PrivateUsers" not in settings_in(name)


def test_both_preload_daemons_are_confined_alike() -> None:
    server, kernel = (settings_in(name) for name in PRELOAD)
    differ = {key for key in server.keys() | kernel.keys() if server.get(key) != kernel.get(key)}
    assert differ == {
        "Description", "ExecCondition", "ExecStart", "Environment", "RuntimeDirectory",
        "WorkingDirectory",
    }  # fmt: skip


@pytest.mark.parametrize("name", PRELOAD)
def test_root_runs_nothing_of_the_users_environment_before_it_is_checked(name: str) -> None:
    for key in ("ExecCondition", "ExecStart"):
        (command,) = settings_in(name)[key]
        assert command.startswith("/usr/bin/python3 -I -S /opt/appliance/spawner/")
        place = command.split()[3].removeprefix("/opt/appliance/spawner/")
        assert place in DAEMON_FILES.values()


@pytest.mark.parametrize("name", ["appliance-hub.service", "appliance-spawner.service", *PRELOAD])
def test_a_configuration_that_cannot_be_used_is_not_tried_for_ever(name: str) -> None:
    text = (UNITS / name).read_text()
    assert "RestartPreventExitStatus=78" in text
    assert "Type=notify" in text
    assert "WatchdogSec=" in text


@pytest.mark.parametrize("path", sorted(UNITS.glob("*.socket")), ids=lambda path: path.name)
def test_a_socket_is_there_however_often_its_program_was_killed(path: Path) -> None:
    assert "TriggerLimitBurst=0\n" in path.read_text()


def test_the_target_brings_everything_up() -> None:
    text = (UNITS / "appliance.target").read_text()
    for path in ALL:
        if path.suffix in (".service", ".socket", ".timer", ".path") and path.name not in TIMED:
            assert path.name in text


def test_a_template_of_servers_notes_no_directory_that_is_its_own() -> None:
    """What it noted of its working directory when it was loaded would be in every server."""
    settings = settings_in("appliance-preload-server.service")
    assert settings["WorkingDirectory"] == ["/"]
    assert settings["Environment"] == [
        "HOME=/run/appliance-preload/server LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin"
    ]
