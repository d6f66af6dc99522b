"""The order of all tests: quick ones first, then machines, each release in a worker of its own.

With `-n 2 --dist loadgroup` the machines of Debian 12 and of Debian 13 run side by side, and each
release is installed once.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance import places


def _release(item: pytest.Item) -> str:
    """The Debian release that a test's machine has, "" for a test without one."""
    if item.get_closest_marker("machine") is None:
        return ""
    params = getattr(getattr(item, "callspec", None), "params", {})
    releases = [str(value) for value in params.values() if value.__class__.__name__ == "Debian"]
    return releases[0] if releases else "bookworm"


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_release)
    for item in items:
        if release := _release(item):
            item.add_marker(pytest.mark.xdist_group(release))


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
