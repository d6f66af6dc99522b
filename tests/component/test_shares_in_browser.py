"""A link that shares a server, and the list of what others share, in Chromium."""

from __future__ import annotations

from playwright.async_api import expect

from tests.component.test_pages_in_browser import Room, pytestmark, room
from tests.fakes.chromium import violations

__all__ = ["pytestmark", "room"]


async def test_a_shared_server_is_accepted_and_found_again(room: Room) -> None:
    machine = room.machine
    made = await machine.root(
        "POST", "share-codes/carol/", {"scopes": ["access:servers", "start:servers"]}
    )
    page = await room.logged_in("bob")
    await expect(page.get_by_role("heading", name="Shared with you")).to_have_count(0)
    await page.goto(made.json["accept_url"])
    await expect(page.get_by_role("heading")).to_have_text("carol shares a server with you")
    await expect(page.get_by_text("Start carol's server")).to_be_visible()
    assert not await violations(page)
    await page.get_by_role("button", name="Accept").click()
    # It doesn't run, and who may start it is offered to.
    await expect(page.get_by_role("heading")).to_have_text("The server of carol is not running")
    await expect(page.get_by_role("button", name="Start the server")).to_be_visible()
    await page.goto("/hub/home")
    await expect(page.get_by_role("link", name="Open carol", exact=True)).to_be_visible()
    assert not await violations(page)


async def test_who_may_not_start_a_shared_server_is_told_whom_to_ask(room: Room) -> None:
    await room.machine.root("POST", "shares/carol/", {"user": "bob"})
    page = await room.logged_in("bob")
    await page.get_by_role("link", name="Open carol", exact=True).click()
    await expect(page.get_by_text("ask carol to")).to_be_visible()
    await expect(page.get_by_role("button", name="Start the server")).to_have_count(0)
    assert not await violations(page)
