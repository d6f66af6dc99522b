"""uv's cache is kept unless the machine went down while uv wrote to it."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest

from appliance.errors import InstallError
from installer.cache import trusted_cache


@pytest.fixture
def boot_id(tmp_path: Path) -> Path:
    path = tmp_path / "boot_id"
    path.write_text("first\n")
    return path


def _die_while_writing(cache: Path, boot_id: Path) -> None:
    """What a power cut or kill -9 leaves: the mark."""
    with contextlib.suppress(KeyboardInterrupt), trusted_cache(cache, boot_id=boot_id) as writing:
        (writing / "wheel").touch()
        raise KeyboardInterrupt


def test_a_finished_cache_survives_a_reboot(tmp_path: Path, boot_id: Path) -> None:
    with trusted_cache(tmp_path / "cache", boot_id=boot_id) as cache:
        (cache / "wheel").touch()
    boot_id.write_text("second\n")
    with trusted_cache(tmp_path / "cache", boot_id=boot_id) as cache:
        assert (cache / "wheel").exists()


def test_a_killed_run_leaves_a_good_cache(tmp_path: Path, boot_id: Path) -> None:
    _die_while_writing(tmp_path / "cache", boot_id)
    with trusted_cache(tmp_path / "cache", boot_id=boot_id) as cache:
        assert (cache / "wheel").exists()


def test_after_a_power_cut_the_cache_is_not_trusted(tmp_path: Path, boot_id: Path) -> None:
    _die_while_writing(tmp_path / "cache", boot_id)
    boot_id.write_text("second\n")
    with trusted_cache(tmp_path / "cache", boot_id=boot_id) as cache:
        assert not (cache / "wheel").exists()


def test_packages_stay_when_one_of_them_could_not_be_had(tmp_path: Path, boot_id: Path) -> None:
    with (
        contextlib.suppress(InstallError),
        trusted_cache(tmp_path / "cache", boot_id=boot_id) as cache,
    ):
        (cache / "wheel").touch()
        raise InstallError("cannot fetch", why="no network")
    boot_id.write_text("second\n")
    with trusted_cache(tmp_path / "cache", boot_id=boot_id) as cache:
        assert (cache / "wheel").exists()


def test_two_builds_take_turns(tmp_path: Path, boot_id: Path) -> None:
    second_is_in = threading.Event()

    def second() -> None:
        with trusted_cache(tmp_path / "cache", boot_id=boot_id):
            second_is_in.set()

    with trusted_cache(tmp_path / "cache", boot_id=boot_id):
        thread = threading.Thread(target=second)
        thread.start()
        assert not second_is_in.wait(0.2)
    thread.join(5)
    assert second_is_in.is_set()
