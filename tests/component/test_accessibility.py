"""Every page in Chromium, for everybody: axe in light and dark, wide and narrow, in two languages.

axe knows WCAG 2.0 to 2.2, A and AA, as far as a program can tell; `page_checks.py` has more.
German words are the longest, so that the pages in German are looked at on a telephone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

import pytest
from playwright.async_api import Browser, Page

from appliance.names import ServerId, Username
from tests.fakes import page_checks
from tests.fakes.chromium import chromium, violations
from tests.fakes.front_door import PASSWORD, front_door, machine_with_people
from tests.fakes.hub_machine import Machine

pytestmark = pytest.mark.browser

BOB = ServerId(Username("bob"))
ENGLISH: Final = "en-GB"
LANGUAGES: Final = (ENGLISH, "de-DE")
VISITOR: Final = ("/hub/login", "/hub/signup", "/hub/signup/waiting?username=nina",
    "/hub/setup?token=old", "/hub/error/404", "/hub/error/503")  # fmt: skip
STUDENT: Final = ("/hub/home", "/hub/token", "/hub/nowhere", "/hub/spawn/bob/new")
ADMIN: Final = ("/hub/home", "/hub/admin", "/hub/admin?search=zzz", "/hub/admin/add",
    "/hub/admin/users/bob", "/hub/admin/users/nina", "/hub/admin/users/bob/log",
    "/hub/admin/remove?user=bob&user=carol")  # fmt: skip


@dataclass
class School:
    """A hub with people, and a browser."""

    machine: Machine
    address: str
    browser: Browser
    problems: list[str] = field(default_factory=list)

    async def visitor(self, language: str) -> Page:
        context = await self.browser.new_context(
            base_url=self.address, locale=language, reduced_motion="reduce"
        )
        page = await context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        return page

    async def logged_in(self, name: str, language: str) -> Page:
        page = await self.visitor(language)
        await page.goto("/hub/login?next=/hub/home")
        await page.fill("#username", name)
        await page.fill("#password", PASSWORD)
        await page.press("#password", "Enter")
        await page.wait_for_url("**/hub/home")
        return page

    async def look_at(self, page: Page, *addresses: str) -> None:
        """Note what is wrong with the pages at these addresses."""
        language = await page.evaluate("navigator.language")
        for address in addresses:
            await page.goto(address)
            if language == ENGLISH:
                found = [*await violations(page), *await page_checks.shape(page)]
                found += await page_checks.reach(page)
            else:
                found = await violations(page, widths=(390,), schemes=("light",))
            found += await page_checks.width(page)
            self.problems += [f"{address}: {one}" for one in found]


@pytest.fixture
async def school() -> AsyncIterator[School]:
    async with AsyncExitStack() as stack:
        machine = await stack.enter_async_context(machine_with_people())
        await machine.hub.users.create_many(["nina"], approved=False)
        address = await stack.enter_async_context(front_door(machine))
        made = School(machine, address, await stack.enter_async_context(chromium()))
        yield made
        assert not made.problems, "\n".join(made.problems)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_visitors_pages(school: School, language: str) -> None:
    page = await school.visitor(language)
    link = school.machine.hub.links.make(Username("carol")).path
    await school.look_at(page, *VISITOR, link)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_students_pages(school: School, language: str) -> None:
    page = await school.logged_in("bob", language)
    await school.look_at(page, *STUDENT)
    await school.machine.hub.servers.start(BOB, wait=5.0)
    await school.look_at(page, "/hub/home")


@pytest.mark.parametrize("language", LANGUAGES)
async def test_admins_pages(school: School, language: str) -> None:
    await school.machine.hub.servers.start(BOB, wait=5.0)
    page = await school.logged_in("ada", language)
    await school.look_at(page, *ADMIN)
