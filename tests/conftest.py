"""What holds for all tests: quick ones come first, machines last, and nothing stays in /tmp."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from appliance import places

# A machine that is busy with other tests makes single examples slow, and says nothing of the code.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_configure() -> None:
    """Whatever runs the tests in the background may ignore signals, and what they start would."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("machine") is not None)


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
