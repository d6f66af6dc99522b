"""A class comes in, in Chromium: a code on the projector, a student's phone, the teacher's list."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest
from playwright.async_api import Browser, Page, expect

from appliance.names import Username
from tests.fakes.chromium import chromium, violations
from tests.fakes.front_door import PASSWORD, front_door, machine_with_people
from tests.fakes.hub_machine import Machine

pytestmark = pytest.mark.browser

NEW_PASSWORD = "seven lamps and a door"
PHONE = {"width": 390, "height": 780}


@dataclass
class School:
    """A class with the teacher carol, and a browser."""

    machine: Machine
    address: str
    browser: Browser
    complaints: list[str] = field(default_factory=list)

    async def visitor(self, *, phone: bool = False, scripts: bool = True) -> Page:
        context = await self.browser.new_context(
            base_url=self.address, java_script_enabled=scripts, reduced_motion="reduce",
            viewport=PHONE if phone else {"width": 1920, "height": 1080},  # type: ignore[arg-type]
            has_touch=phone, is_mobile=phone,
        )  # fmt: skip
        page = await context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self._listen(message.text))
        return page

    def _listen(self, text: str) -> None:
        # Chromium also writes there when a page has status 403 or 404, which is no fault.
        if "Failed to load resource" not in text:
            self.complaints.append(text)

    async def teacher(self, below: str = "") -> Page:
        """Carol, on a page of the class."""
        page = await self.visitor()
        await page.goto(f"/hub/login?next=/hub/classes/bio{below}")
        await page.get_by_label("User name").fill("carol")
        await page.get_by_label("Password", exact=True).fill(PASSWORD)
        await page.get_by_role("button", name="Log in", exact=True).click()
        await page.wait_for_url(f"**/hub/classes/bio{below}")
        return page


@pytest.fixture
async def school() -> AsyncIterator[School]:
    async with AsyncExitStack() as stack:
        machine = await stack.enter_async_context(machine_with_people())
        classes = machine.hub.classroom.parts["classes"]
        classes.create("bio", title="Biology 7a")
        classes.add_teacher("bio", Username("carol"))
        address = await stack.enter_async_context(front_door(machine))
        made = School(machine, address, await stack.enter_async_context(chromium()))
        yield made
        assert not made.complaints


async def _sign_up(page: Page, name: str) -> None:
    await page.get_by_label("User name").fill(name)
    await page.get_by_label("Your full name").fill("Maya Holm")
    await page.get_by_label("Password", exact=True).fill(NEW_PASSWORD)
    await page.get_by_role("button", name="Make my account and join").click()


async def test_a_class_comes_in_by_the_code_on_the_projector(school: School) -> None:
    teacher = await school.teacher("/joining")
    await teacher.get_by_label("It works").select_option("today")
    await teacher.get_by_label("For how many people").fill("30")
    await teacher.get_by_role("button", name="Make a code").click()
    await expect(teacher.get_by_text("0 of 30 people have used it.")).to_be_visible()
    await teacher.get_by_role("link", name="on the projector").click()
    await teacher.wait_for_url("**/show")
    projector = teacher
    code = await projector.locator(".show-code .unseen").inner_text()
    await expect(projector.get_by_role("status")).to_have_text("Nobody has joined yet")

    phone = await school.visitor(phone=True)
    await phone.goto("/hub/join")
    await phone.get_by_label("Join code").fill(code.upper().replace("-", " "))
    await phone.get_by_role("button", name="Go on").tap()
    await expect(phone.get_by_role("heading", level=1)).to_have_text("Join Biology 7a")
    # Phones zoom into fields whose letters are smaller, and out again by hand only.
    sizes = await phone.locator("input:not([type=hidden])").evaluate_all(
        "fields => fields.map(one => parseFloat(getComputedStyle(one).fontSize))"
    )
    assert min(sizes) >= 16
    await _sign_up(phone, "maya")
    await phone.wait_for_url("**/hub/signup/waiting**")
    await expect(phone.get_by_role("heading", level=1)).to_have_text("Thank you, maya")
    await expect(projector.get_by_role("status")).to_have_text("1 person has joined")

    await projector.keyboard.press("Escape")
    await projector.wait_for_url("**/hub/classes/bio/joining")
    await expect(teacher.get_by_text("1 person waits to be let in")).to_be_visible()
    await expect(teacher.get_by_role("cell", name="Maya Holm")).to_be_visible()
    await teacher.get_by_role("button", name="Approve maya").click()
    await expect(teacher.get_by_text("maya is approved.")).to_be_visible()
    # The phone asks by itself, and nobody types the password again.
    await phone.wait_for_url("**/hub/home")
    await expect(phone.get_by_role("heading", level=1)).to_have_text("Hello maya")
    assert school.machine.hub.classroom.parts["classes"].members("bio") == ["maya"]


async def test_the_list_of_who_waits_follows_and_keeps_what_is_chosen(school: School) -> None:
    joining = school.machine.hub.classroom.parts["joining"]
    code = school.machine.hub.classroom.parts["invites"].make("bio", by="carol").code
    teacher = await school.teacher("/joining")
    await expect(teacher.get_by_role("heading", name="Nobody waits to be let in")).to_be_visible()
    for name in ("maya", "noah"):
        await joining.sign_up(name, NEW_PASSWORD, code=code, address="192.0.2.9")
    await expect(teacher.get_by_text("2 people wait to be let in")).to_be_visible()
    await teacher.get_by_label("Choose noah").check()
    await expect(teacher.get_by_text("1 person chosen")).to_be_visible()
    await joining.sign_up("lena", NEW_PASSWORD, code=code, address="192.0.2.9")
    await expect(teacher.get_by_text("3 people wait to be let in")).to_be_visible()
    await expect(teacher.get_by_label("Choose noah")).to_be_checked()
    await expect(teacher.get_by_label("Choose maya")).not_to_be_checked()
    await expect(teacher.get_by_text("1 person chosen")).to_be_visible()
    await teacher.get_by_label("Choose all who wait").check()
    await expect(teacher.get_by_text("3 people chosen")).to_be_visible()
    await teacher.get_by_role("button", name="Reject…").click()
    await expect(teacher.get_by_role("heading", level=1)).to_have_text("Reject 3 sign-ups?")
    await teacher.get_by_role("link", name="Back").click()
    await teacher.get_by_label("Choose all who wait").check()
    await teacher.get_by_role("button", name="Approve", exact=True).first.click()
    await expect(teacher.get_by_text("3 people are approved.")).to_be_visible()


async def test_somebody_turned_away_learns_it_on_the_waiting_page(school: School) -> None:
    code = school.machine.hub.classroom.parts["invites"].make("bio", by="carol").code
    phone = await school.visitor(phone=True)
    await phone.goto(f"/hub/join/{code}")
    await _sign_up(phone, "maya")
    await phone.wait_for_url("**/hub/signup/waiting**")
    teacher = await school.teacher("/joining")
    await teacher.get_by_label("Choose maya").check()
    await teacher.get_by_role("button", name="Reject…").click()
    await teacher.get_by_role("button", name="Reject", exact=True).click()
    await expect(teacher.get_by_text("maya is rejected")).to_be_visible()
    await expect(phone.get_by_role("heading", level=1)).to_have_text("maya has no account here")


async def test_all_of_it_works_without_scripts(school: School) -> None:
    code = school.machine.hub.classroom.parts["invites"].make("bio", by="carol").code
    phone = await school.visitor(phone=True, scripts=False)
    await phone.goto("/hub/join")
    await phone.get_by_label("Join code").fill(code)
    await phone.get_by_role("button", name="Go on").tap()
    await _sign_up(phone, "maya")
    await phone.wait_for_url("**/hub/signup/waiting**")
    await phone.get_by_role("button", name="Look again").tap()
    await expect(phone.get_by_role("heading", level=1)).to_have_text("Thank you, maya")
    school.machine.hub.users.approve("maya")
    await phone.get_by_role("button", name="Look again").tap()
    await phone.wait_for_url("**/hub/home")
    await expect(phone.get_by_role("heading", level=1)).to_have_text("Hello maya")


async def test_everybody_can_use_the_pages(school: School) -> None:
    parts = school.machine.hub.classroom.parts
    invite = parts["invites"].make("bio", by="carol", most_uses=30, note="Monday group")
    for name in ("maya", "car0l", "anna-lena.von-und-zu-hohenstein@school.example"):
        await parts["joining"].sign_up(
            name, NEW_PASSWORD, code=invite.code, full_name="Anna-Lena Sophie von Hohenstein",
            address="192.0.2.9",
        )  # fmt: skip
    found: dict[str, list[str]] = {}
    teacher = await school.teacher("/joining")
    for below in ("joining", f"joining/codes/{invite.number}/show", "joining/reject?user=maya"):
        await teacher.goto(f"/hub/classes/bio/{below}")
        found[below] = await violations(teacher)
    visitor = await school.visitor()
    for path in ("/hub/join", "/hub/join/no-such-code", f"/hub/join/{invite.code}", "/hub/signup"):
        await visitor.goto(path)
        found[path] = await violations(visitor)
    await visitor.goto(f"/hub/join/{invite.code}")
    await _sign_up(visitor, "noah")
    await visitor.wait_for_url("**/hub/signup/waiting**")
    found["waiting"] = await violations(visitor)
    assert {path: wrong for path, wrong in found.items() if wrong} == {}
