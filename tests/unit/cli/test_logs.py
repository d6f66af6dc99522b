"""Which units `appliance logs` asks the journal for."""

from __future__ import annotations

import itertools
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from appliance.cli import logs
from appliance.cli.output import Output
from appliance.errors import NotFound
from appliance.places import Places
from appliance.rollout.services import LOGGED

UNITS = {path.name for path in (Path(__file__).parents[3] / "units").iterdir()}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0, "a line\n", "")

    monkeypatch.setattr(subprocess, "run", run)
    return commands


@pytest.mark.parametrize("name", [*LOGGED, "ada", "ada/lab"])
def test_every_layer_has_a_log(asked: list[list[str]], name: str) -> None:
    logs.show(Places.installed(), Output(), name, lines=7, follow=False)
    (command,) = asked
    units = [word for before, word in itertools.pairwise(command) if before == "-u"]
    expected = {
        "ada": ["appliance-user-ada.service"],
        "ada/lab": ["appliance-user-ada-lab.service"],
    }
    assert units == expected.get(name, list(LOGGED.get(name, ())))
    assert "-n 7" in " ".join(command)


def test_all_of_ours_are_units_that_we_ship(asked: list[list[str]]) -> None:
    logs.show(Places.installed(), Output(), "", lines=7, follow=False)
    found = {word for word in asked[0] if word.endswith(".service")}
    # Jobs on classes' files run in units that come and go.
    assert found - UNITS == {"appliance-files-*.service"}


def test_since_goes_to_the_journal(asked: list[list[str]]) -> None:
    moment = datetime(2030, 1, 31, 8, tzinfo=UTC)
    logs.show(Places.installed(), Output(), "hub", lines=7, follow=False, since=moment)
    assert f"--since @{moment.timestamp():.0f}" in " ".join(asked[0])


def test_before_the_first_job_there_is_nothing_to_show(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "Failed to add filter for units: No data available\n"

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", said)

    monkeypatch.setattr(subprocess, "run", run)
    logs.show(Places.installed(), Output(), "files", lines=7, follow=False)
    assert "nothing in the journal about files" in "".join(capsys.readouterr())


def test_a_name_that_nobody_can_have_is_told_as_unknown() -> None:
    with pytest.raises(NotFound, match="there is no program, server or service of that name"):
        logs.show(Places.installed(), Output(), "nobody", lines=7, follow=False)
