"""Idle time is right although the wall clock jumps."""

from __future__ import annotations

from datetime import datetime

import pytest

from appliance.hub.activity import Activity
from appliance.names import ServerId, Username
from tests.fakes.clock import FakeClock

BOB = ServerId(Username("bob"))
REPORT_SECONDS = 300


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def activity(clock: FakeClock) -> Activity:
    activity = Activity(clock=clock)
    activity.began(BOB)
    return activity


def _reports(activity: Activity, clock: FakeClock, stamp: datetime, *, count: int) -> None:
    for _ in range(count):
        clock.pass_time(REPORT_SECONDS)
        activity.reported(BOB, stamp)


def test_a_server_that_says_the_same_again_and_again_is_idle(
    activity: Activity, clock: FakeClock
) -> None:
    stamp = clock.now()
    _reports(activity, clock, stamp, count=12)
    assert activity.idle_seconds(BOB) == pytest.approx(3600)


def test_activity_counts_from_when_it_was(activity: Activity, clock: FakeClock) -> None:
    clock.pass_time(200)
    stamp = clock.now()
    clock.pass_time(100)
    activity.reported(BOB, stamp)
    assert activity.idle_seconds(BOB) == pytest.approx(100)


@pytest.mark.parametrize("jump", [86400.0, -86400.0, 3600 * 24 * 365])
def test_a_jump_makes_nobody_idle_who_works(
    activity: Activity, clock: FakeClock, jump: float
) -> None:
    clock.pass_time(250)
    worked = clock.now()
    clock.jump(jump)
    clock.pass_time(50)
    activity.reported(BOB, worked)
    assert (activity.idle_seconds(BOB) or 0) <= 300
    clock.pass_time(290)
    activity.reported(BOB, clock.now())
    assert activity.idle_seconds(BOB) == pytest.approx(0)


@pytest.mark.parametrize("jump", [86400.0, -86400.0])
def test_a_jump_keeps_nobody_alive_who_left(
    activity: Activity, clock: FakeClock, jump: float
) -> None:
    left = clock.now()
    _reports(activity, clock, left, count=3)
    clock.jump(jump)
    _reports(activity, clock, left, count=9)
    assert activity.idle_seconds(BOB) == pytest.approx(12 * REPORT_SECONDS)


def test_what_is_not_known_to_run_is_not_idle(activity: Activity, clock: FakeClock) -> None:
    activity.ended(BOB)
    activity.reported(BOB, clock.now())
    assert activity.idle_seconds(BOB) is None


def test_a_server_found_running_is_believed_so_far(activity: Activity, clock: FakeClock) -> None:
    activity.began(BOB, idle_seconds=500)
    assert activity.idle_seconds(BOB) == pytest.approx(500)
    activity.began(BOB, idle_seconds=-500)
    assert activity.idle_seconds(BOB) == pytest.approx(0)
