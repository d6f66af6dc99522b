"""Hub and servers under two host names, in Chromium: log in, work, and pages stay apart."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, expect

from appliance.names import parse_username
from appliance.proxy.static_files import find_static_roots
from appliance.singleuser.environment import install_extension
from tests.fakes.chromium import chromium
from tests.fakes.single_user import ROOT
from tests.fakes.whole import PASSWORD, Whole, whole

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

# Chromium finds every name below localhost on this machine.
HUB, CONTENT = "hub.localhost", "nb.localhost"
SLOW_MS = 60_000
EXTENSION = ROOT / "appliance/singleuser/labextension"


@dataclass
class Room:
    appliance: Whole
    context: BrowserContext
    page: Page

    @property
    def port(self) -> int:
        return self.appliance.config.http.port


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    folder = tmp_path_factory.mktemp("names")
    extensions = folder / "labextensions"
    install_extension(EXTENSION, extensions)
    http = {"host": HUB, "content_host": CONTENT}
    async with (
        whole(folder / "trial", static=find_static_roots(Path(sys.prefix)), http=http) as appliance,
        chromium() as chrome,
    ):
        context = await chrome.new_context(base_url=f"http://{HUB}:{appliance.config.http.port}")
        page = await context.new_page()
        page.set_default_timeout(SLOW_MS)
        # As if the environment had it: here the checkout's packages aren't installed.
        config = appliance.nginx.places.homes / "ada/.jupyter/jupyter_server_config.json"
        config.parent.mkdir(parents=True)
        places = {"LabServerApp": {"extra_labextensions_path": [str(extensions)]}}
        config.write_text(json.dumps(places))
        await appliance.visitor().sign_up_and_log_in("ada")
        await page.goto("/hub/login?next=/hub/home")
        await page.get_by_label("User name").fill("ada")
        await page.get_by_label("Password", exact=True).fill(PASSWORD)
        await page.get_by_role("button", name="Log in", exact=True).click()
        await page.wait_for_url("**/hub/home")
        yield Room(appliance, context, page)


async def test_from_the_hub_to_a_cell_on_the_other_name(room: Room) -> None:
    page = room.page
    await page.goto("/user/ada/lab")
    start = page.get_by_role("button", name="Start")
    await start.or_(page.locator(".jp-LauncherCard")).first.wait_for()
    if await start.count():
        await start.first.click()
    await page.wait_for_url(f"http://{CONTENT}:{room.port}/user/ada/lab**")
    await page.locator('.jp-LauncherCard[data-category="Notebook"]').first.click()
    await expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=SLOW_MS)
    cell = page.locator(".jp-Notebook .jp-CodeCell").first
    await cell.locator(".cm-content").click()
    await page.keyboard.insert_text("6 * 7")
    await page.keyboard.press("Shift+Enter")
    await expect(cell.locator(".jp-OutputArea")).to_contain_text("42", timeout=SLOW_MS)


async def test_logging_in_leads_to_a_server_on_the_other_name(room: Room) -> None:
    """A form of the hub's leads on to another origin here, which pages must allow by name."""
    await room.context.clear_cookies()
    page = await room.context.new_page()
    await page.goto("/hub/login?next=/user/ada/lab")
    await page.get_by_label("User name").fill("ada")
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Log in", exact=True).click()
    await page.wait_for_url(f"http://{CONTENT}:{room.port}/user/ada/lab**", timeout=SLOW_MS)
    await page.locator(".jp-LauncherCard, .jp-Notebook").first.wait_for(timeout=SLOW_MS)
    await page.close()


async def test_a_message_reaches_jupyterlab_there(room: Room) -> None:
    page = await room.context.new_page()
    await page.goto("/user/ada/lab")
    await page.locator(".jp-LauncherCard, .jp-Notebook").first.wait_for(timeout=SLOW_MS)
    hub = room.appliance.hub
    assert hub is not None
    hub._hub.classroom.parts["messages"].tell(
        parse_username("ada"), "Save your work, please.", topic="test"
    )
    await expect(page.locator(".appliance-messages")).to_contain_text(
        "Save your work, please.", timeout=SLOW_MS
    )
    await page.close()


async def test_pages_of_servers_have_nothing_of_the_hubs(room: Room) -> None:
    """What a page of a student's server tries against the hub with its visitor's cookies."""
    page = await room.context.new_page()
    await page.goto(f"http://{CONTENT}:{room.port}/user/ada/api/status")
    names = {cookie["name"] for cookie in await room.context.cookies(page.url)}
    assert "jupyterhub-hub-login" not in names
    tried = await page.evaluate(
        """async ([hub]) => {
            const found = {};
            for (const path of ["/hub/home", "/hub/api/user", "/hub/token"]) {
              for (const base of ["", hub]) {
                try {
                  const options = {credentials: "include"};
                  const answer = await fetch(base + path, options);
                  found[base + path] = await answer.text();
                } catch (error) { found[base + path] = "refused"; }
              }
            }
            return found;
        }""",
        [f"http://{HUB}:{room.port}"],
    )
    assert set(tried.values()) == {"refused"}
    await page.close()
