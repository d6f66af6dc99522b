"""The list of all users in Chromium: what keys do, and what a class's page does for an admin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from playwright.async_api import Page, expect

from appliance.hub.new_accounts import Wish
from tests.fakes.chromium import chromium
from tests.fakes.front_door import PASSWORD, front_door, machine_with_people

pytestmark = pytest.mark.browser


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """An admin's browser, on an appliance with twenty more users and a class."""
    async with AsyncExitStack() as stack:
        machine = await stack.enter_async_context(machine_with_people())
        parts = machine.hub.classroom.parts
        parts["classes"].create("algebra", title="Algebra")
        await machine.hub.users.create_many(
            [Wish(f"pupil{n:02}", f"Pupil {n}", groups=("algebra",)) for n in range(20)]
        )
        address = await stack.enter_async_context(front_door(machine))
        browser = await stack.enter_async_context(chromium())
        context = await browser.new_context(base_url=address, reduced_motion="reduce")
        page = await context.new_page()
        page.set_default_timeout(20_000)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto("/hub/login?next=/hub/admin")
        await page.get_by_label("User name").fill("ada")
        await page.get_by_label("Password", exact=True).fill(PASSWORD)
        await page.get_by_role("button", name="Log in", exact=True).click()
        await page.wait_for_url("**/hub/admin")
        yield page
        assert not complaints


async def test_keys_of_the_list(page: Page) -> None:
    await page.keyboard.press("/")
    search = page.get_by_label("Find a user by name or full name")
    await expect(search).to_be_focused()
    await page.keyboard.type("pupil 1")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("row")).to_have_count(12)
    await page.get_by_label("Choose pupil10").click()
    await page.get_by_label("Choose pupil13").click(modifiers=["Shift"])
    await expect(page.get_by_text("4 users chosen")).to_be_visible()
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_label("Choose pupil14")).to_be_focused()
    await page.keyboard.press("Space")
    await expect(page.get_by_text("5 users chosen")).to_be_visible()
    await page.get_by_role("button", name="Lock", exact=True).click()
    await expect(page.get_by_text("5 users are locked out.")).to_be_visible()
    await page.get_by_role("link", name="Locked 5").click()
    # The search is still there.
    await expect(search).to_have_value("pupil 1")
    await expect(page.get_by_role("row")).to_have_count(6)


async def test_sorting_says_which_way(page: Page) -> None:
    await page.get_by_role("link", name="Full name").click()
    head = page.get_by_role("columnheader", name="Full name")
    await expect(head).to_have_attribute("aria-sort", "ascending")
    await page.get_by_role("link", name="Full name").click()
    await expect(head).to_have_attribute("aria-sort", "descending")
    await expect(page.get_by_role("row").nth(1)).to_contain_text("pupil09")


async def test_a_class_goes_into_the_archive(page: Page) -> None:
    await page.goto("/hub/classes")
    await page.get_by_role("link", name="Algebra", exact=True).click()
    await page.get_by_role("link", name="Settings").click()
    await page.get_by_label("Add a teacher").fill("marie")
    await page.get_by_role("button", name="Add the teacher").click()
    await expect(page.get_by_text("marie").first).to_be_visible()
    await page.goto("/hub/classes/algebra/settings")
    await page.get_by_role("link", name="Archive…", exact=True).click()
    await expect(page.get_by_text("20 accounts are removed")).to_be_visible()
    await page.get_by_role("button", name="Archive the class").click()
    await page.goto("/hub/archives")
    await page.get_by_role("link", name="Algebra").click()
    await expect(page.get_by_role("heading", name="21 people")).to_be_visible()
    await expect(page.get_by_role("button", name="Make it again")).to_be_visible()
