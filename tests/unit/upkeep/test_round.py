"""The regular upkeep: what is due is done, a failure stops nothing, clocks may jump."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.config.schema import Config
from appliance.errors import ApplianceError
from appliance.places import Places
from appliance.upkeep.chore import Chore
from appliance.upkeep.round import do_round

HOUR = 3600


class Counted:
    def __init__(self, *, fails: bool = False, error: Exception | None = None) -> None:
        self.times = 0
        self._error = ApplianceError("cannot look", why="it is dark") if fails else error

    def __call__(self, _config: Config, _places: Places) -> None:
        self.times += 1
        if self._error:
            raise self._error


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places.of_trial(tmp_path)


def test_chores_are_done_when_they_are_due(places: Places) -> None:
    often, hourly = Counted(), Counted()
    chores = [Chore("often", 0, often), Chore("hourly", HOUR, hourly)]
    for minute in (0, 15, 30, 45, 60, 75):
        assert do_round(chores, Config(), places, now=lambda at=minute: 1e9 + at * 60) == []
    assert (often.times, hourly.times) == (6, 2)
    do_round(chores, Config(), places, everything=True, now=lambda: 1e9 + 76 * 60)
    assert hourly.times == 3


def test_a_failure_is_told_and_the_others_go_on(
    places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    good, bug = Counted(), Counted(error=RecursionError("too deep"))
    chores = [Chore("bad", 0, Counted(fails=True)), Chore("bug", 0, bug), Chore("good", 0, good)]
    assert do_round(chores, Config(), places) == ["bad", "bug"]
    assert good.times == 1
    assert "bad: cannot look: it is dark" in caplog.text
    assert "bug: a bug of the appliance" in caplog.text


def test_a_clock_that_was_set_back_and_a_damaged_record_make_everything_due(
    places: Places,
) -> None:
    chore = Counted()
    chores = [Chore("hourly", HOUR, chore)]
    do_round(chores, Config(), places, now=lambda: 1e9)
    do_round(chores, Config(), places, now=lambda: 1e9 - 1)
    assert chore.times == 2
    (places.upkeep_state / "last.json").write_text("[1]")
    do_round(chores, Config(), places, now=lambda: 1e9)
    assert chore.times == 3
