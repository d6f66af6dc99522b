from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.systemd_spawner.status_text import REASON_MAX, StartedHow, parse_status_text

PREFIX = "Serving /user/ada%40example.org/lab2/"


def test_a_preloaded_server_says_so() -> None:
    assert parse_status_text(f"{PREFIX} (preloaded)") == StartedHow(preloaded=True)


def test_a_cold_server_says_why() -> None:
    said = f"{PREFIX} (cold: no daemon (connection refused))"
    assert parse_status_text(said) == StartedHow(cold_reason="no daemon (connection refused)")


def test_a_long_reason_is_shortened() -> None:
    reason = parse_status_text(f"{PREFIX} (cold: {'so ' * 4000}it is)").cold_reason
    assert len(reason) == REASON_MAX
    assert reason.endswith("...")


@pytest.mark.parametrize(
    "said",
    [
        "",
        PREFIX,
        "preloaded",
        "(preloaded)",
        f"{PREFIX} (Preloaded)",
        f"{PREFIX} (preloaded) ",
        f"{PREFIX} (preloaded)\n",
        f"{PREFIX}\n (preloaded)",
        f"{PREFIX} (cold: )",
        f"{PREFIX} (cold: one\ntwo)",
        f"{PREFIX} (cold: \x1b]0;mine\x07)",
        f"{PREFIX} (cold: \u202etxet)",
        f"{PREFIX} (cold: caf\u00e9)",
        f"{PREFIX} (cold: why",
        "Serving (cold: why)",
    ],
)
def test_any_other_form_is_a_cold_start_without_a_reason(said: str) -> None:
    assert parse_status_text(said) == StartedHow()


@given(st.text(max_size=400))
def test_no_reason_commands_a_terminal(text: str) -> None:
    how = parse_status_text(f"{PREFIX} (cold: {text})")
    assert not how.preloaded
    assert len(how.cold_reason) <= REASON_MAX
    assert all(" " <= letter <= "~" for letter in how.cold_reason)
