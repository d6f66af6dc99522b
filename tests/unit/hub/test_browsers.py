"""Browsers in words that their users recognize."""

from __future__ import annotations

import pytest

from appliance.hub.browsers import in_words

_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
_NT = "Mozilla/5.0 (Windows NT 10.0)"
_IOS = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15"


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0", "Firefox on Linux"),
        (f"{_NT} {_WEBKIT} Chrome/140.0 Safari/537.36", "Chrome on Windows"),
        (f"{_NT} {_WEBKIT} Chrome/140 Safari/537.36 Edg/140", "Edge on Windows"),
        (f"Mozilla/5.0 (X11; CrOS) {_WEBKIT} Chrome/140 Safari/537.36", "Chrome on ChromeOS"),
        (f"Mozilla/5.0 (Android 15) {_WEBKIT} Chrome/140 Safari/537.36", "Chrome on Android"),
        (f"{_IOS} Version/18.0 Safari/604.1", "Safari on iPhone"),
        (f"{_IOS} FxiOS/140.0 Safari/605.1.15", "Firefox on iPhone"),
        ("Mozilla/5.0 (Macintosh) AppleWebKit/605 Version/18 Safari/605", "Safari on Mac"),
        ("curl/8.0", "A browser that doesn't say what it is"),
        ("", "A browser that doesn't say what it is"),
        ("Firefox", "Firefox"),
    ],
)  # fmt: skip
def test_browser_and_system(sent: str, words: str) -> None:
    assert in_words(sent) == words
