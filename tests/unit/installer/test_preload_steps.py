"""What is preloaded follows what is installed, and never fails an installation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.places import Places
from appliance.rollout.preload import PRELOAD_UNITS
from installer.preload_steps import Preload, StalePreload
from tests.fakes.services import FakeCommands
from tests.fakes.systemctl import FakeSystemctl

SERVER, KERNEL = PRELOAD_UNITS


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSystemctl:
    return FakeSystemctl.install(tmp_path, monkeypatch)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    made = replace(Places.installed(), software=tmp_path / "opt", state=tmp_path / "var")
    for name in ("user-1", "user-2", "spawner-1"):
        (made.software / "environments" / name).mkdir(parents=True)
    (made.software / "user").symlink_to("environments/user-1")
    (made.software / "spawner").symlink_to("environments/spawner-1")
    made.rendered.mkdir(parents=True)
    settings = {"servers": True, "kernels": True, "packages": []}
    (made.rendered / "preload.json").write_text(json.dumps(settings))
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    for unit in PRELOAD_UNITS:
        (units / unit).write_text(unit)
    return made


@pytest.fixture
def step(places: Places, tmp_path: Path, systemctl: FakeSystemctl) -> Preload:
    return Preload(places, etc=tmp_path / "etc")


def test_what_is_loaded_is_not_loaded_again(step: Preload, systemctl: FakeSystemctl) -> None:
    assert not step.is_done()
    step.apply()
    assert systemctl.calls() == [f"start {SERVER} {KERNEL}"]
    assert step.is_done()
    assert StalePreload(step).is_done()
    assert step.remarks == []


def _new_environment(step: Preload) -> None:
    link = step.places.software / "user"
    link.unlink()
    link.symlink_to("environments/user-2")


def _new_settings(step: Preload) -> None:
    (step.places.rendered / "preload.json").write_text('{"servers": true, "kernels": false}')


def _new_unit(step: Preload) -> None:
    (step.etc / "systemd/system" / KERNEL).write_text("other")


@pytest.mark.parametrize("change", [_new_environment, _new_settings, _new_unit])
def test_what_is_of_an_earlier_installation_is_ended_first(
    step: Preload, systemctl: FakeSystemctl, change: object
) -> None:
    step.apply()
    systemctl.calls()
    assert callable(change)
    change(step)
    stale = StalePreload(step)
    assert not stale.is_done()
    stale.apply()
    assert systemctl.calls() == [f"stop {SERVER} {KERNEL}"]
    assert not step.is_done()
    step.apply()
    assert step.is_done()


def test_one_that_died_is_started(step: Preload, systemctl: FakeSystemctl) -> None:
    step.apply()
    systemctl.kill(KERNEL)
    assert StalePreload(step).is_done()
    assert not step.is_done()


def test_one_that_is_switched_off_need_not_run(step: Preload, systemctl: FakeSystemctl) -> None:
    _new_settings(step)
    step.apply()
    systemctl.kill(KERNEL)
    assert step.is_done()
    systemctl.kill(SERVER)
    assert not step.is_done()


def test_a_daemon_that_fails_is_told_and_the_installation_goes_on(
    places: Places, tmp_path: Path, systemctl: FakeSystemctl
) -> None:
    commands = FakeCommands(
        {
            "systemctl start": (1, "Job failed"),
            f"systemctl is-failed {SERVER}": (0, "failed"),
            "systemctl show": (0, "ab"),
            "journalctl": (0, "/opt belongs to user id 1000\n"),
        }
    )
    step = Preload(places, etc=tmp_path / "etc", runner=commands)
    step.apply()
    assert step.remarks == [
        "servers are not preloaded and start the ordinary way: /opt belongs to user id 1000 "
        "(sudo appliance logs preload)"
    ]
    # Another run of the installer tries again.
    assert not step.is_done()


def test_no_user_may_read_the_record(step: Preload) -> None:
    step.apply()
    assert (step.places.software / "preloaded.json").stat().st_mode & 0o777 == 0o600
