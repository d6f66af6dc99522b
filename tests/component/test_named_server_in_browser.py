"""A named server on the whole product, in Chromium: made on the page, used, stopped, restarted."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from appliance.names import ServerId, ServerName, Username
from appliance.proxy.static_files import find_static_roots
from tests.fakes.chromium import chromium
from tests.fakes.whole import PASSWORD, whole

pytestmark = pytest.mark.browser

SLOW_MS = 60_000
EXAM = ServerId(Username("ada"), ServerName("exam"))


async def _lab(page: Page) -> None:
    await page.wait_for_url("**/user/ada/exam/lab**", timeout=SLOW_MS)
    await page.get_by_role("menuitem", name="File", exact=True).wait_for(timeout=SLOW_MS)


async def test_a_named_server_from_the_page_to_a_cell_and_back(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # Not tmp_path, which has the long name of this test: sockets have room for 107 bytes.
    folder = tmp_path_factory.mktemp("named") / "trial"
    static = find_static_roots(Path(sys.prefix))
    async with whole(folder, static=static) as appliance, chromium() as chrome:
        await appliance.visitor().sign_up_and_log_in("ada")
        port = appliance.config.http.port
        context = await chrome.new_context(base_url=f"http://127.0.0.1:{port}")
        page = await context.new_page()
        page.set_default_timeout(SLOW_MS)
        await page.goto("/hub/login?next=/hub/home")
        await page.get_by_label("User name").fill("ada")
        await page.get_by_label("Password", exact=True).fill(PASSWORD)
        await page.get_by_role("button", name="Log in", exact=True).click()
        await page.get_by_text("Add a server").click()
        await page.get_by_label("Name", exact=True).fill("exam")
        await page.get_by_role("button", name="Add and start").click()
        await _lab(page)
        await _run_cell(page)
        assert EXAM in await appliance.spawner.running()
        await _restart_by_labs_dialog(page)
        home = await context.new_page()
        await home.goto("/hub/home")
        await home.get_by_role("button", name="Stop exam").click()
        await expect(home.locator("#named-rows")).to_contain_text("Stopped", timeout=SLOW_MS)
        await home.get_by_role("button", name="Remove from the list: exam").click()
        await expect(home.locator("#named-rows li")).to_have_count(0)
        assert EXAM not in await appliance.spawner.running()


async def _run_cell(page: Page) -> None:
    await page.locator('.jp-LauncherCard[data-category="Notebook"]').first.click()
    await expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=SLOW_MS)
    cell = page.locator(".jp-Notebook .jp-CodeCell").first
    await cell.locator(".cm-content").click()
    await page.keyboard.insert_text("import os; os.environ['JUPYTERHUB_SERVER_NAME'] * 2")
    await page.keyboard.press("Shift+Enter")
    await expect(cell.locator(".jp-OutputArea")).to_contain_text("'examexam'", timeout=SLOW_MS)


async def _restart_by_labs_dialog(page: Page) -> None:
    home = await page.context.new_page()
    await home.goto("/hub/home")
    await home.get_by_role("button", name="Stop exam").click()
    await expect(home.locator("#named-rows")).to_contain_text("Stopped", timeout=SLOW_MS)
    await home.close()
    await page.bring_to_front()
    dialog = page.locator(".jp-Dialog").filter(has_text=re.compile("not running|unavailable"))
    await dialog.wait_for(timeout=SLOW_MS)
    async with page.expect_popup() as opened:
        await dialog.get_by_role("button", name="Restart").click()
    again = await opened.value
    await _lab(again)
