"""The class page in Chromium: it follows the class, disturbs nobody, and all can use it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from appliance.config.schema import Config
from appliance.names import ServerId, Username
from tests.fakes.chromium import chromium, violations
from tests.fakes.class_people import PASSWORD, class_people
from tests.fakes.front_door import front_door
from tests.fakes.hub_machine import Machine

pytestmark = pytest.mark.browser

MEGABYTE = 2**20


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.native_auth.authenticator.MIN_COST", 4)


@dataclass
class Room:
    """The hub of a class, and browsers."""

    machine: Machine
    address: str
    browser: Browser
    complaints: list[str] = field(default_factory=list)

    async def person(self, name: str, *, scripts: bool = True) -> Page:
        context = await self.browser.new_context(
            base_url=self.address, java_script_enabled=scripts, reduced_motion="reduce"
        )
        page = await context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self.complaints.append(message.text))
        await page.goto("/hub/login?next=/hub/home")
        await page.get_by_label("User name").fill(name)
        await page.get_by_label("Password", exact=True).fill(PASSWORD)
        await page.get_by_role("button", name="Log in", exact=True).click()
        await page.wait_for_url("**/hub/home")
        return page

    def uses(self, name: str, megabytes: int) -> None:
        server = ServerId(Username(name))
        self.machine.spawner.servers[server] = replace(
            self.machine.spawner.servers[server],
            memory_bytes=megabytes * MEGABYTE, memory_limit_bytes=1000 * MEGABYTE, cpu_seconds=1.0,
        )  # fmt: skip


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with AsyncExitStack() as stack:
        machine = await stack.enter_async_context(Machine(tmp_path, config=Config()))
        await class_people(machine)
        address = await stack.enter_async_context(front_door(machine))
        browser = await stack.enter_async_context(chromium())
        yield Room(machine, address, browser)


async def test_the_page_follows_the_class_and_leaves_the_focus_alone(room: Room) -> None:
    page = await room.person("lovelace")
    await page.goto("/hub/classes/algebra")
    row = page.locator('tr[data-user="emmy"]')
    await expect(row.locator("[data-state]")).to_have_text("Stopped")
    start = row.get_by_role("button", name="Start the server of emmy")
    await start.focus()
    await room.machine.root("POST", "users/emmy/server")
    room.uses("emmy", 312)
    await expect(row.locator("[data-state]")).to_have_text("Running")
    await expect(row.locator("[data-memory]")).to_have_text("312 MB of 1,000 MB")
    await expect(page.locator("[data-summary]")).to_contain_text("1 running")
    # The button is gone; whoever was on it is still in the row.
    assert await row.evaluate("row => row.contains(document.activeElement)")
    sophie = page.get_by_label("Choose sophie")
    await sophie.focus()
    room.uses("emmy", 950)
    await expect(row.locator("[data-detail]")).to_have_text("Memory nearly full")
    assert await sophie.evaluate("box => box === document.activeElement")
    # Nothing is read aloud with each change.
    assert await page.locator("[data-announce]").text_content() == ""
    assert await page.locator("[aria-live] [data-memory]").count() == 0
    assert not room.complaints


async def test_filters_and_order_change_at_once_and_last(room: Room) -> None:
    page = await room.person("lovelace")
    for name in ("emmy", "sophie"):
        await room.machine.root("POST", f"users/{name}/server")
    room.uses("emmy", 100)
    room.uses("sophie", 900)
    await page.goto("/hub/classes/algebra")
    rows = page.locator("tr[data-user]")
    await expect(rows.first.locator("[data-memory]")).to_have_text("100 MB of 1,000 MB")
    await page.get_by_label("Sort by").select_option("memory")
    await expect(rows.first).to_have_attribute("data-user", "sophie")
    await page.get_by_role("link", name="Near a limit").click()
    await expect(page.locator('tr[data-user="emmy"]')).to_be_hidden()
    await expect(page.locator('tr[data-user="sophie"]')).to_be_visible()
    await page.reload()
    await expect(rows.first).to_have_attribute("data-user", "sophie")
    await expect(page.locator('tr[data-user="emmy"]')).to_be_hidden()
    await page.get_by_role("link", name="Seats").click()
    await expect(page.locator("table.seats")).to_be_visible()
    assert await violations(page) == []
    assert not room.complaints


async def test_one_starts_and_stops_with_the_keyboard(room: Room) -> None:
    page = await room.person("lovelace")
    await page.goto("/hub/classes/algebra")
    await page.get_by_label("Choose emmy").focus()
    await page.keyboard.press("Enter")
    assert "/do" not in page.url
    await page.keyboard.press("Space")
    await expect(page.locator("[data-chosen]")).to_have_text("1 student chosen")
    group = page.get_by_role("group", name="For the chosen students")
    await group.get_by_role("button", name="Start", exact=True).focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("1 server is starting.")).to_be_visible()
    assert set(room.machine.spawner.servers) == {ServerId(Username("emmy"))}
    await page.get_by_role("button", name="Stop all…").click()
    await page.get_by_role("button", name="Stop them all").click()
    await expect(page.get_by_text("1 server is stopping.")).to_be_visible()


async def test_without_scripts_all_is_there_by_reloading(room: Room) -> None:
    page = await room.person("lovelace", scripts=False)
    await page.goto("/hub/classes/algebra")
    await page.get_by_role("button", name="Start all").click()
    await expect(page.get_by_text("2 servers are starting.")).to_be_visible()
    room.uses("emmy", 900)
    await page.goto("/hub/classes/algebra?show=near")
    # What was found is shown for two seconds.
    await page.wait_for_timeout(2100)
    await page.reload()
    await expect(page.get_by_text("900 MB of 1000 MB")).to_be_visible()
    await expect(page.locator('tr[data-user="sophie"]')).to_be_hidden()
    await page.get_by_label("Choose emmy").check()
    await page.get_by_role("radio", name="The chosen students").check()
    await page.get_by_label("Message", exact=True).fill("Save your work, please.")
    await page.get_by_role("button", name="Send").click()
    await expect(page.get_by_text("The message is sent to 1 student.")).to_be_visible()
    student = await room.person("emmy", scripts=False)
    await expect(student.get_by_text("Save your work, please.")).to_be_visible()
    await student.get_by_role("button", name="Got it").click()
    await expect(student.get_by_text("Save your work, please.")).to_be_hidden()


async def test_a_question_on_the_page_of_ones_server(room: Room) -> None:
    teacher, student = await room.person("lovelace"), await room.person("emmy")
    await room.machine.root("POST", "users/emmy/server")
    await student.goto("/hub/home")
    await teacher.goto("/hub/classes/algebra")
    await teacher.get_by_role("button", name="Ask emmy to let you in").click()
    await expect(student.get_by_text("lovelace asks to open your server")).to_be_visible()
    assert await violations(student) == []
    await student.get_by_role("button", name="Allow for 90 minutes").click()
    await expect(student.get_by_text("lovelace may open your server")).to_be_visible()
    await expect(teacher.get_by_role("link", name="Open the server of emmy")).to_be_visible()
    await student.get_by_role("button", name="End the visit now").click()
    await expect(teacher.get_by_role("link", name="Open the server of emmy")).to_be_hidden()
    assert not room.complaints
