"""JupyterLab's hub menu in Chromium, in our own server and in JupyterHub's: there and back."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Locator, Page, expect

from appliance.proxy.static_files import find_static_roots
from tests.fakes.chromium import chromium
from tests.fakes.peers import peer_environment
from tests.fakes.single_user import LAUNCH, LAUNCH_STOCK, ROOT
from tests.fakes.whole import PASSWORD, Visitor, whole

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

SLOW_MS = 60_000


@dataclass
class Desk:
    """Somebody's browser, logged in, with her server running; and her hand at the API."""

    context: BrowserContext
    ada: Visitor

    async def lab(self) -> Page:
        page = await self.context.new_page()
        page.set_default_timeout(SLOW_MS)
        # Without what was open before: a notebook that is still being loaded when its server stops
        # brings a dialog of its own in front of the one about the server.
        await page.goto("/user/ada/lab?reset")
        await _file_menu(page).wait_for()
        await page.locator(".jp-LauncherCard").first.wait_for()
        return page


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["own", "jupyterhub6"])
async def desk(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Desk]:
    environment, launch = Path(sys.prefix), LAUNCH
    if request.param != "own":
        environment = await asyncio.to_thread(peer_environment, request.param)
        launch = LAUNCH_STOCK
    command = [str(environment / "bin/python"), "-I", "-c", launch.format(str(ROOT))]
    folder = tmp_path_factory.mktemp("desk") / "trial"
    static = find_static_roots(environment)
    async with whole(folder, command=command, static=static) as appliance, chromium() as chrome:
        ada = appliance.visitor()
        await ada.sign_up_and_log_in("ada")
        await ada.open_server("/user/ada/lab")
        port = appliance.config.http.port
        context = await chrome.new_context(base_url=f"http://127.0.0.1:{port}")
        page = await context.new_page()
        page.set_default_timeout(SLOW_MS)
        await page.goto("/hub/login?next=/user/ada/lab")
        await page.get_by_label("User name").fill("ada")
        await page.get_by_label("Password", exact=True).fill(PASSWORD)
        await page.get_by_role("button", name="Log in", exact=True).click()
        await page.wait_for_url("**/user/ada/lab**")
        await page.close()
        yield Desk(context, ada)


def _file_menu(page: Page) -> Locator:
    return page.get_by_role("menuitem", name="File", exact=True)


async def _choose(page: Page, name: str) -> None:
    await _file_menu(page).click()
    item = page.locator(".lm-Menu-item:not(.lm-mod-hidden)").get_by_text(name, exact=True)
    await item.click()


async def test_lab_runs_a_cell(desk: Desk) -> None:
    page = await desk.lab()
    await page.locator('.jp-LauncherCard[data-category="Notebook"]').first.click()
    await expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=SLOW_MS)
    cell = page.locator(".jp-Notebook .jp-CodeCell").first
    await cell.locator(".cm-content").click()
    await page.keyboard.insert_text("6 * 7")
    await page.keyboard.press("Shift+Enter")
    await expect(cell.locator(".jp-OutputArea")).to_contain_text("42", timeout=SLOW_MS)
    await page.close()


async def test_hub_control_panel_opens_home(desk: Desk) -> None:
    page = await desk.lab()
    async with page.expect_popup() as opened:
        await _choose(page, "Hub Control Panel")
    home = await opened.value
    await home.wait_for_url("**/hub/home")
    await home.close()
    await page.close()


async def test_restart_after_the_server_was_stopped(desk: Desk) -> None:
    page = await desk.lab()
    xsrf = desk.ada.cookie("_xsrf", "/hub/")
    stopped = await desk.ada.ask(
        "DELETE", "/hub/api/users/ada/server", headers={"X-XSRFToken": xsrf}
    )
    assert stopped.status in {202, 204}, stopped.body
    dialog = page.locator(".jp-Dialog").filter(has_text=re.compile("not running|unavailable"))
    await dialog.wait_for(timeout=SLOW_MS)
    async with page.expect_popup() as opened:
        await dialog.get_by_role("button", name="Restart").click()
    again = await opened.value
    await again.wait_for_url("**/user/ada/lab**", timeout=SLOW_MS)
    await _file_menu(again).wait_for(timeout=SLOW_MS)
    await again.close()
    await page.close()


async def test_log_out_ends_the_session_at_the_hub(desk: Desk) -> None:
    page = await desk.lab()
    await _choose(page, "Log Out")
    await page.wait_for_url("**/hub/login**")
    await page.goto("/hub/home")
    assert "/hub/login" in page.url
    await page.close()
