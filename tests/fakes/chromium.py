"""Chromium for tests, with what is needed to look at pages: widths, colour schemes, axe."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

from playwright.async_api import Browser, Page, async_playwright, expect

EXECUTABLE: Final = "/usr/bin/chromium"
# The last ones keep it from talking to anybody but the pages under test.
ARGUMENTS: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDTHS: Final = (1280, 375)
SCHEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
# Playwright's own 5 seconds are short where two browsers and a hub share two processors.
expect.set_options(timeout=20_000)

_RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Light and dark pages differ in colours alone; the other rules have seen the light one.
_COLOURS: Final = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=EXECUTABLE, args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


@cache
def _axe() -> str:
    return (files("axe_playwright_python") / "axe.min.js").read_text()


async def violations(
    page: Page,
    *,
    widths: Sequence[int] = WIDTHS,
    schemes: Sequence[Literal["light", "dark"]] = SCHEMES,
) -> list[str]:
    """What axe finds wrong with a page at these widths, light and dark; also sideways scrolling."""
    found: list[str] = []
    for scheme in schemes:
        for width in widths:
            await page.set_viewport_size({"width": width, "height": 800})
            await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            rules = _RULES if scheme == schemes[0] else _COLOURS
            found += [f"{width} {scheme}: {one}" for one in await _axe_violations(page, rules)]
    await page.set_viewport_size({"width": 320, "height": 800})
    too_wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    if too_wide > 0:
        found.append(f"320: {too_wide} pixels too wide")
    await page.set_viewport_size({"width": 1280, "height": 800})
    return found


async def _axe_violations(page: Page, rules: object) -> list[str]:
    # `evaluate` isn't subject to the page's Content-Security-Policy; a script element would be.
    await page.evaluate(f"() => {{ if (!window.axe) {{ {_axe()} }} }}")
    options: dict[str, Any] = {"runOnly": rules}
    result = await page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{one['id']}: {one['help']} ({node['html'][:120]})"
        for one in result["violations"]
        for node in one["nodes"][:3]
    ]
