"""Steps on the machine: files are put in place once, foreign files are left alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.errors import InstallError
from appliance.names import parse_username
from appliance.places import Places
from appliance.systemd_spawner.files import DAEMON_FILES
from installer import result
from installer.environment_steps import kept_requirements, own_requirements
from installer.events import Reporter
from installer.files import point_link, remove_tree, write_file
from installer.machine_steps import CommandLink, SpawnerFiles, Units, units_source
from installer.plan import carry_out
from installer.service_steps import Configuration
from tests.fakes.systemctl import FakeSystemctl

REPORTER = Reporter(as_json=True)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return replace(
        Places.installed(),
        software=tmp_path / "opt",
        settings=tmp_path / "etc/appliance",
        state=tmp_path / "var",
    )


@dataclass
class FakeStep:
    title: str
    done: bool
    applied: bool = False

    def is_done(self) -> bool:
        return self.done

    def apply(self) -> None:
        self.applied = True


def test_what_is_done_is_not_done_again(capsys: pytest.CaptureFixture[str]) -> None:
    steps = [FakeStep("one", done=True), FakeStep("two", done=False)]
    assert carry_out(steps, REPORTER) == ["two"]
    assert [step.applied for step in steps] == [False, True]
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line[0] == "{"]
    assert events == [{"event": "stage", "title": "two"}]


def test_a_file_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "folder/file"
    assert write_file(path, b"x", mode=0o600)
    inode = path.stat().st_ino
    assert not write_file(path, b"x", mode=0o600)
    assert path.stat().st_ino == inode
    assert write_file(path, b"x", mode=0o644)
    assert write_file(path, b"y")
    assert path.read_bytes() == b"y"


def test_a_folder_in_the_place_of_a_link_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    (tmp_path / "user/precious").touch()
    assert point_link(tmp_path / "user", "environments/x")
    assert [path.name for path in tmp_path.glob("user.old-*/*")] == ["precious"]


def test_the_daemons_files_are_copied_and_compiled(places: Places) -> None:
    step = SpawnerFiles(places, REPORTER, "/usr/bin/python3")
    assert not step.is_done()
    step.apply()
    assert step.is_done()
    for place in DAEMON_FILES.values():
        assert (places.software / "spawner" / place).is_file()
    assert list((places.software / "spawner").rglob("*.pyc"))


def test_all_units_are_copied_and_systemd_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemctl = FakeSystemctl.install(tmp_path, monkeypatch)
    step = Units(REPORTER, etc=tmp_path / "etc")
    assert not step.is_done()
    step.apply()
    assert step.is_done()
    assert systemctl.calls() == ["daemon-reload"]
    assert {path.name for path in (tmp_path / "etc/systemd/system").iterdir()} == {
        path.name
        for path in units_source().iterdir()
        if path.suffix[1:] in "service socket slice target timer path"
    }
    changed = tmp_path / "etc/systemd/system/appliance-hub.service"
    changed.write_text("broken by hand")
    assert not step.is_done()


def test_another_command_of_our_name_is_not_overwritten(tmp_path: Path, places: Places) -> None:
    link = tmp_path / "bin/appliance"
    link.parent.mkdir()
    link.write_text("somebody's own")
    step = CommandLink(places, link)
    assert not step.is_done()
    with pytest.raises(InstallError, match="which isn't ours"):
        step.apply()
    link.unlink()
    step.apply()
    assert step.is_done()


def test_own_requirements_are_kept_from_run_to_run(tmp_path: Path, places: Places) -> None:
    assert own_requirements(places, None) == ""
    given = tmp_path / "mine.txt"
    given.write_text("pandas\n")
    assert own_requirements(places, given) == "pandas\n"
    assert not kept_requirements(places).exists(), "they are kept when they could be installed"
    write_file(kept_requirements(places), b"numpy\n")
    assert own_requirements(places, None) == "numpy\n"
    given.write_bytes(b"\xff")
    with pytest.raises(InstallError):
        own_requirements(places, given)


@pytest.fixture
def configuration(places: Places, monkeypatch: pytest.MonkeyPatch) -> Configuration:
    monkeypatch.setattr("appliance.rollout.render.HUB_GROUP", "root")
    monkeypatch.setattr("installer.service_steps.check_nginx", lambda *_: None)
    return Configuration(places, lambda config, _: f"port {config.http.port}", {"http.port": "81"})


def test_the_first_configuration_has_the_port(configuration: Configuration) -> None:
    assert not configuration.is_done()
    configuration.apply()
    assert configuration.is_done()
    assert configuration.in_force().http.port == 81
    assert configuration.places.config_file.stat().st_mode & 0o777 == 0o600


def _edit(configuration: Configuration) -> None:
    configuration.places.config_file.write_text("http: {port: 99}\n")


def _break(configuration: Configuration) -> None:
    configuration.places.config_file.write_text("http: [\n")


@pytest.mark.parametrize("damage", [_edit, _break])
def test_an_edit_that_is_not_in_force_stays_so(
    configuration: Configuration, damage: Callable[[Configuration], None]
) -> None:
    configuration.apply()
    damage(configuration)
    text = configuration.places.config_file.read_text()
    (configuration.places.rendered / "nginx.conf").write_text("older")
    assert not configuration.is_done()
    configuration.apply()
    assert configuration.in_force().http.port == 81
    assert configuration.places.config_file.read_text() == text
    assert configuration.has_unapplied_edits()


def test_a_deleted_configuration_comes_back_as_it_was(configuration: Configuration) -> None:
    configuration.apply()
    text = configuration.places.config_file.read_text()
    configuration.places.config_file.unlink()
    assert not configuration.is_done()
    configuration.apply()
    assert configuration.places.config_file.read_text() == text


def test_who_becomes_an_admin(monkeypatch: pytest.MonkeyPatch) -> None:
    ada = parse_username("ada")
    monkeypatch.setenv("SUDO_USER", "games")
    assert result.first_admins([ada], known=0) == [ada]
    assert result.first_admins([], known=1) == []
    assert result.first_admins([], known=0) == ["games"]
    monkeypatch.setenv("SUDO_USER", "root")
    assert result.first_admins([], known=0) == []


@pytest.mark.parametrize(
    ("expires_at", "said"),
    [
        ("2030-01-02T00:00:00Z", "24 hours"),
        ("2030-01-08T00:00:00+00:00", "7 days"),
        ("x", "a while"),
    ],
)
def test_lifetimes_are_said_in_words(expires_at: str, said: str) -> None:
    assert result.lifetime(expires_at, now=datetime(2030, 1, 1, tzinfo=UTC)) == said


def test_folders_of_any_depth_are_removed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    here = os.open(home, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("a", dir_fd=here)
        inner = os.open("a", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    remove_tree(home)
    remove_tree(home)
    assert not home.exists()
