"""Every page in Chromium, for everybody: axe in light and dark, wide and narrow, in two languages.

axe knows WCAG 2.0 to 2.2, A and AA, as far as a program can tell; `page_checks.py` has more.
German words are the longest, so that the pages in German are looked at on a telephone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import pytest
from playwright.async_api import Browser, Page

from appliance.disk.report import QUOTA, Report, Used, report_file, write_report
from appliance.findings import Finding, Severity, write_finding
from appliance.names import ServerId, Username
from tests.fakes import page_checks
from tests.fakes.chromium import chromium, violations
from tests.fakes.front_door import PASSWORD, front_door, give_password, machine_with_people
from tests.fakes.hub_machine import Machine

pytestmark = pytest.mark.browser

BOB = ServerId(Username("bob"))
GB: Final = 2**30
ENGLISH: Final = "en-GB"
LANGUAGES: Final = (ENGLISH, "de-DE")
VISITOR: Final = ("/hub/login", "/hub/signup", "/hub/signup/waiting?username=nina", "/hub/join",
    "/hub/forgot", "/hub/setup?token=old", "/hub/error/404", "/hub/error/503")  # fmt: skip
STUDENT: Final = ("/hub/home", "/hub/account", "/hub/account/second-factor", "/hub/token",
    "/hub/password", "/hub/nowhere", "/hub/join")  # fmt: skip
TEACHER: Final = ("/hub/classes", "/hub/classes/physics", "/hub/classes/physics/roster",
    "/hub/classes/physics/joining", "/hub/classes/physics/materials?folder=week1",
    "/hub/classes/physics/links", "/hub/classes/physics/settings", "/hub/classes/physics/limits",
    "/hub/classes/physics/passwords?user=bob", "/hub/classes/physics/take-out?user=bob",
    "/hub/classes/physics/end?how=archive", "/hub/users/bob/access")  # fmt: skip
ADMIN: Final = ("/hub/home", "/hub/admin", "/hub/admin?search=zzz", "/hub/admin/add",
    "/hub/admin/users/bob", "/hub/admin/users/nina", "/hub/admin/users/bob/log",
    "/hub/admin/users/bob/limits", "/hub/admin/remove?user=bob&user=carol", "/hub/admin/joining",
    "/hub/admin/status", "/hub/new-class", "/hub/archives")  # fmt: skip
FOUND: Final = (
    Finding("backup", Severity.FAILED, "it failed", mend="sudo appliance backup create"),
    Finding("updates", Severity.WARNING, "release 1.2.3 is there", why="it mends a hole",
            mend="sudo appliance upgrade; or never ask: appliance config set updates.check false"),
    Finding("clock", Severity.OK, "it is set right"),
    Finding("machine", Severity.OK, "everything of ours runs", details={
        "memory": {"total": 16 * GB, "available": 5 * GB},
        "disks": [{"path": "/home", "total": 500 * GB, "free": 60 * GB}],
        "units": {"appliance-spawner.service": "failed (exit-code, exit status 78)"},
    }),
)  # fmt: skip


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

    async def code(self) -> str:
        """A join code of the class."""
        made = await self.machine.root("POST", "appliance/classes/physics/invites", {})
        return str(made.json["code"])

    async def look_at(self, page: Page, *addresses: str) -> None:
        """Note what is wrong with the pages at these addresses."""
        for address in addresses:
            await page.goto(address)
            await self.look_here(page)

    async def look_here(self, page: Page) -> None:
        """Note what is wrong with the page that is open."""
        if await page.evaluate("navigator.language") == ENGLISH:
            found = [*await violations(page), *await page_checks.shape(page)]
            found += await page_checks.reach(page)
        else:
            found = await violations(page, widths=(390,), schemes=("light",))
        found += await page_checks.width(page)
        where = page.url.removeprefix(self.address)
        self.problems += [f"{where}: {one}" for one in found]


@pytest.fixture
async def school() -> AsyncIterator[School]:
    async with AsyncExitStack() as stack:
        machine = await stack.enter_async_context(machine_with_people())
        await physics(machine)
        address = await stack.enter_async_context(front_door(machine))
        made = School(machine, address, await stack.enter_async_context(chromium()))
        yield made
        assert not made.problems, "\n".join(made.problems)


async def physics(machine: Machine) -> None:
    """A class with the teacher tess, the students bob and carol, and nina, who waits."""
    hub = machine.hub
    await hub.users.create_many(["tess"])
    await hub.users.create_many(["nina"], approved=False)
    await give_password(machine)
    classes = hub.classroom.parts["classes"]
    classes.create("physics", title="Physics 7a")
    classes.add_teacher("physics", Username("tess"))
    for user in ("bob", "carol", "nina"):
        await machine.root("POST", "groups/physics/users", {"users": [user]})
    await hub.classroom.parts["people"].changed("physics", joined=[Username("bob")])
    for name in ("week1/first.ipynb", "week1/data with a long name, of many words.csv"):
        machine.spawner.common["physics", f"shared/{name}"] = b"{}"


def something_was_found(machine: Machine) -> None:
    """Root's programs looked: the status page has something to say, and homes are full."""
    for finding in FOUND:
        write_finding(machine.places.health, finding)
    now = machine.clock.now().timestamp()
    full = Used(bytes=2 * GB, files=400, limit=2 * GB, by=QUOTA, at=now)
    report = Report(at=now, users={"bob": full, "tess": full}, classes={"physics": full}, rooms=())
    write_report(report_file(machine.places), report, group=None)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_visitors_pages(school: School, language: str) -> None:
    page = await school.visitor(language)
    link = school.machine.hub.links.make(Username("carol")).path
    await school.look_at(page, *VISITOR, link, f"/hub/join/{await school.code()}")


