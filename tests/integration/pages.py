"""The appliance's pages as a person uses them in Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from playwright.sync_api import Page, expect

from tests.integration.lab import SLOW_MS, Lab

PASSWORDS = {
    "ada": "engine of 1843 analytical",
    "bob": "violet tractor weekend",
    "carol": "seven copper kettles",
}


@dataclass
class Person:
    """Somebody with a browser window of her own, at an appliance."""

    page: Page
    base: str
    name: str
    look: Callable[[Page, str], object]
    """Takes a screenshot under a name."""

    @property
    def password(self) -> str:
        return PASSWORDS[self.name]

    def go(self, path: str) -> None:
        self.page.goto(f"{self.base}{path}", timeout=SLOW_MS)

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=button, exact=True).first.click(timeout=SLOW_MS)

    def sees(self, text: str) -> None:
        expect(self.page.get_by_text(re.compile(text, re.IGNORECASE)).first).to_be_visible(
            timeout=SLOW_MS
        )

    def use_setup_link(self, link: str) -> None:
        """Choose a password through a set-up link; ends logged in."""
        self.page.goto(link, timeout=SLOW_MS)
        self.look(self.page, "setup")
        self.page.get_by_label("New password", exact=True).fill(self.password)
        self.press("Save the password and log in")
        self.page.wait_for_url(re.compile("/hub/(home|admin|spawn)"), timeout=SLOW_MS)

    def sign_up(self) -> None:
        self.go("/hub/signup")
        self.look(self.page, "signup")
        self.page.get_by_label("User name").fill(self.name)
        self.page.get_by_label("Password", exact=True).fill(self.password)
        self.press("Make my account")

    def log_in(self) -> None:
        self.go("/hub/login")
        self.look(self.page, "login")
        self.page.get_by_label("User name").fill(self.name)
        self.page.get_by_label("Password", exact=True).fill(self.password)
        self.press("Log in")
        self.page.wait_for_url(lambda url: "/hub/login" not in url, timeout=SLOW_MS)

    def open_lab(self) -> Lab:
        """Start the server where it isn't running, and open a notebook in JupyterLab."""
        self.go(f"/hub/spawn/{self.name}?next=/user/{self.name}/lab%3Freset")
        start = self.page.get_by_role("button", name="Start", exact=False)
        if "/hub/spawn/" in self.page.url and start.count():
            start.first.click()
        # The server's own address: hub pages have it behind /hub or in their query.
        own = re.compile(rf"{re.escape(self.base)}/user/{self.name}/lab")
        self.page.wait_for_url(own, timeout=SLOW_MS)
        lab = Lab(self.page)
        lab.open_notebook()
        return lab
