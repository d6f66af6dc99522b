"""What a browser calls itself, in words that its user recognizes: "Firefox on Windows"."""

from __future__ import annotations

from typing import Final

from appliance.texts import Text, say

# What comes first counts: nearly all of them say that they are Safari, too.
_BROWSERS: Final = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chromium", "Chromium"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS: Final = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Macintosh", "Mac"),
    ("Linux", "Linux"),
)


def in_words(user_agent: str) -> Text:
    """The browser and what it runs on, as far as it says."""
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    if browser and system:
        return say("{browser} on {system}", browser=browser, system=system)
    if browser or system:
        return say("{device}", device=browser or system)
    return say("A browser that doesn't say what it is")
