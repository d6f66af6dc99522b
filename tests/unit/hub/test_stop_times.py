"""Which moments the times of the calendar mean, whatever clocks do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from appliance.hub.culling.stop_times import next_stop

BERLIN = ZoneInfo("Europe/Berlin")


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("times", "after", "expected"),
    [
        (["22:00"], "2026-07-01T19:59:59", "2026-07-01T20:00:00"),
        (["22:00"], "2026-07-01T20:00:00", "2026-07-02T20:00:00"),
        (["22:00"], "2026-12-01T19:59:59", "2026-12-01T21:00:00"),
        (["Fri 18:00"], "2026-07-01T10:00:00", "2026-07-03T16:00:00"),
        (["fri 18:00"], "2026-07-03T16:00:00", "2026-07-10T16:00:00"),
        (["Fri 18:00", "22:00"], "2026-07-03T10:00:00", "2026-07-03T16:00:00"),
        (["Fri 18:00", "22:00"], "2026-07-03T17:00:00", "2026-07-03T20:00:00"),
        # Clocks are put forward from 2 to 3 on 29 March 2026, and back on 25 October.
        (["2:30"], "2026-03-28T12:00:00", "2026-03-29T01:30:00"),
        (["2:30"], "2026-03-29T01:30:00", "2026-03-30T00:30:00"),
        (["2:30"], "2026-10-24T12:00:00", "2026-10-25T00:30:00"),
        (["2:30"], "2026-10-25T00:30:00", "2026-10-26T01:30:00"),
        (["22:00"], "2026-03-28T21:00:00", "2026-03-29T20:00:00"),
    ],
)
def test_next_stop(times: list[str], after: str, expected: str) -> None:
    assert next_stop(times, _utc(after), zone=BERLIN) == _utc(expected)


def test_no_times_mean_no_stop() -> None:
    assert next_stop([], _utc("2026-07-01T00:00:00"), zone=BERLIN) is None


def test_each_time_comes_once_a_day_for_a_whole_year() -> None:
    moment, last = _utc("2026-01-01T00:00:00"), _utc("2027-01-01T00:00:00")
    days = []
    while moment < last:
        found = next_stop(["2:30"], moment, zone=BERLIN)
        assert found is not None
        moment = found
        days.append(moment.astimezone(BERLIN).date())
    assert days[:-1] == [days[0] + timedelta(days=number) for number in range(365)]
