"""Passkeys in Chromium, with a virtual authenticator in the place of a finger on a sensor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.async_api import Browser, CDPSession, Page, expect

from appliance.config.schema import Config
from tests.fakes.chromium import chromium, violations
from tests.fakes.front_door import PASSWORD, front_door, machine_with_people
from tests.fakes.hub_machine import Machine

pytestmark = pytest.mark.browser

FACTORS = "/hub/account/second-factor"


@dataclass
class Desk:
    """A browser with a device that keeps passkeys."""

    page: Page
    device: CDPSession
    authenticator: str

    async def keys(self) -> list[dict[str, Any]]:
        found = await self.device.send(
            "WebAuthn.getCredentials", {"authenticatorId": self.authenticator}
        )
        return list(found["credentials"])

    async def verifies(self, *, user: bool) -> None:
        await self.device.send(
            "WebAuthn.setUserVerified",
            {"authenticatorId": self.authenticator, "isUserVerified": user},
        )


@dataclass
class Room:
    """A hub with its address, and browsers."""

    machine: Machine
    address: str
    browser: Browser
    complaints: list[str] = field(default_factory=list)

    async def desk(self) -> Desk:
        context = await self.browser.new_context(base_url=self.address, reduced_motion="reduce")
        page = await context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        device = await context.new_cdp_session(page)
        await device.send("WebAuthn.enable")
        made = await device.send(
            "WebAuthn.addVirtualAuthenticator",
            {
                "options": {
                    "protocol": "ctap2",
                    "transport": "internal",
                    "hasResidentKey": True,
                    "hasUserVerification": True,
                    "isUserVerified": True,
                    "automaticPresenceSimulation": True,
                }
            },
        )
        return Desk(page, device, made["authenticatorId"])


@pytest.fixture
def config() -> Config:
    return Config()


@pytest.fixture
async def room(config: Config) -> AsyncIterator[Room]:
    async with AsyncExitStack() as stack:
        machine = await stack.enter_async_context(machine_with_people(config))
        address = await stack.enter_async_context(front_door(machine))
        made = Room(machine, address, await stack.enter_async_context(chromium()))
        yield made
        assert not made.complaints


async def log_in(page: Page, name: str) -> None:
    await page.goto("/hub/login?next=/hub/home")
    await page.get_by_label("User name").fill(name)
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_role("button", name="Log in", exact=True).click()


async def add_passkey(desk: Desk, name: str) -> None:
    await desk.page.goto(FACTORS)
    await desk.page.get_by_label("Name of the new passkey").fill(name)
    await desk.page.get_by_role("button", name="Add a passkey").click()
    await expect(desk.page.locator(".rows")).to_contain_text(name)


async def test_from_adding_one_to_logging_in_with_it_and_removing_it(room: Room) -> None:
    desk = await room.desk()
    page = desk.page
    await log_in(page, "bob")
    await page.wait_for_url("**/hub/home")
    await add_passkey(desk, "Bob's laptop")
    [key] = await desk.keys()
    assert (key["isResidentCredential"], key["rpId"]) == (True, "localhost")
    # Adding it again on the same device leads to nothing.
    await page.get_by_role("button", name="Add a passkey").click()
    await expect(page.get_by_role("alert")).to_contain_text("has a passkey of yours already")
    assert await violations(page) == []

    await page.get_by_role("button", name="Log out").click()
    await page.goto("/hub/login?next=/hub/token")
    assert await violations(page) == []
    await page.get_by_role("button", name="Log in with a passkey").click()
    await page.wait_for_url("**/hub/token")
    await expect(page.locator(".who-name")).to_have_text("bob")

    await page.goto(FACTORS)
    await page.get_by_text("Rename or remove").click()
    await page.locator('input[name^="name_"]').fill("Old laptop")
    await page.get_by_role("button", name="Rename").click()
    await expect(page.locator(".rows")).to_contain_text("Old laptop")
    await page.get_by_text("Rename or remove").click()
    await page.locator('input[name^="remove_proof_"]').fill(PASSWORD)
    await page.get_by_role("button", name="Remove this passkey").click()
    await expect(page.locator(".note")).to_contain_text("The passkey is removed.")
    await page.get_by_role("button", name="Log out").click()
    await page.get_by_role("button", name="Log in with a passkey").click()
    await expect(page.get_by_role("alert")).to_contain_text("isn't known here")


async def test_a_device_that_is_not_sure_of_its_user_logs_nobody_in(room: Room) -> None:
    desk = await room.desk()
    await log_in(desk.page, "bob")
    await desk.page.wait_for_url("**/hub/home")
    await add_passkey(desk, "Bob's laptop")
    await desk.page.get_by_role("button", name="Log out").click()
    await desk.verifies(user=False)
    await desk.page.get_by_role("button", name="Log in with a passkey").click()
    await expect(desk.page.get_by_role("alert")).to_contain_text("told to stop")
    await expect(desk.page).to_have_url(f"{room.address}/hub/login")


@pytest.mark.parametrize(
    "config", [Config.model_validate({"passwords": {"second_factor_roles": ["admin"]}})]
)
async def test_where_a_role_demands_it_a_passkey_is_the_second_factor(room: Room) -> None:
    desk = await room.desk()
    page = desk.page
    await log_in(page, "ada")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Second factor and passkeys")
    assert await violations(page) == []
    await page.goto("/hub/admin")
    await expect(page.locator(".note.warn")).to_contain_text("Your role needs a second factor")
    await page.get_by_role("button", name="Add a passkey").click()
    await page.get_by_role("button", name="Make recovery codes").click()
    await expect(page.locator("#codes li")).to_have_count(10)
    await page.get_by_role("link", name="I have them").click()
    await page.goto("/hub/admin")
    await expect(page).to_have_url(f"{room.address}/hub/admin")
    await page.get_by_role("button", name="Log out").click()
    await log_in(page, "ada")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Second step")
    assert await violations(page) == []
    await page.get_by_role("button", name="Use a passkey").click()
    await page.wait_for_url("**/hub/home")


@pytest.mark.parametrize("config", [Config.model_validate({"passwords": {"passkeys": False}})])
async def test_where_they_are_switched_off_nothing_offers_them(room: Room) -> None:
    desk = await room.desk()
    await desk.page.goto("/hub/login")
    await expect(desk.page.locator("[data-passkey]")).to_have_count(0)
    await log_in(desk.page, "bob")
    await desk.page.wait_for_url("**/hub/home")
    await desk.page.goto(FACTORS)
    await expect(desk.page.get_by_role("heading", name="Passkeys")).to_have_count(0)
