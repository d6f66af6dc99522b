from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).resolve().parents[2] / "units"
SERVICES = sorted(UNITS.glob("*.service"))
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


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_services_are_exposed_below_three(service: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=29", str(service)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-300:]


@pytest.mark.parametrize("name", ["hub", "proxy"])
def test_what_talks_to_the_network_is_not_root(name: str) -> None:
    lines = (UNITS / f"appliance-{name}.service").read_text().splitlines()
    assert f"User=appliance-{name}" in lines
    assert f"Group=appliance-{name}" in lines
    assert "Slice=appliance.slice" in lines


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_services_come_back_by_themselves_and_go_last(service: Path) -> None:
    text = service.read_text()
    assert "Restart=always" in text
    assert "OOMScoreAdjust=-500" in text
    assert "PartOf=appliance.target" in text


@pytest.mark.parametrize("name", ["appliance-hub.service", "appliance-spawner.service"])
def test_a_configuration_that_cannot_be_used_is_not_tried_for_ever(name: str) -> None:
    text = (UNITS / name).read_text()
    assert "RestartPreventExitStatus=78" in text
    assert "Type=notify" in text
    assert "WatchdogSec=" in text


def test_the_target_brings_everything_up() -> None:
    text = (UNITS / "appliance.target").read_text()
    for path in ALL:
        if path.suffix in (".service", ".socket"):
            assert path.name in text
