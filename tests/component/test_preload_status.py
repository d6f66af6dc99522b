"""What `appliance status` says of the preload daemons, from what systemd and the journal say."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.cli.preloading import UNITS, gather_preloading, preloading_text
from appliance.config.schema import Config, Preload, ServerProgram, Servers
from appliance.places import Places
from tests.fakes.systemctl import FakeSystemctl

READY = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running"}
STARTS = {"preloaded": 2, "cold": 0, "latest_cold": None}


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSystemctl:
    made = FakeSystemctl.install(tmp_path, monkeypatch)
    for unit in UNITS.values():
        made.describe(unit, **READY)
    return made


def shown(config: Config | None = None) -> str:
    said = gather_preloading(Places.installed(), config or Config(), STARTS)
    return preloading_text(said).splitlines()[0]


def describe(systemctl: FakeSystemctl, **properties: str) -> None:
    systemctl.describe(UNITS["kernels"], **{**READY, **properties})


@pytest.mark.usefixtures("systemctl")
def test_both_are_ready() -> None:
    assert shown() == "servers and kernels ready"


@pytest.mark.usefixtures("systemctl")
def test_one_is_off_by_its_setting() -> None:
    config = Config(preload=Preload(kernels=False))
    assert shown(config) == "servers ready; kernels off: by preload.kernels"


def test_one_is_starting(systemctl: FakeSystemctl) -> None:
    describe(systemctl, ActiveState="activating", SubState="start")
    assert shown() == "servers ready; kernels starting"


def test_one_that_loads_changed_packages_is_starting(systemctl: FakeSystemctl) -> None:
    describe(systemctl, ActiveState="activating", SubState="auto-restart", Result="success")
    assert shown() == "servers ready; kernels starting"


@pytest.mark.usefixtures("systemctl")
def test_nothing_is_preloaded_for_another_program() -> None:
    config = Config(servers=Servers(program=ServerProgram.JUPYTERHUB))
    assert shown(config) == "servers and kernels off: by servers.program"


def test_one_that_failed_is_told_with_its_own_last_words(systemctl: FakeSystemctl) -> None:
    describe(systemctl, ActiveState="activating", SubState="auto-restart", Result="exit-code")
    words = "/opt/appliance/user can be written by ada"
    (systemctl.folder / "journal").write_text(f"{words}\x1b[31m\n")
    assert shown() == f"servers ready; kernels not running: {words}\ufffd[31m"


def test_one_that_failed_without_a_word_is_told_in_systemds(systemctl: FakeSystemctl) -> None:
    describe(systemctl, ActiveState="failed", Result="signal", ExecMainStatus="9")
    assert shown() == "servers ready; kernels not running: signal, exit status 9"


def test_one_that_somebody_stopped(systemctl: FakeSystemctl) -> None:
    describe(systemctl, ActiveState="inactive", SubState="dead", Result="success")
    unit = UNITS["kernels"]
    assert (
        shown() == f"servers ready; kernels not running: it is stopped; sudo systemctl start {unit}"
    )


def test_one_that_is_not_installed(systemctl: FakeSystemctl) -> None:
    describe(systemctl, LoadState="not-found", ActiveState="inactive", Result="success")
    assert shown().endswith(f"{UNITS['kernels']} is not installed")


def test_without_systemd_nothing_is_known(systemctl: FakeSystemctl) -> None:
    for unit in UNITS.values():
        systemctl.describe(unit)
    assert shown() == "servers and kernels unknown: systemd doesn't answer"
