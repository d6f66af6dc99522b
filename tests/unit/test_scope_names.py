"""Which texts are scopes, and what is said of those that aren't."""

from __future__ import annotations

import pytest

from appliance.scope_names import HIERARCHY, why_unknown

CUSTOM = {"custom:grades:read"}


@pytest.mark.parametrize(
    "scope",
    [
        *HIERARCHY,
        "servers!user",
        "servers!user=ada",
        "servers!group=class 1, first half",
        "access:servers!server",
        "access:servers!server=ada/",
        "access:servers!server=ada/two",
        "access:services!service=grades",
        "custom:grades:read",
        "custom:grades:read!user=ada",
    ],
)
def test_scopes_are_known(scope: str) -> None:
    assert why_unknown(scope, CUSTOM) == ""


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ("list:usrs", "there is no scope 'list:usrs'; did you mean list:users?"),
        ("custom:grades:reed", "did you mean custom:grades:read?"),
        ("zzzzzzzzz", "there is no scope 'zzzzzzzzz'"),
        ("", "there is no scope ''"),
        ("Users", "did you mean users?"),
        ("users!", "has a filter that isn't one of"),
        ("users!grup=x", "has a filter that isn't one of"),
        ("users!group", "has a filter that isn't one of"),
        ("users!group=", "has a filter that isn't one of"),
        ("users!user=", "has a filter that isn't one of"),
        ("users!user!group=x", "has a filter that isn't one of"),
        ("access:servers!server=ada", "write !server=ada/ for the default one"),
    ],
)
def test_what_is_no_scope_is_explained(scope: str, said: str) -> None:
    assert said in why_unknown(scope, CUSTOM)


def test_what_is_said_stays_short() -> None:
    assert len(why_unknown("x" * 10_000)) < 200
    assert len(why_unknown("users!x" + "y" * 10_000)) < 300
