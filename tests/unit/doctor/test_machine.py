"""What the doctor looks at besides the way from the browser to a cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.doctor import machine
from appliance.doctor.report import State
from appliance.doctor.system import System
from appliance.places import Places


class Doing(System):
    """Remembers instead of doing."""

    def __init__(self) -> None:
        self.done: list[tuple[str, ...]] = []

    def must(self, *command: str, seconds: float = 30) -> None:
        self.done.append(command)


def test_settings_that_everybody_may_read_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = tmp_path / "rules.conf"
    rules.write_text("")
    monkeypatch.setattr(machine, "RULES", rules)
    places, system = Places.of_trial(tmp_path), Doing()
    places.config_file.parent.mkdir(parents=True, exist_ok=True)
    places.config_file.write_text("")
    places.config_file.chmod(0o600)
    (check,) = machine.folders(system, places)
    assert check.state is State.OK
    places.config_file.chmod(0o644)
    (check,) = machine.folders(system, places)
    assert check.state is State.FAILED
    assert check.mend == f"sudo chmod 600 {places.config_file}"
    assert check.fix
    check.fix.do()
    assert system.done == [("chmod", "600", str(places.config_file))]
