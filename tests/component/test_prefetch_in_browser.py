"""What the log-in page fetches ahead, and that JupyterLab's page then takes it from the cache."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Page, expect

from appliance.config.schema import FrontEnd
from appliance.hub.front_end import FrontEndFiles
from appliance.proxy.static_files import find_static_roots
from tests.fakes.chromium import chromium
from tests.fakes.whole import PASSWORD, whole

pytestmark = pytest.mark.browser

SLOW_MS = 60_000


@dataclass
class Desk:
    """A browser in front of the whole product, which has seen nothing of it yet."""

    context: BrowserContext
    loaded: dict[str, bool] = field(default_factory=dict)
    """Addresses of scripts and pages, and whether the browser had them already."""
    complaints: list[str] = field(default_factory=list)

    async def page(self) -> Page:
        page = await self.context.new_page()
        page.set_default_timeout(SLOW_MS)
        page.on("console", lambda said: self.complaints.append(said.text))
        network = await self.context.new_cdp_session(page)
        await network.send("Network.enable")
        network.on("Network.responseReceived", self._note)
        return page

    def _note(self, event: dict[str, Any]) -> None:
        response = event["response"]
        path = "/" + response["url"].split("/", 3)[3]
        self.loaded[path] = bool(response.get("fromDiskCache") or response.get("fromPrefetchCache"))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    static = find_static_roots(Path(sys.prefix))
    async with whole(tmp_path / "trial", static=static) as appliance, chromium() as chrome:
        await appliance.visitor().sign_up_and_log_in("ada")
        port = appliance.config.http.port
        yield Desk(await chrome.new_context(base_url=f"http://127.0.0.1:{port}"))


async def test_lab_takes_from_the_cache_what_the_log_in_page_fetched(
    desk: Desk, tmp_path: Path
) -> None:
    wanted = FrontEndFiles(tmp_path / "trial/software", FrontEnd.LAB).first()
    ahead = {f"/hub/static/{name}" for name in wanted}
    page = await desk.page()
    await page.goto("/hub/login")
    await page.wait_for_load_state("networkidle")
    assert ahead <= desk.loaded.keys()
    assert not [path for path in desk.loaded if path.startswith("/user/")]
    desk.loaded.clear()
    await page.get_by_label("User name").fill("ada")
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Log in", exact=True).click()
    await expect(page.locator(".jp-Launcher")).to_be_visible(timeout=SLOW_MS)
    scripts = {path: hit for path, hit in desk.loaded.items() if "/static/lab/" in path}
    assert len(scripts.keys() & ahead) > 30
    assert [path for path in scripts.keys() & ahead if not scripts[path]] == []
    # Few are left: Lab asks for those when it is there.
    assert len(scripts.keys() - ahead) < 6
    assert not [said for said in desk.complaints if "Content Security Policy" in said]
