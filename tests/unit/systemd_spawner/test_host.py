from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from appliance.errors import SpawnRefused
from appliance.systemd_spawner.host import Host, run_command


class Commands:
    def __init__(self) -> None:
        self.run: list[list[str]] = []

    def __call__(self, command: Sequence[str]) -> None:
        self.run.append(list(command))


@pytest.fixture
def homes(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def host(homes: Path, tmp_path: Path) -> Host:
    skeleton = tmp_path / "skel"
    (skeleton / "folder").mkdir(parents=True)
    (skeleton / ".bashrc").write_text("# hello")
    (skeleton / "link").symlink_to("/etc/passwd")
    return Host(homes=homes, skeleton=skeleton, locks=tmp_path, run=Commands())


def test_group_and_account_are_made_with_the_given_number(homes: Path) -> None:
    commands = Commands()
    Host(homes=homes, run=commands).ensure_account("nb-nobody-has-this", 54321)
    group, user = commands.run
    assert group == ["groupadd", "--gid", "54321", "--", "nb-nobody-has-this"]
    assert user[:5] == ["useradd", "--uid", "54321", "--gid", "nb-nobody-has-this"]
    assert "--no-create-home" in user


def test_an_account_with_another_number_is_not_touched(homes: Path) -> None:
    commands = Commands()
    with pytest.raises(SpawnRefused, match="'daemon'"):
        Host(homes=homes, run=commands).ensure_account("daemon", 54321)
    assert commands.run == []


def test_a_home_appears_complete_and_private(host: Host, homes: Path) -> None:
    host.ensure_home("nb-ada", os.getuid())
    home = homes / "nb-ada"
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / ".bashrc").read_text() == "# hello"
    assert (home / "link").is_symlink()
    assert [path.name for path in homes.iterdir()] == ["nb-ada"]


def test_a_home_half_made_by_a_power_cut_is_made_anew(host: Host, homes: Path) -> None:
    (homes / ".nb-ada.new").mkdir()
    (homes / ".nb-ada.new" / "half").touch()
    host.ensure_home("nb-ada", os.getuid())
    assert not (homes / "nb-ada" / "half").exists()


def test_a_home_with_files_stays_as_it_is(host: Host, homes: Path) -> None:
    (homes / "nb-ada").mkdir()
    (homes / "nb-ada" / "work.ipynb").write_text("work")
    host.ensure_home("nb-ada", os.getuid())
    assert [path.name for path in (homes / "nb-ada").iterdir()] == ["work.ipynb"]


def test_a_missing_home_is_told_with_a_way_to_mend_it(host: Host) -> None:
    with pytest.raises(SpawnRefused, match="is missing") as raised:
        host.check_home("nb-ada", os.getuid())
    assert "install -d -m 0700" in raised.value.mend


def test_somebody_elses_home_is_refused(host: Host, homes: Path) -> None:
    (homes / "nb-ada").mkdir()
    with pytest.raises(SpawnRefused, match="not a directory of account"):
        host.check_home("nb-ada", os.getuid() + 1)


def test_a_link_in_place_of_a_home_is_refused(host: Host, homes: Path, tmp_path: Path) -> None:
    (homes / "nb-ada").symlink_to(tmp_path)
    with pytest.raises(SpawnRefused):
        host.check_home("nb-ada", os.getuid())


def test_only_locks_from_before_the_boot_are_removed(host: Host, tmp_path: Path) -> None:
    old, new = tmp_path / "passwd.lock", tmp_path / "group.lock"
    old.touch()
    new.touch()
    os.utime(old, (1, 1))
    host.clear_stale_locks()
    assert (old.exists(), new.exists()) == (False, True)


def test_a_failing_command_is_told_in_its_own_words() -> None:
    with pytest.raises(SpawnRefused, match="no such user-name") as raised:
        run_command(["sh", "-c", "echo 'no such user-name' >&2; exit 6"])
    assert "pwck" in raised.value.mend


def test_a_missing_command_is_told() -> None:
    with pytest.raises(SpawnRefused, match="no-such-command"):
        run_command(["no-such-command"])
