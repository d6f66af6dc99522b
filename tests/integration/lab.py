"""Driving JupyterLab in Chromium: open a notebook, run a cell, read what it shows."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from playwright.sync_api import Page, expect

SLOW_MS = 180_000
"""A test machine has one slow processor; Lab's first page there takes tens of seconds."""


@dataclass
class Lab:
    """A JupyterLab page with one notebook open."""

    page: Page

    def open_notebook(self) -> None:
        """Make a notebook from the launcher and wait until its kernel is idle."""
        card = self.page.locator('.jp-LauncherCard[data-category="Notebook"]').first
        card.wait_for(timeout=SLOW_MS)
        card.click()
        self.page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=SLOW_MS)
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        """The status bar knows; the notebook's own indicator says idle before there is a kernel."""
        expect(self.page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=SLOW_MS)

    def run(self, code: str) -> int:
        """Run code in the last cell without waiting for its end; returns the cell's number."""
        self.dismiss_dialogs()
        cell = self.page.locator(".jp-Notebook .jp-CodeCell").last
        number = self.page.locator(".jp-Notebook .jp-CodeCell").count() - 1
        editor = cell.locator(".cm-content")
        editor.click()
        self.page.keyboard.insert_text(code)
        self.page.keyboard.press("Shift+Enter")
        return number

    def output(self, number: int) -> str:
        """What cell `number` shows by now."""
        cell = self.page.locator(".jp-Notebook .jp-CodeCell").nth(number)
        return "\n".join(cell.locator(".jp-OutputArea-output").all_inner_texts())

    def wait_for_output(self, number: int, pattern: str, *, timeout_ms: int = SLOW_MS) -> str:
        cell = self.page.locator(".jp-Notebook .jp-CodeCell").nth(number)
        expect(cell.locator(".jp-OutputArea")).to_contain_text(
            re.compile(pattern), timeout=timeout_ms
        )
        return self.output(number)

    def count(self, number: int) -> int:
        """The last whole number that a counting cell has printed, 0 before the first."""
        numbers = re.findall(r"\d+", self.output(number))
        return int(numbers[-1]) if numbers else 0

    def wait_for_count(self, number: int, more_than: int, *, timeout_seconds: float) -> int:
        """Wait until a counting cell has passed a number."""
        deadline = time.monotonic() + timeout_seconds
        while (count := self.count(number)) <= more_than:
            assert time.monotonic() < deadline, (
                f"the count stands at {count} after {timeout_seconds:.0f} s"
            )
            self.page.wait_for_timeout(500)
        return count

    def interrupt(self) -> None:
        """Stop the running cell as a person does: press I twice outside of the editor."""
        self._command("Interrupt Kernel")
        self.wait_until_idle()

    def restart_kernel(self) -> None:
        """Restart the kernel from the menu, with the dialog's consent."""
        self._command("Restart Kernel…")
        self.page.locator(".jp-Dialog .jp-mod-accept").click(timeout=SLOW_MS)
        self.wait_until_idle()

    def wait_for_dialog(self, text: str) -> None:
        """Wait until Lab says something in front of the notebook."""
        expect(self.page.locator(".jp-Dialog")).to_contain_text(text, timeout=SLOW_MS)

    def dismiss_dialogs(self) -> None:
        """Close what Lab put in front of the notebook, such as the word that a kernel died."""
        dialog = self.page.locator(".jp-Dialog")
        for _ in range(5):
            if not dialog.count():
                return
            # The first button is the one that changes nothing: "Dismiss", "Cancel".
            dialog.last.locator(".jp-Dialog-button").first.click()
            self.page.wait_for_timeout(500)
        raise AssertionError("a dialog stays: " + " / ".join(dialog.all_inner_texts()))

    def _command(self, name: str) -> None:
        self.dismiss_dialogs()
        self.page.get_by_role("menuitem", name="Kernel", exact=True).click()
        self.page.locator(".lm-Menu").get_by_text(name, exact=True).click(timeout=SLOW_MS)
