"""HTTPS in Chromium on the whole product: led there, logged in, and a cell across a renewal."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, WebSocket, expect

from appliance.https.renewing import sign_own
from appliance.places import Places
from appliance.proxy.static_files import find_static_roots
from tests.fakes.browser import Encrypted
from tests.fakes.chromium import chromium
from tests.fakes.ports import free_port
from tests.fakes.whole import PASSWORD, Whole, whole

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

HOST = "localhost"
SLOW_MS = 30_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def appliance(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Whole]:
    folder = tmp_path_factory.mktemp("https") / "trial"
    folder.mkdir()
    sign_own(Places.of_trial(folder), [HOST])
    https = {"mode": "own-ca", "names": [HOST], "port": free_port()}
    async with whole(folder, https=https, static=find_static_roots(Path(sys.prefix))) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def context(appliance: Whole) -> AsyncIterator[BrowserContext]:
    """A browser that doesn't know the authority, and goes on all the same."""
    async with chromium() as chrome:
        yield await chrome.new_context(ignore_https_errors=True)


async def _sign_up(page: Page, appliance: Whole) -> None:
    await page.goto(f"http://{HOST}:{appliance.config.http.port}/hub/signup")
    await page.get_by_label("User name").fill("ada")
    for field in await page.locator("input[type=password]").all():
        await field.fill(PASSWORD)
    assert page.url.startswith("https://")
    await page.keyboard.press("Enter")
    await page.wait_for_url("https://**/hub/home")


async def test_cell_runs_on_across_a_new_certificate(
    appliance: Whole, context: BrowserContext
) -> None:
    site = f"https://{HOST}:{appliance.config.https.port}"
    page = await context.new_page()
    page.set_default_timeout(SLOW_MS)
    closed: list[str] = []

    def watch(socket: WebSocket) -> None:
        assert socket.url.startswith("wss://")
        socket.on("close", lambda _: closed.append(socket.url))

    page.on("websocket", watch)
    await _sign_up(page, appliance)
    await page.goto(f"{site}/hub/spawn?next=/user/ada/lab")
    await page.wait_for_url(f"{site}/user/ada/lab**")
    await page.locator('.jp-LauncherCard[data-category="Notebook"]').first.click()
    await expect(page.locator("#jp-main-statusbar")).to_contain_text("| Idle", timeout=SLOW_MS)
    cell = page.locator(".jp-Notebook .jp-CodeCell").first
    await cell.locator(".cm-content").click()
    await page.keyboard.insert_text("import time; time.sleep(6); 6 * 7")
    await page.keyboard.press("Shift+Enter")
    sign_own(appliance.nginx.places, [HOST])
    await appliance.nginx.rewrite(appliance.config)
    await expect(cell.locator(".jp-OutputArea")).to_contain_text("42", timeout=SLOW_MS)
    assert not closed

    cookies = await context.cookies()
    assert {one["name"] for one in cookies} >= {"jupyterhub-hub-login", "jupyterhub-session-id"}
    assert [one["name"] for one in cookies if not one["secure"]] == []


async def test_client_that_knows_the_authority_trusts_it(appliance: Whole) -> None:
    authority = (appliance.nginx.places.certificates / "ca.crt").read_text()
    trusted = ssl.create_default_context(cadata=authority)
    target = Encrypted(("127.0.0.1", appliance.config.https.port), trusted, HOST)
    _, writer = await asyncio.open_connection(
        *target.address, ssl=target.context, server_hostname=HOST
    )
    assert writer.get_extra_info("peercert")["subjectAltName"] == (("DNS", HOST),)
    writer.close()
