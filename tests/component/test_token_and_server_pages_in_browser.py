"""Tokens, named servers and the question before an app is let in, in Chromium."""

from __future__ import annotations

import re

from playwright.async_api import Page, expect

from appliance.errors import SpawnFailed
from appliance.names import ServerId, ServerName, Username
from tests.component.test_pages_in_browser import Room, pytestmark, room
from tests.fakes.chromium import violations

__all__ = ["pytestmark", "room"]

BOB = Username("bob")
EXAM = ServerId(BOB, ServerName("exam"))
ASK = (
    "/hub/api/oauth2/authorize?client_id=jupyterhub-user-bob-exam&response_type=code&state=s"
    "&redirect_uri=/user/bob/exam/oauth_callback"
)


async def _make_token(page: Page) -> str:
    await page.goto("/hub/token")
    await page.get_by_label("What is it for?").fill("Dashboard")
    await page.get_by_label("How long should it work?").select_option("7 days")
    await page.get_by_role("button", name="Make the token").click()
    return await page.locator("#new-token").inner_text()


async def test_a_token_is_copied_with_a_button_and_gone_after_a_reload(room: Room) -> None:
    page = await room.logged_in("bob")
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    secret = await _make_token(page)
    await page.get_by_role("button", name="Copy the token").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == secret
    await expect(page.locator("[data-copied]")).to_have_text("Copied")
    await page.reload()
    await expect(page.get_by_role("button", name="Revoke Dashboard")).to_be_visible()
    assert secret not in await page.content()
    await page.get_by_role("button", name="Revoke Dashboard").click()
    await expect(page.get_by_role("status")).to_contain_text("Revoked")
    assert (await room.machine.token_call(secret, "GET", "user")).status == 403


async def test_on_plain_http_a_token_is_copied_in_the_old_way(room: Room) -> None:
    page = await room.logged_in("bob")
    await page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    secret = await _make_token(page)
    await page.get_by_role("button", name="Copy the token").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert await page.evaluate("getSelection().toString()") == secret


async def test_tokens_are_made_and_revoked_without_scripts(room: Room) -> None:
    page = await room.logged_in("bob", scripts=False)
    secret = await _make_token(page)
    assert re.fullmatch("[0-9a-f]{64}", secret)
    await expect(page.get_by_role("button", name="Copy the token")).to_be_hidden()
    await page.get_by_role("button", name="Revoke Dashboard").click()
    await expect(page.locator("main")).to_contain_text("You have made none")


async def test_a_named_server_is_added_followed_and_removed(room: Room) -> None:
    room.machine.spawner.go_on.clear()
    page = await room.logged_in("bob")
    await page.get_by_text("Add a server").click()
    await page.get_by_label("Name", exact=True).fill("exam")
    await page.get_by_label("Title, if you like").fill("Biology")
    await page.get_by_role("button", name="Add and start").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(
        "Your server “exam” is starting"
    )
    room.machine.spawner.go_on.set()
    await page.wait_for_url("**/user/bob/exam/")
    await page.goto("/hub/home")
    row = page.locator("#named-rows li")
    await expect(row).to_contain_text("Running")
    await page.get_by_role("button", name="Stop Biology").click()
    await expect(row).to_contain_text("Stopped")
    await room.machine.hub.servers.start(EXAM, wait=5.0)
    # Without a reload, and what has the focus keeps it.
    await expect(page.get_by_role("link", name="Open Biology")).to_be_visible()
    await expect(page.locator("#server-title")).to_have_text("Your server is stopped")
    await page.get_by_role("button", name="Stop Biology").focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Remove from the list: Biology").click()
    await expect(page.get_by_role("status")).to_contain_text("Your files are still there.")
    await expect(row).to_have_count(0)


async def test_what_is_typed_is_kept_while_the_page_follows_the_servers(room: Room) -> None:
    page = await room.logged_in("bob")
    await page.get_by_text("Add a server").click()
    await page.get_by_label("Name", exact=True).fill("exam")
    await room.machine.hub.servers.start(ServerId(BOB), wait=5.0)
    await expect(page.locator("#server-title")).to_have_text("Your server is running")
    await expect(page.get_by_label("Name", exact=True)).to_have_value("exam")
    await expect(page.get_by_label("Name", exact=True)).to_be_focused()


async def test_the_page_follows_the_servers_after_a_mistake_too(room: Room) -> None:
    page = await room.logged_in("bob")
    await page.get_by_text("Add a server").click()
    await page.get_by_label("Name", exact=True).fill("9lives")
    await page.get_by_role("button", name="Add and start").click()
    await expect(page.locator("#name-error")).not_to_be_empty()
    await room.machine.hub.servers.start(ServerId(BOB), wait=5.0)
    await expect(page.locator("#server-title")).to_have_text("Your server is running")
    await expect(page.get_by_label("Name", exact=True)).to_have_value("9lives")


async def test_an_app_is_let_in_or_not(room: Room) -> None:
    await room.machine.hub.servers.start(EXAM, wait=5.0)
    page = await room.logged_in("ada")
    await page.goto(ASK)
    assert not await violations(page)
    await page.get_by_role("button", name="Don't allow").click()
    await expect(page.locator("code")).to_contain_text("error=access_denied")
    await page.goto(ASK)
    await page.get_by_role("button", name="Allow", exact=True).click()
    await expect(page.locator("code")).to_contain_text("code=")


async def test_the_pages_are_for_everybody(room: Room) -> None:
    await room.machine.hub.servers.start(EXAM, display_name="Biology", wait=5.0)
    room.machine.spawner.failure = SpawnFailed("cannot start it", why="the disk is full")
    page = await room.logged_in("bob")
    await page.goto("/hub/spawn/bob/two")
    assert not await violations(page)
    await page.goto("/hub/home")
    await page.get_by_text("Add a server").click()
    assert not await violations(page)
    await page.get_by_label("Name", exact=True).fill("9")
    await page.get_by_role("button", name="Add and start").click()
    await expect(page.locator("#name-error")).not_to_be_empty()
    assert not await violations(page)
    await _make_token(page)
    await page.get_by_text("Let it do less").click()
    await page.get_by_text("What you can give").click()
    assert not await violations(page)
    await page.get_by_label("Scopes").fill("made:up")
    await page.get_by_role("button", name="Make the token").click()
    await expect(page.locator("#scopes-error")).to_contain_text("made:up")
    assert not await violations(page)


async def test_admins_pages_with_named_servers_are_for_everybody(room: Room) -> None:
    await room.machine.hub.servers.start(EXAM, display_name="Biology", wait=5.0)
    page = await room.logged_in("ada")
    for address in (
        "/hub/admin",
        "/hub/admin/users/bob",
        "/hub/admin/users/bob/log?server=exam",
        "/hub/spawn/bob/other",
        "/hub/spawn/bob/Bad",
        "/hub/token",
    ):
        await page.goto(address)
        assert not await violations(page), address
