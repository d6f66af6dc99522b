"""What people are told of a certificate as its end comes near, and when a renewal fails."""

from __future__ import annotations

from datetime import timedelta

import pytest

from appliance.config.https_schema import HttpsMode
from appliance.errors import ApplianceError
from appliance.findings import Severity
from appliance.https.state import State, finding_of
from appliance.https.store import Tries, now_utc
from appliance.proxy.certificates import Pair
from tests.fakes.certificates import Authority

HOST = "hub.test"


def _state(days: float, mode: HttpsMode = HttpsMode.FILES, **more: object) -> State:
    made = Authority().issue([HOST], days=days + 1.0001)
    return State(mode, [HOST], Pair(made.key, (made.certificate,)), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("days", "severity", "step", "said"),
    [
        (60, Severity.OK, None, "is good until"),
        (29.5, Severity.WARNING, 30, "the certificate ends in 29 days"),
        (13.5, Severity.WARNING, 14, "the certificate ends in 13 days"),
        (1.5, Severity.WARNING, 3, "the certificate ends in 1 day,"),
        (0.5, Severity.WARNING, 3, "the certificate ends within a day"),
        (-0.1, Severity.FAILED, 3, "the certificate ended on"),
    ],
)
def test_end_is_told_in_steps(days: float, severity: Severity, step: int, said: str) -> None:
    finding = finding_of(_state(days), now_utc())
    assert finding
    assert (finding.severity, finding.details["step"]) == (severity, step)
    assert said in finding.summary
    assert bool(finding.mend) == (severity is not Severity.OK)
    # Nobody but the admin can get a new one, and no command alone mends it.
    assert severity is Severity.OK or "put it into the same files" in finding.mend


def test_certificate_that_is_renewed_by_itself_is_no_worry_before_it_is_late() -> None:
    week = _state(5, HttpsMode.LETSENCRYPT)
    finding = finding_of(week, now_utc())
    assert finding
    assert finding.severity is Severity.OK
    late = finding_of(week, now_utc() + timedelta(days=4.5))
    assert late
    assert late.severity is Severity.WARNING


def test_failed_renewal_is_told_with_its_reason() -> None:
    state = _state(29, HttpsMode.LETSENCRYPT, tries=Tries(2, why="port 80 is closed"))
    finding = finding_of(state, now_utc())
    assert finding
    assert finding.severity is Severity.WARNING
    assert finding.summary.startswith("the certificate could not be renewed; it ends in 29 days")
    assert finding.why == "port 80 is closed"


def test_broken_original_is_told_while_the_old_one_serves() -> None:
    fault = ApplianceError("cannot use hub.crt", why="it is not PEM", mend="give PEM")
    finding = finding_of(_state(90, original_fault=fault), now_utc())
    assert finding
    assert finding.severity is Severity.WARNING
    assert "the old one ends in 90 days" in finding.summary
    assert (finding.why, finding.mend) == ("cannot use hub.crt: it is not PEM", "give PEM")


def test_wrong_name_and_no_certificate_are_failures() -> None:
    made = Authority().issue(["other.test"])
    wrong = State(HttpsMode.FILES, [HOST], Pair(made.key, (made.certificate,)))
    for state, said in (
        (wrong, f"not for {HOST}"),
        (State(HttpsMode.FILES, [HOST]), "there is no"),
    ):
        finding = finding_of(state, now_utc())
        assert finding
        assert finding.severity is Severity.FAILED
        assert said in finding.summary


def test_plain_http_has_no_finding() -> None:
    assert finding_of(State(HttpsMode.OFF, []), now_utc()) is None


def test_pause_grows_is_bounded_and_heeds_the_server() -> None:
    now, tries, pauses = now_utc(), Tries(), []
    for _ in range(8):
        tries = tries.with_failure("x", now, not_before=None)
        after = [hours for hours in range(40) if tries.may_try(now + timedelta(hours=hours))]
        pauses.append(after[0])
    assert 1 <= pauses[0] <= 2
    assert pauses[-1] in range(18, 31)
    assert pauses == sorted(pauses) or max(pauses) <= 31
    asked = tries.with_failure("x", now, not_before=now + timedelta(days=7))
    assert not asked.may_try(now + timedelta(days=6))
    assert asked.may_try(now + timedelta(days=8))
    # A clock that was set back.
    assert asked.may_try(now - timedelta(days=1))
