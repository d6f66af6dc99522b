"""Guessing gets slow, nobody is locked out, and a restart forgets nothing."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from appliance.db.session import Database
from appliance.errors import TooMany
from appliance.native_auth.throttle import RULES, Throttle, keys_for_login, network_of
from tests.fakes.clock import FakeClock

BOB = keys_for_login("bob", "192.0.2.1")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def db(tmp_path: Path) -> Database:
    db = Database.at(tmp_path / "hub.sqlite")
    db.open()
    return db


@pytest.fixture
def throttle(db: Database, clock: FakeClock) -> Throttle:
    return Throttle(db=db, clock=clock)


def _refused(throttle: Throttle, keys: list[str]) -> int:
    with pytest.raises(TooMany) as refused:
        throttle.attempt(keys)
    return refused.value.retry_after_seconds


def test_some_failures_are_free_and_then_each_doubles_the_wait(
    throttle: Throttle, clock: FakeClock
) -> None:
    for _ in range(RULES["guesser"].free):
        throttle.attempt(BOB)
    waits = []
    for _ in range(5):
        waits.append(_refused(throttle, BOB))
        clock.pass_time(waits[-1])
        throttle.attempt(BOB)
    assert waits == sorted(waits)
    assert waits[0] <= 2
    assert waits[-1] >= 15


def test_the_wait_has_a_cap(throttle: Throttle, clock: FakeClock) -> None:
    waits = []
    for _ in range(60):
        try:
            throttle.attempt(BOB)
        except TooMany as refused:
            waits.append(refused.retry_after_seconds)
            clock.pass_time(waits[-1])
    assert 60 < max(waits) <= RULES["guesser"].cap_seconds + 1


def test_a_restart_forgets_nothing(db: Database, throttle: Throttle, clock: FakeClock) -> None:
    for _ in range(RULES["guesser"].free):
        throttle.attempt(BOB)
    _refused(Throttle(db=db, clock=clock), BOB)


def test_a_success_forgets_the_accounts_failures(throttle: Throttle) -> None:
    for _ in range(20):
        throttle.attempt(BOB)
        throttle.succeeded(BOB)
    throttle.attempt(BOB)


def test_failures_fade(throttle: Throttle, clock: FakeClock) -> None:
    for _ in range(RULES["guesser"].free):
        throttle.attempt(BOB)
    clock.pass_time(3600)
    for _ in range(RULES["guesser"].free):
        throttle.attempt(BOB)


def test_a_stranger_cannot_keep_the_owner_away(throttle: Throttle, clock: FakeClock) -> None:
    throttle.attempt(BOB)
    throttle.succeeded(BOB, remember="known:bob 192.0.2.1")
    for number in range(40):
        try:
            throttle.attempt(keys_for_login("bob", f"198.51.100.{number}"))
        except TooMany:
            break
    _refused(throttle, keys_for_login("bob", "203.0.113.1"))
    throttle.attempt(BOB, unless_known="known:bob 192.0.2.1")


def test_a_lecture_hall_behind_one_address_can_log_in_at_once(throttle: Throttle) -> None:
    everybody = [keys_for_login(f"student{number}", "192.0.2.1") for number in range(250)]
    for keys in everybody:
        throttle.attempt(keys)
    for keys in everybody:
        throttle.succeeded(keys)


def test_many_names_from_one_address_get_slow(throttle: Throttle) -> None:
    for number in range(RULES["address"].free):
        throttle.attempt(keys_for_login(f"student{number}", "192.0.2.1"))
    _refused(throttle, keys_for_login("one-more", "192.0.2.1"))


def test_a_refused_attempt_is_not_counted(throttle: Throttle, clock: FakeClock) -> None:
    for _ in range(RULES["guesser"].free):
        throttle.attempt(BOB)
    first = _refused(throttle, BOB)
    assert [_refused(throttle, BOB) for _ in range(10)] == [first] * 10


@pytest.mark.parametrize("jump", [-86400, 86400])
def test_a_clock_that_jumps_makes_nobody_wait_for_ever(
    throttle: Throttle, clock: FakeClock, jump: float
) -> None:
    for _ in range(RULES["guesser"].free + 1):
        try:
            throttle.attempt(BOB)
        except TooMany as refused:
            clock.pass_time(refused.retry_after_seconds)
    clock.jump(jump)
    throttle.attempt(BOB)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", "unknown"),
        ("<script>", "unknown"),
    ],
)
def test_an_ipv6_network_counts_as_one_address(address: str, network: str) -> None:
    assert network_of(address) == network


def test_what_faded_away_is_deleted_and_known_addresses_stay(
    throttle: Throttle, clock: FakeClock, db: Database
) -> None:
    throttle.attempt(BOB)
    throttle.succeeded(BOB, remember="known:bob 192.0.2.1")
    for number in range(RULES["account"].free):
        throttle.attempt(keys_for_login("bob", f"198.51.100.{number}"))
    clock.pass_time(2 * 86400)
    throttle.forget_old()
    throttle.attempt(BOB, unless_known="known:bob 192.0.2.1")


def test_an_account_can_be_forgiven(throttle: Throttle) -> None:
    for key in ("guesser:bob 192.0.2.7", "second:bob", "guesser:bobby 192.0.2.7"):
        with contextlib.suppress(TooMany):
            for _ in range(40):
                throttle.attempt([key])
    assert throttle.wait_of("bob") > 0
    assert throttle.forgive("bob")
    assert throttle.wait_of("bob") == 0
    assert not throttle.forgive("bob")
    assert throttle.wait_of("bobby") > 0
    assert throttle.wait_of("b%") == throttle.wait_of("bob_") == 0
