"""What an ACME server's refusals are in words, and until when they hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import requests
from acme import messages

from appliance.https.orders import OrderRefused, Server, _refusals, _Seen
from appliance.https.store import Tries

SERVER = Server("https://acme.test/directory")


def refusal(code: str, detail: str, *, retry_after: str = "") -> OrderRefused:
    seen = _Seen()
    answer = requests.Response()
    answer.status_code = 429
    answer.headers["Retry-After"] = retry_after
    seen.note(answer)
    problem = messages.Error.with_code(code, detail=detail)
    with pytest.raises(OrderRefused) as caught, _refusals(SERVER, ["hub.test"], seen):
        raise problem
    return caught.value


@pytest.mark.parametrize(
    ("detail", "header", "until"),
    [
        ("too many, retry after 2031-02-03 04:05:06 UTC: see x", "", "2031-02-03 04:05 UTC"),
        ("too many", "Mon, 03 Feb 2031 04:05:06 GMT", "2031-02-03 04:05 UTC"),
    ],
)
def test_rate_limit_is_told_with_its_end(detail: str, header: str, until: str) -> None:
    refused = refusal("rateLimited", detail, retry_after=header)
    assert f"refuses until {until}" in refused.why
    assert refused.not_before == datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
    tries = Tries().with_failure(refused.why, datetime.now(UTC), not_before=refused.not_before)
    assert not tries.may_try(datetime(2031, 2, 3, tzinfo=UTC))


def test_rate_limit_in_seconds_or_without_an_end() -> None:
    now = datetime.now(UTC)
    for header, pause in (("3600", timedelta(hours=1)), ("", timedelta(hours=24))):
        refused = refusal("rateLimited", "too many", retry_after=header)
        assert refused.not_before
        assert abs(refused.not_before - now - pause) < timedelta(minutes=1)


def test_other_refusals_have_the_servers_own_words() -> None:
    refused = refusal("rejectedIdentifier", "the name is on the list of refused names")
    assert refused.why == "acme.test refuses it: the name is on the list of refused names"
    assert refused.not_before is None
