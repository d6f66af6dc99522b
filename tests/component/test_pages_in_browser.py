"""The pages in Chromium: what people do there, with and without scripts, and whether all can.

Every page's own Content-Security-Policy is in force; a page that breaks it fails its test.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest
from playwright.async_api import Browser, Page, expect

from appliance.errors import SpawnFailed
from appliance.hub.start_queue import fitted
from appliance.names import ServerId, Username
from tests.fakes.chromium import chromium, violations
from tests.fakes.front_door import PASSWORD, front_door, machine_with_people
from tests.fakes.hub_machine import Machine

pytestmark = pytest.mark.browser

BOB = ServerId(Username("bob"))


@dataclass
class Room:
    """A hub with its address, and a browser."""

    machine: Machine
    address: str
    browser: Browser
    complaints: list[str] = field(default_factory=list)

    async def visitor(self, *, scripts: bool = True) -> Page:
        """Somebody with a fresh browser; what the console complains of is kept."""
        context = await self.browser.new_context(
            base_url=self.address, java_script_enabled=scripts, reduced_motion="reduce"
        )
        page = await context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self._listen(message.text))
        return page

    def _listen(self, text: str) -> None:
        # Chromium also writes there when a page has status 403 or 404, which is no fault.
        if "Failed to load resource" not in text:
            self.complaints.append(text)

    async def logged_in(self, name: str, *, scripts: bool = True) -> Page:
        page = await self.visitor(scripts=scripts)
        await page.goto("/hub/login?next=/hub/home")
        await page.get_by_label("User name").fill(name)
        await page.get_by_label("Password", exact=True).fill(PASSWORD)
        await page.get_by_role("button", name="Log in", exact=True).click()
        await page.wait_for_url("**/hub/home")
        return page


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    async with AsyncExitStack() as stack:
        machine = await stack.enter_async_context(machine_with_people())
        address = await stack.enter_async_context(front_door(machine))
        made = Room(machine, address, await stack.enter_async_context(chromium()))
        yield made
        assert not made.complaints


async def test_a_password_can_be_shown_and_is_hidden_again_when_sent(room: Room) -> None:
    page = await room.visitor()
    await page.goto("/hub/login")
    await expect(page.get_by_label("User name")).to_be_focused()
    password = page.get_by_label("Password", exact=True)
    await password.fill("wrong-lake")
    await page.get_by_role("button", name="Show the password").click()
    await expect(password).to_have_attribute("type", "text")
    await page.get_by_label("User name").fill("bob")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("The name or the password is wrong.")
    await expect(password).to_have_attribute("type", "password")
    await expect(page.get_by_label("User name")).to_have_value("bob")
    await expect(password).to_be_focused()


async def test_sign_up_says_while_typing_what_is_wrong(room: Room) -> None:
    page = await room.visitor()
    await page.goto("/hub/signup")
    await page.get_by_label("User name").fill("Zoë")
    await expect(page.locator("#username-error")).to_have_text("A user name can't contain “ë”.")
    await page.get_by_label("User name").fill("zoe")
    await expect(page.locator("#username-error")).to_be_empty()
    hint = page.locator("#password-strength")
    for text, words in [
        ("abc", "Too short: 5 more characters."),
        ("my-zoe-horse", "The user name is in it."),
        ("password123", "It is one of the most common passwords."),
        ("aaaaaaaa", "Weak"),
        ("ä" * 40, "Too long"),
        ("blue-horse-in-9-rivers", "Strong."),
    ]:
        await page.get_by_label("Password", exact=True).fill(text)
        await expect(hint).to_contain_text(words)
    await page.get_by_role("button", name="Make my account").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Thank you, zoe")


async def test_logging_in_starts_the_server_and_ends_in_it(room: Room) -> None:
    room.machine.spawner.go_on.clear()
    page = await room.visitor()
    await page.goto("/")
    await page.get_by_label("User name").fill("bob")
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Log in", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your server is starting")
    await expect(page.locator(".stages")).to_contain_text("Starting the server")
    await expect(page.locator("[data-seconds]")).to_have_text(re.compile(r"^\d+ seconds? ago$"))
    room.machine.spawner.go_on.set()
    await page.wait_for_url("**/user/bob/")
    await expect(page.get_by_role("heading")).to_have_text("Notebooks")


async def test_a_place_in_line_is_shown_and_moves_up(room: Room) -> None:
    room.machine.spawner.delay = 60
    before = [ServerId(Username(f"early{number}")) for number in range(fitted() + 2)]
    names = [server.user for server in before]
    await room.machine.root("POST", "appliance/users", {"usernames": names})
    for server in before:
        await room.machine.hub.servers.start(server)
    page = await room.logged_in("bob")
    await page.get_by_role("button", name="Start my server").click()
    stages = page.locator(".stages li")
    await expect(stages).to_have_count(2)
    await expect(stages.last).to_contain_text("Waiting in line: number 3")
    await room.machine.hub.servers.stop(before[0])
    await expect(stages.last).to_contain_text("Waiting in line: number 2")
    await room.machine.hub.servers.stop(before[1])
    await expect(stages.last).to_contain_text("Waiting in line: next to start")
    await expect(stages).to_have_count(2)
    await page.get_by_role("button", name="Cancel").click()
    await page.wait_for_url("**/hub/home")
    assert not room.machine.hub.servers.in_line


async def test_a_deep_link_survives_log_in_and_start(room: Room) -> None:
    page = await room.visitor()
    await page.goto("/user/bob/lab/tree/week%201/a.ipynb?x=1")
    await page.get_by_label("User name").fill("bob")
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Log in", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your server is not running")
    await page.get_by_role("button", name="Start and go on").click()
    await expect(page.locator("code")).to_have_text("/user/bob/lab/tree/week%201/a.ipynb?x=1")


async def test_the_start_page_works_without_scripts(room: Room) -> None:
    room.machine.spawner.go_on.clear()
    page = await room.logged_in("bob", scripts=False)
    await page.get_by_role("button", name="Start my server").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your server is starting")
    room.machine.spawner.go_on.set()
    await page.wait_for_url("**/user/bob/")


async def test_a_failed_start_is_told_without_a_reload_by_hand(room: Room) -> None:
    room.machine.spawner.delay = 1.5
    room.machine.spawner.failure = SpawnFailed("cannot start it", why="the home folder is full")
    page = await room.logged_in("bob")
    await page.get_by_role("button", name="Start my server").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your server did not start")
    await expect(page.locator("main")).to_contain_text("The home folder is full.")
    room.machine.spawner.failure = None
    await page.get_by_role("button", name="Start it again").click()
    await page.wait_for_url("**/user/bob/")


async def test_the_home_page_follows_the_server_by_itself(room: Room) -> None:
    page = await room.logged_in("bob")
    title = page.locator("#server-title")
    await expect(title).to_have_text("Your server is stopped")
    await room.machine.hub.servers.start(BOB, wait=5.0)
    await expect(title).to_have_text("Your server is running", timeout=15_000)
    await expect(page.locator("[aria-live]")).to_have_text("Your server is running")
    room.machine.spawner.go_on.clear()
    await page.get_by_role("button", name="Stop my server").focus()
    await page.keyboard.press("Enter")
    await expect(title).to_have_text("Your server is stopping")
    room.machine.spawner.go_on.set()
    await expect(title).to_have_text("Your server is stopped")


async def test_an_admin_approves_several_from_the_home_page(room: Room) -> None:
    await room.machine.hub.users.create_many(["nina", "olaf"], approved=False)
    page = await room.logged_in("ada")
    await expect(page.locator("main")).to_contain_text("2 people wait for approval")
    await page.get_by_role("link", name="Let them in").click()
    await page.get_by_label("Choose all users on this page").check()
    await expect(page.locator("[data-chosen]")).to_have_text("2 users chosen")
    await page.get_by_role("button", name="Approve", exact=True).click()
    await expect(page.get_by_role("status").first).to_have_text(
        "2 users are approved and can log in now."
    )
    await expect(page.get_by_role("heading", level=2)).to_have_text("Nobody waits for approval")


async def test_rows_follow_a_start_and_keep_what_is_chosen(room: Room) -> None:
    room.machine.spawner.go_on.clear()
    page = await room.logged_in("ada")
    await page.goto("/hub/admin")
    await page.get_by_role("button", name="Start the server of bob").click()
    row = page.get_by_role("row").filter(has_text="bob")
    await expect(row).to_contain_text("Starting")
    await page.get_by_label("Choose carol").check()
    room.machine.spawner.go_on.set()
    await expect(row).to_contain_text("Running")
    await expect(page.get_by_label("Choose carol")).to_be_checked()
    await expect(page.locator("[data-chosen]")).to_have_text("1 user chosen")


async def test_a_set_up_link_is_for_another_browser(room: Room) -> None:
    page = await room.logged_in("ada")
    await page.goto("/hub/admin/users/bob")
    await page.get_by_role("button", name="Make a set-up link").click()
    link = await page.locator(".once").inner_text()
    bob = await room.visitor()
    await bob.goto(link)
    await bob.get_by_label("New password").fill("green-hill-2000")
    await bob.get_by_role("button", name="Save the password and log in").click()
    await expect(bob.get_by_role("status")).to_have_text("Welcome, bob. Your password is set.")
    await bob.goto(link)
    await expect(bob.get_by_role("heading", level=1)).to_have_text("This link no longer works")


async def test_the_skip_link_is_first_and_leads_to_the_content(room: Room) -> None:
    page = await room.logged_in("ada")
    await page.goto("/hub/admin")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_be_focused()


async def test_visitors_pages_are_for_everybody(room: Room) -> None:
    page = await room.visitor()
    path = room.machine.hub.links.make(Username("carol")).path
    for address in (
        "/hub/login",
        "/hub/signup",
        "/hub/signup/waiting?username=nina",
        "/hub/setup?token=old",
        path,
        "/hub/error/503",
    ):
        await page.goto(address)
        assert not await violations(page), address


async def test_users_pages_are_for_everybody(room: Room) -> None:
    room.machine.spawner.delay = 60.0
    page = await room.logged_in("bob")
    for address in ("/hub/home", "/hub/password", "/user/bob/lab", "/hub/nowhere", "/hub/spawn"):
        await page.goto(address)
        assert not await violations(page), address


async def test_admins_pages_are_for_everybody(room: Room) -> None:
    await room.machine.hub.users.create_many(["nina"], approved=False)
    await room.machine.hub.servers.start(BOB, wait=5.0)
    page = await room.logged_in("ada")
    for address in (
        "/hub/home",
        "/hub/admin",
        "/hub/admin?show=waiting",
        "/hub/admin?search=zzz",
        "/hub/admin/add",
        "/hub/admin/users/bob",
        "/hub/admin/users/nina",
        "/hub/admin/users/bob/log",
        "/hub/admin/remove?user=bob&user=carol",
        "/hub/spawn/carol",
    ):
        await page.goto(address)
        assert not await violations(page), address
