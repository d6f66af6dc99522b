"""Environments: built beside, switched by one rename, healed after an interruption, pruned late."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.errors import InstallError
from installer.environments import COMPLETE, Environment, Tools, prune, without_hashes
from installer.events import Reporter
from tests.fakes.uv import write_fake_uv

REPORTER = Reporter(as_json=True)


@pytest.fixture
def software(tmp_path: Path) -> Path:
    folder = tmp_path / "software"
    folder.mkdir()
    return folder


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    wheel = tmp_path / "hub_appliance-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    return Tools(write_fake_uv(tmp_path), wheel, sys.executable)


@pytest.fixture
def environment() -> Environment:
    return Environment("user", "a==1 \\\n    --hash=sha256:00\n")


def _calls(tools: Tools) -> list[str]:
    log = tools.uv.with_name("uv.log")
    return log.read_text().splitlines() if log.exists() else []


def test_an_environment_is_built_and_linked(
    environment: Environment, software: Path, tools: Tools
) -> None:
    assert not environment.is_current(software, tools)
    environment.ensure(software, tools, REPORTER)
    assert environment.is_current(software, tools)
    assert (software / "user").resolve() == environment.directory(software, tools)
    assert not (software / "user").readlink().is_absolute()
    venv, install = _calls(tools)
    assert venv.startswith("venv")
    assert "--require-hashes --no-deps" in install
    assert "--compile-bytecode" in install


def test_an_environment_that_is_there_is_left_alone(
    environment: Environment, software: Path, tools: Tools
) -> None:
    environment.ensure(software, tools, REPORTER)
    environment.ensure(software, tools, REPORTER)
    assert len(_calls(tools)) == 2


def test_a_lost_link_is_put_back_without_building(
    environment: Environment, software: Path, tools: Tools
) -> None:
    environment.ensure(software, tools, REPORTER)
    (software / "user").unlink()
    assert not environment.is_current(software, tools)
    environment.ensure(software, tools, REPORTER)
    assert environment.is_current(software, tools)
    assert len(_calls(tools)) == 2


def test_a_half_built_environment_is_built_anew(
    environment: Environment, software: Path, tools: Tools
) -> None:
    directory = environment.directory(software, tools)
    directory.mkdir(parents=True)
    (directory / "half").touch()
    environment.ensure(software, tools, REPORTER)
    assert not (directory / "half").exists()
    assert (directory / COMPLETE).exists()


def test_a_failed_build_leaves_the_old_one_in_use(
    environment: Environment, software: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.ensure(software, tools, REPORTER)
    before = (software / "user").resolve()
    monkeypatch.setenv("FAKE_UV_FAILS", "1")
    newer = dataclasses.replace(environment, pinned="a==2\n")
    with pytest.raises(InstallError) as caught:
        newer.ensure(software, tools, REPORTER)
    assert "no such package: banana" in caught.value.why
    assert (software / "user").resolve() == before


@pytest.mark.parametrize(
    "change",
    [{"pinned": "a==2\n"}, {"wanted": "pandas\n"}],
    ids=["other pins", "own requirements"],
)
def test_what_it_is_made_of_names_the_directory(
    environment: Environment, software: Path, tools: Tools, change: dict[str, str]
) -> None:
    other = dataclasses.replace(environment, **change)
    assert other.directory(software, tools) != environment.directory(software, tools)


def test_another_wheel_makes_another_environment(
    environment: Environment, software: Path, tools: Tools
) -> None:
    before = environment.directory(software, tools)
    tools.wheel.write_bytes(b"another wheel")
    assert environment.directory(software, tools) != before


def test_own_requirements_may_not_move_the_pins(
    environment: Environment, software: Path, tools: Tools
) -> None:
    wanting = dataclasses.replace(environment, wanted="pandas\n")
    wanting.ensure(software, tools, REPORTER)
    _, pinned, own = _calls(tools)
    assert "--compile-bytecode" not in pinned
    assert "--compile-bytecode" not in own
    assert "--constraint" in own
    directory = wanting.directory(software, tools)
    assert (directory / "constraints.txt").read_text() == "a==1\n"


def test_hashes_are_taken_out_of_pins() -> None:
    pins = "a==1 ; python_version < '4' \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\nb==2\n"
    assert without_hashes(pins) == "a==1 ; python_version < '4'\nb==2\n"


def test_old_environments_go_when_no_process_uses_them(
    environment: Environment, software: Path, tools: Tools
) -> None:
    environment.ensure(software, tools, REPORTER)
    old = (software / "user").resolve()
    sleeper = old / "bin/sleeper"
    sleeper.symlink_to("/bin/sleep")
    dataclasses.replace(environment, pinned="a==2\n").ensure(software, tools, REPORTER)
    with subprocess.Popen([str(sleeper), "60"]) as process:
        # exec(2) closes the parent's pipe a moment before the new program has its arguments.
        while str(sleeper) not in Path(f"/proc/{process.pid}/cmdline").read_text():
            time.sleep(0.01)
        assert prune(software) == []
        assert old.exists()
        process.kill()
    assert prune(software) == [old.name]
    assert (software / "user").resolve().exists()


def test_wheels_that_the_owner_gave_are_found_again(
    environment: Environment, software: Path, tools: Tools
) -> None:
    (software / "wheels/own").mkdir(parents=True)
    wanted = dataclasses.replace(environment, wanted="mine\n", locked="mine==1.0\n")
    wanted.ensure(software, tools, REPORTER)
    assert f"--find-links {software}/wheels/own" in _calls(tools)[-1]
    directory = wanted.directory(software, tools)
    assert (directory / "constraints.txt").read_text().endswith("mine==1.0\n")
    assert directory != dataclasses.replace(wanted, locked="").directory(software, tools)