@pytest.mark.parametrize("language", LANGUAGES)
async def test_forms_that_say_what_is_wrong(school: School, language: str) -> None:
    page = await school.visitor(language)
    await page.goto("/hub/login")
    await page.fill("#username", "bob")
    await page.fill("#password", "wrong")
    await page.press("#password", "Enter")
    await school.look_here(page)
    await page.goto("/hub/signup")
    await page.evaluate("document.querySelector('form[data-signup]').noValidate = true")
    await page.fill("#password", "short")
    await page.press("#password", "Enter")
    await school.look_here(page)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_students_pages(school: School, language: str) -> None:
    school.machine.hub.classroom.parts["messages"].send(
        "Open the notebook of week 1, please.", sender="tess", group="physics"
    )
    page = await school.logged_in("bob", language)
    await school.look_at(page, *STUDENT)
    await school.machine.hub.servers.start(BOB, wait=5.0)
    something_was_found(school.machine)
    await school.look_at(page, "/hub/home", f"/hub/join/{await school.code()}")


@pytest.mark.parametrize("language", LANGUAGES)
async def test_teachers_pages(school: School, language: str) -> None:
    await school.machine.hub.servers.start(BOB, wait=5.0)
    something_was_found(school.machine)
    ends = school.machine.clock.now() + timedelta(hours=2)
    exam = {"ends": ends.isoformat()}
    assert (await school.machine.root("PUT", "appliance/classes/physics/exam", exam)).status == 200
    page = await school.logged_in("tess", language)
    await school.code()
    await page.goto("/hub/classes/physics/materials?folder=week1")
    await page.click("button[value=hand-out]")
    await school.look_at(page, *TEACHER)
    await page.goto("/hub/classes/physics/joining")
    await page.click("a[href$='/show']")
    await school.look_here(page)
    await page.goto("/hub/classes/physics/roster")
    await page.fill("textarea", "Anna Maier\nBen Okoro, ben@\n\n;;;\n")
    await page.click("form:has(textarea) button.main")
    await school.look_here(page)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_admins_pages(school: School, language: str) -> None:
    await school.machine.hub.servers.start(BOB, wait=5.0)
    something_was_found(school.machine)
    page = await school.logged_in("ada", language)
    await school.look_at(page, *ADMIN)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_pages_of_a_school_that_has_nobody_yet(school: School, language: str) -> None:
    school.machine.hub.classroom.parts["classes"].create("empty", title="Empty")
    page = await school.logged_in("ada", language)
    below = ("", "/roster", "/joining", "/materials", "/settings")
    await school.look_at(page, *(f"/hub/classes/empty{one}" for one in below))
