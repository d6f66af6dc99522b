"""Where a browser is sent after logging in: never to anybody else's host."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.web.next_url import safe_next

ORIGIN = "https://hub.test"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/hub/home", "/hub/home"),
        ("/user/ada/lab/tree/a%20b.ipynb?x=1#top", "/user/ada/lab/tree/a%20b.ipynb?x=1#top"),
        (
            "/hub/user-redirect/git-pull?repo=https://git.test/x",
            "/hub/user-redirect/git-pull?repo=https://git.test/x",
        ),
        ("https://hub.test/user/ada/", "/user/ada/"),
        ("/user/ada/tree/.config/..x", "/user/ada/tree/.config/..x"),
        ("/user/ada/tree/ü", "/user/ada/tree/%C3%BC"),
    ],
)
def test_own_paths_are_kept(value: str, expected: str) -> None:
    assert safe_next(value, base_url="/", origin=ORIGIN) == expected


@pytest.mark.parametrize(
    "value",
    [
        "", "home", "//evil.test", "///evil.test", "/\\evil.test", "\\\\evil.test", "https://evil.test/",
        "https:evil.test", "javascript:alert(1)", "/\t/evil.test", "/%2fevil.test", "/%5Cevil.test",
        "/hub//evil.test", "/hub/\n", "/.//evil.test",
        "/hub/../home", "/%2e%2E/x", "/hub/.", "/../..//evil.test", "https://hub.test.evil.test/",
        "https://hub.test@evil.test/", "http://hub.test/", " /hub/home", "/hub/\ud800",
        "/" + "a" * 5000,
    ],
)  # fmt: skip
def test_all_else_is_dropped(value: str) -> None:
    assert safe_next(value, base_url="/", origin=ORIGIN) is None


def test_paths_outside_of_the_base_url_are_dropped() -> None:
    assert safe_next("/other/", base_url="/jupyter/") is None
    assert safe_next("/jupyter/hub/", base_url="/jupyter/") == "/jupyter/hub/"


@given(st.text(alphabet="/\\.:@?#%2fFcC5hubevil \t\n\x00\x7fé", max_size=30) | st.text(max_size=30))
def test_whatever_is_sent_the_host_stays_ours(text: str) -> None:
    for value in (text, f"/{text}", f"{ORIGIN}{text}", f"{ORIGIN}/{text}"):
        found = safe_next(value, base_url="/", origin=ORIGIN)
        if found is None:
            continue
        assert found.startswith("/")
        assert not found.startswith(("//", "/\\", "/%2f", "/%2F"))
        # As browsers read it: backslashes are slashes, tabs and newlines are nothing.
        read = found.replace("\\", "/").replace("\t", "").replace("\n", "")
        assert urlsplit(urljoin(f"{ORIGIN}/hub/login", read)).netloc == "hub.test"
        found.encode("ascii")
