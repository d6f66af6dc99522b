"""JupyterLab and Notebook in Chromium, on the whole product: they work, and are refused nothing."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, Response, expect

from appliance.proxy.static_files import find_static_roots
from tests.fakes.chromium import chromium
from tests.fakes.whole import PASSWORD, Whole, whole

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

SLOW_MS = 60_000


@dataclass
class Classroom:
    """The appliance and one person's browser, logged in; what went wrong in it is kept."""

    appliance: Whole
    context: BrowserContext
    refused: list[str] = field(default_factory=list)
    static: dict[str, str] = field(default_factory=dict)

    async def page(self, path: str) -> Page:
        page = await self.context.new_page()
        page.set_default_timeout(SLOW_MS)
        page.on("response", self._look_at)
        await page.goto(path)
        return page

    def _look_at(self, response: Response) -> None:
        if response.status in {400, 401, 403} or response.status >= 500:
            self.refused.append(f"{response.status} {response.request.method} {response.url}")
        if "/static/lab/" in response.url or "/static/notebook/" in response.url:
            self.static[response.url] = response.headers.get("cache-control", "")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Classroom]:
    folder = tmp_path_factory.mktemp("room") / "trial"
    async with (
        whole(folder, static=find_static_roots(Path(sys.prefix))) as appliance,
        chromium() as chrome,
    ):
        port = appliance.config.http.port
        context = await chrome.new_context(base_url=f"http://127.0.0.1:{port}")
        visitor = appliance.visitor()
        await visitor.sign_up_and_log_in("ada")
        await visitor.open_server("/user/ada/lab")
        classroom = Classroom(appliance, context)
        page = await classroom.page("/hub/login?next=/user/ada/lab")
        await page.get_by_label("User name").fill("ada")
        await page.get_by_label("Password", exact=True).fill(PASSWORD)
        await page.get_by_role("button", name="Log in", exact=True).click()
        await page.wait_for_url("**/user/ada/lab**")
        yield classroom


async def _run_cell(page: Page, code: str, output: str) -> None:
    cell = page.locator(".jp-Notebook .jp-CodeCell").first
    await cell.locator(".cm-content").click()
    await page.keyboard.insert_text(code)
    await page.keyboard.press("Shift+Enter")
    await expect(cell.locator(".jp-OutputArea")).to_contain_text(output, timeout=SLOW_MS)


async def test_lab_runs_a_cell_and_is_refused_nothing(room: Classroom) -> None:
    page = await room.page("/user/ada/lab")
    await page.locator('.jp-LauncherCard[data-category="Notebook"]').first.click()
    # Lab's own sign that the kernel listens.
    await expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=SLOW_MS)
    await _run_cell(page, "6 * 7", "42")
    await page.get_by_role("menuitem", name="File", exact=True).click()
    for name in ("Hub Control Panel", "Log Out"):
        shown = page.locator(".lm-Menu-item:not(.lm-mod-hidden)").get_by_text(name, exact=True)
        await expect(shown).to_be_visible()
    assert not room.refused
    await page.close()


async def test_notebook_runs_a_cell_and_is_refused_nothing(room: Classroom) -> None:
    page = await room.page("/user/ada/tree")
    await page.get_by_role("menuitem", name="File", exact=True).wait_for()
    async with page.expect_popup() as opened:
        await page.get_by_text("New", exact=True).first.click()
        await page.locator(".lm-Menu").get_by_text("Python 3 (ipykernel)").first.click()
    notebook = await opened.value
    notebook.on("response", room._look_at)
    await notebook.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=SLOW_MS)
    await _run_cell(notebook, "6 * 7", "42")
    assert not room.refused


async def test_static_files_came_from_nginx(room: Classroom) -> None:
    page = await room.page("/user/ada/lab")
    await page.locator(".jp-LauncherCard").first.wait_for()
    policies = {policy for url, policy in room.static.items() if ".js" in url}
    assert policies == {"public, max-age=31536000, immutable"}
