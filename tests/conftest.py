"""What holds for all tests: quick ones come first, machines last, and nothing stays in /tmp."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from appliance import places

# A machine that is busy with other tests makes single examples slow, and says nothing of the code.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# Files of machine tests that take a minute and more: with the short ones at the end, no worker
# waits long for the other.
LONGEST_FIRST: Final = (
    "test_main_job", "test_spawner_daemon", "test_interrupted_install", "test_bad_luck",
    "test_jupyterhub_singleuser", "test_preload_life", "test_services", "test_crowd_disk_clock",
    "test_faults", "test_preload_confinement", "test_class_story", "test_disk",
    "test_proxy_in_front", "test_preload_attacks", "test_isolation",
)  # fmt: skip

_MACHINE_SECONDS: Final = 900


def pytest_configure() -> None:
    """Whatever runs the tests in the background may ignore signals, and what they start would."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn)
    for item in items:
        if item.get_closest_marker("machine") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_MACHINE_SECONDS))


def _turn(item: pytest.Item) -> int:
    if item.get_closest_marker("machine") is None:
        return -1
    name = item.path.stem
    return LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)


@pytest.fixture(autouse=True)
def _no_sockets_stay_in_tmp(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sockets of a trial are in /tmp when its folder's path is long, as pytest's are."""
    found: list[Path] = []
    find = places._trial_run

    def remember(folder: Path) -> Path:
        found.append(find(folder))
        return found[-1]

    monkeypatch.setattr(places, "_trial_run", remember)
    yield
    for run in found:
        if run.name.startswith("ha-"):
            shutil.rmtree(run, ignore_errors=True)
