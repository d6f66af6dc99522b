"""Chromium on this host, looking at a test machine.

Debian's Chromium, driven by Playwright: no browser is downloaded. Each visitor has a fresh profile
(cookies, storage), so that two people are two visitors of one browser.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Response, sync_playwright

from tests.integration.machine import artifacts, current_test

_FLAGS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip

_CHROMIUM: Final = "/usr/bin/chromium"
_PATIENCE_MS: Final = 60_000
"""One slow processor serves the pages."""
_STORY_LINES: Final = 500
_STORY_COLUMNS: Final = 600
_FIRST_ERROR: Final = 400


@dataclass
class Visitor:
    """One person's page, with what its console complained about, where it went and what failed."""

    name: str
    page: Page
    story: deque[str] = field(default_factory=lambda: deque(maxlen=_STORY_LINES))

    def __post_init__(self) -> None:
        page = self.page
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self._note("error", error))
        page.on("framenavigated", lambda frame: self._note("at", frame.url))
        page.on("requestfailed", lambda sent: self._note("failed", sent.url, sent.failure))
        page.on("response", self._see)

    def screenshot(self, name: str) -> Path:
        """Keep a picture of the whole page in $APPLIANCE_SCREENSHOTS."""
        stem = re.sub(r"[^\w.-]+", "_", f"{current_test()}-{self.name}-{name}")
        path = screenshots() / f"{stem}.png"
        self.page.screenshot(path=path, full_page=True)
        return path

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._note("console", message.text)

    def _see(self, answer: Response) -> None:
        if answer.status >= _FIRST_ERROR:
            self._note(answer.status, answer.request.method, answer.url)

    def _note(self, *words: object) -> None:
        line = " ".join(str(word) for word in words)
        self.story.append(f"{time.strftime('%H:%M:%S')} {line[:_STORY_COLUMNS]}")


_here: Final[list[Visitor]] = []
"""Who sits before a browser now."""


@dataclass(frozen=True)
class Chromium:
    """A running browser."""

    browser: Browser
    base: str

    @contextlib.contextmanager
    def visit(self, name: str = "visitor", *, dark: bool = False) -> Iterator[Visitor]:
        """A person with a fresh profile; `page.goto("/hub/")` is relative to the machine."""
        context = self.browser.new_context(
            base_url=self.base, color_scheme="dark" if dark else "light"
        )
        context.set_default_timeout(_PATIENCE_MS)
        visitor = Visitor(name, context.new_page())
        _here.append(visitor)
        try:
            yield visitor
        except BaseException:
            keep_what_is_seen()
            raise
        finally:
            _here.remove(visitor)
            context.close()


@contextlib.contextmanager
def chromium(base: str, *, network: Path | None = None) -> Iterator[Chromium]:
    """Start a browser whose relative addresses are the machine's `http_base`.

    `network` is the network namespace of a machine that has one of its own.
    """
    with sync_playwright() as playwright, _executable(network) as path:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        try:
            yield Chromium(browser, base)
        finally:
            browser.close()


@contextlib.contextmanager
def _executable(network: Path | None) -> Iterator[str]:
    """Chromium, or a script that is Chromium in another network."""
    if network is None:
        yield _CHROMIUM
        return
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "chromium")
        script.write_text(f'#!/bin/sh\nexec nsenter --net={network} {_CHROMIUM} "$@"\n')
        script.chmod(0o755)
        yield str(script)


def keep_what_is_seen() -> None:
    """Pictures of every visitor's page, and how it came to be; never raises."""
    for visitor in _here:
        with contextlib.suppress(Error):
            picture = visitor.screenshot("at-the-failure")
            picture.with_suffix(".txt").write_text("\n".join([visitor.page.url, *visitor.story]))


def screenshots() -> Path:
    """Where pictures go."""
    folder = Path(os.environ.get("APPLIANCE_SCREENSHOTS", artifacts() / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
