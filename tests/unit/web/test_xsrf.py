"""XSRF tokens hold for what they were made for and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.web.xsrf import Xsrf, visitor

XSRF = Xsrf(b"s" * 32)


def test_a_token_holds_for_its_session_alone() -> None:
    token = XSRF.make("session:1")
    assert XSRF.check(token, "session:1")
    assert not XSRF.check(token, "session:2")
    assert not XSRF.check(token, visitor("browser"))
    assert not Xsrf(b"t" * 32).check(token, "session:1")


def test_a_visitors_token_belongs_to_the_browser() -> None:
    token = XSRF.make(visitor("one"))
    assert XSRF.check(token, visitor("one"))
    assert not XSRF.check(token, visitor("another"))


@given(st.text())
def test_no_made_up_token_holds(text: str) -> None:
    assert not XSRF.check(text, "session:1")


@pytest.mark.parametrize("change", [0, 5, -1])
def test_a_changed_token_holds_no_more(change: int) -> None:
    letters = list(XSRF.make("session:1"))
    letters[change] = "A" if letters[change] != "A" else "B"
    assert not XSRF.check("".join(letters), "session:1")
