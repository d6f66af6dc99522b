"""Passwords and links between the form that makes them and the page that shows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from appliance.clock import Clock
from appliance.hub.pages.shown_once import KEPT_FOR, Card, Link, Sheet, ShownOnce
from appliance.names import Username

ADA, EVE, BOB = Username("ada"), Username("eve"), Username("bob")
SHEET = Sheet((Card(BOB, "abcd-efgh-jkmn"),))


class TurnableClock(Clock):
    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


def test_only_the_admin_who_made_it_sees_it() -> None:
    shown = ShownOnce(clock=TurnableClock())
    key = shown.put(ADA, SHEET)
    assert shown.find_sheet(key, ADA) == SHEET
    assert shown.find_sheet(key, EVE) is None
    assert shown.find_sheet("guessed", ADA) is None


def test_it_is_forgotten_after_a_while() -> None:
    clock = TurnableClock()
    shown = ShownOnce(clock=clock)
    key = shown.put(ADA, SHEET)
    clock.moment += KEPT_FOR + timedelta(seconds=1)
    assert shown.find_sheet(key, ADA) is None


def test_a_link_is_no_sheet() -> None:
    shown = ShownOnce(clock=TurnableClock())
    link = Link(BOB, "/hub/setup?token=x", datetime(2026, 1, 2, tzinfo=UTC))
    key = shown.put(ADA, link)
    assert shown.find_link(key, ADA) == link
    assert shown.find_sheet(key, ADA) is None


def test_memory_is_bounded() -> None:
    shown = ShownOnce(clock=TurnableClock())
    first = shown.put(ADA, SHEET)
    keys = [shown.put(ADA, SHEET) for _ in range(300)]
    assert shown.find_sheet(first, ADA) is None
    assert shown.find_sheet(keys[-1], ADA) == SHEET


def test_nobody_pushes_out_what_is_kept_for_another() -> None:
    shown = ShownOnce(clock=TurnableClock())
    kept = shown.put(ADA, SHEET)
    for _ in range(300):
        shown.put(EVE, SHEET)
    assert shown.find_sheet(kept, ADA) == SHEET
