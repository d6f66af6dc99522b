"""How often a user may ask a preload daemon."""

from __future__ import annotations

from appliance.preload.daemon import Rates


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def allowed(rates: Rates, uid: int, times: int) -> int:
    return sum(rates.allows(uid) for _ in range(times))


def test_a_user_who_asks_without_end_is_refused_after_a_burst():
    assert allowed(Rates(Clock()), 1001, 100) == 10


def test_one_user_does_not_use_up_what_others_have():
    rates = Rates(Clock())
    allowed(rates, 1001, 100)
    assert allowed(rates, 1002, 5) == 5


def test_time_gives_it_back():
    clock = Clock()
    rates = Rates(clock)
    allowed(rates, 1001, 100)
    clock.now = 2.0
    assert allowed(rates, 1001, 100) == 1
    clock.now = 3600.0
    assert allowed(rates, 1001, 100) == 10


def test_no_more_users_are_remembered_than_asked_lately():
    clock = Clock()
    rates = Rates(clock)
    for uid in range(10_000):
        rates.allows(uid)
    clock.now = 60.0
    rates.allows(10_000)
    assert len(rates._buckets) == 1
