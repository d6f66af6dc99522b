"""What waits between two steps: for a while, for one use, and never too much of it."""

from __future__ import annotations

import pytest

from appliance.native_auth import half_way
from appliance.native_auth.half_way import LIFETIME_SECONDS, HalfWay
from tests.fakes.clock import FakeClock


def test_it_is_taken_once() -> None:
    waiting: HalfWay[str] = HalfWay(clock=FakeClock())
    key = waiting.put("x", owner="bob")
    assert [waiting.find(key), waiting.take(key), waiting.take(key)] == ["x", "x", None]


def test_it_ends_by_the_clock_that_nobody_sets() -> None:
    clock = FakeClock()
    waiting: HalfWay[str] = HalfWay(clock=clock)
    key = waiting.put("x", owner="bob")
    clock.jump(-86400)
    clock.pass_time(LIFETIME_SECONDS - 1)
    assert waiting.find(key) == "x"
    clock.pass_time(1)
    assert waiting.take(key) is None


@pytest.mark.parametrize("key", ["", "x", "x" * 101, "\0", "é"])
def test_other_keys_open_nothing(key: str) -> None:
    waiting: HalfWay[str] = HalfWay(clock=FakeClock())
    waiting.put("x", owner="bob")
    assert waiting.take(key) is None


def test_who_begins_much_pushes_out_their_own_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half_way, "_MOST_OF_ONE", 3)
    monkeypatch.setattr(half_way, "_MOST", 6)
    waiting: HalfWay[int] = HalfWay(clock=FakeClock())
    of_bob = waiting.put(0, owner="bob")
    of_eve = [waiting.put(number, owner="eve") for number in range(20)]
    assert waiting.find(of_bob) == 0
    assert [waiting.find(key) for key in of_eve[-3:]] == [17, 18, 19]
    assert waiting.find(of_eve[-4]) is None
    many = [waiting.put(number, owner=f"network {number}") for number in range(6)]
    assert all(waiting.find(key) is not None for key in many)
    assert waiting.find(of_bob) is None


def test_what_is_meant_is_forgotten() -> None:
    waiting: HalfWay[str] = HalfWay(clock=FakeClock())
    keys = [waiting.put(name, owner=name) for name in ("bob", "ada")]
    waiting.forget(lambda thing: thing == "bob")
    assert [waiting.find(key) for key in keys] == [None, "ada"]
