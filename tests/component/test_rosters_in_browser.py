"""Rosters in Chromium: a teacher pastes a list and prints cards, a student logs in on a phone."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pypdfium2
import pytest
from playwright.async_api import Page, expect

from appliance.hub.classroom.classes import Classes
from appliance.names import Username
from tests.component.test_pages_in_browser import Room
from tests.fakes.chromium import chromium, violations
from tests.fakes.front_door import front_door, machine_with_people

pytestmark = pytest.mark.browser

LONG: Final = "Maximiliana Alexandra Wolfeschlegelsteinhausenbergerdorff-Hohenlohe-Langenburg"
# A millimetre of ink beyond its card would be cut off; sizes are in points of 1/72 inch.
PAPERS: Final = {"a4": (595, 842), "letter": (612, 792)}


@pytest.fixture
async def room(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Room]:
    """bob teaches math."""
    monkeypatch.setattr("appliance.native_auth.authenticator.MIN_COST", 4)
    async with AsyncExitStack() as stack:
        machine = await stack.enter_async_context(machine_with_people())
        classes = Classes(db=machine.hub.db, clock=machine.clock)
        classes.create("math", title="Math")
        classes.add_teacher("math", Username("bob"))
        address = await stack.enter_async_context(front_door(machine))
        made = Room(machine, address, await stack.enter_async_context(chromium()))
        yield made
        assert not made.complaints


async def bring(page: Page, text: str) -> None:
    await page.goto("/hub/classes/math/roster")
    await page.get_by_label("Paste names").fill(text)
    await page.get_by_role("button", name="Look at the list").click()
    await page.wait_for_url("**/roster/lists/*")


async def test_from_a_pasted_list_to_a_student_on_a_phone(room: Room, tmp_path: Path) -> None:
    page = await room.logged_in("bob")
    students = "\n".join(f"Nachname{n};Vorname{n};" for n in range(37))
    await bring(page, f"Name;Vorname;Mail\nMüller;Änne;kein\n{LONG};Zoe;\nEk;Anna;\n{students}")
    await expect(page.get_by_role("heading", name="39 people can be added")).to_be_visible()
    assert await violations(page) == []
    await page.get_by_label("Mail address in line 2", exact=True).fill("aenne@s.example")
    await page.get_by_label("Leave out line 4", exact=True).check()
    await page.get_by_role("button", name="Look again").last.click()
    await page.get_by_role("button", name="Add 39 people").click()
    await page.wait_for_url("**/hub/cards/*")
    await expect(page.locator(".login-card")).to_have_count(39)
    assert await violations(page) == []
    await check_print(page, tmp_path)
    card = page.locator(".login-card", has_text="aenne.mueller").first
    password = await card.locator(".secret").inner_text()
    phone = await room.visitor()
    await phone.set_viewport_size({"width": 390, "height": 800})
    await phone.goto("/hub/login?username=aenne.mueller")
    await phone.get_by_label("Password", exact=True).fill(password.replace("-", " ").title())
    await phone.get_by_role("button", name="Log in", exact=True).click()
    await expect(phone.get_by_role("heading", level=1)).to_have_text("Choose your own password")
    own = phone.get_by_label("New password", exact=True)
    await expect(own).to_be_focused()
    assert await violations(phone) == []
    await own.fill("grey-lake-2001")
    await phone.get_by_role("button", name="Use this password").click()
    await phone.wait_for_url(lambda url: "/hub/password" not in url)
    await phone.goto("/hub/home")
    await expect(phone.get_by_text("aenne.mueller").first).to_be_visible()


async def check_print(page: Page, folder: Path) -> None:
    """Ten cards on a sheet of either paper, white, whole, without what is on the screen alone."""
    cards = await page.locator(".login-card").count()
    for paper, size in PAPERS.items():
        await page.emulate_media(media="screen", color_scheme="dark")
        await page.get_by_label("Paper").select_option(paper)
        await page.wait_for_url(f"**?paper={paper}")
        await page.emulate_media(media="print", color_scheme="dark")
        await expect(page.locator("header.top")).to_be_hidden()
        file = folder / f"{paper}.pdf"
        await page.pdf(path=file, prefer_css_page_size=True, print_background=True)
        document = pypdfium2.PdfDocument(file)
        try:
            assert len(document) == -(-cards // 10)
            for number, sheet in enumerate(document):
                assert tuple(map(round, sheet.get_size())) == pytest.approx(size, abs=1)
                text = " ".join(sheet.get_textpage().get_text_range().split())
                on_sheet = len(re.findall(r"(?:[a-z]{4}-){3}[a-z]{4}", text))
                assert on_sheet == min(10, cards - 10 * number)
                assert text.count("of your own when you log in") == on_sheet
                assert "log-in cards" not in text
                picture = sheet.render(scale=0.5)
                pixels = bytes(picture.buffer)
                white = pixels.count(b"\xff") / len(pixels)
                assert white > 0.6, "paper is white in dark mode too"
                assert pixels[: picture.stride * 8].count(b"\xff") == picture.stride * 8
        finally:
            document.close()
    await page.emulate_media(media="screen", color_scheme="light")


async def test_a_card_again_is_a_new_password_and_asks_first(room: Room) -> None:
    page = await room.logged_in("bob", scripts=False)
    await bring(page, "Anna Ek\nBo Ohm")
    await page.get_by_role("button", name="Add 2 people").click()
    # Without scripts the page of the work goes on by itself.
    await page.wait_for_url("**/hub/cards/*")
    first = await page.locator(".secret").first.inner_text()
    await page.get_by_role("link", name="Done").click()
    await page.get_by_label("Choose Anna Ek").check()
    await page.get_by_role("button", name="New passwords and cards").click()
    await expect(page.get_by_text("a card can't be printed a second time")).to_be_visible()
    await page.get_by_role("button", name="Make the password and its card").click()
    await page.wait_for_url("**/hub/cards/*")
    await expect(page.locator(".login-card")).to_have_count(1)
    assert await page.locator(".secret").inner_text() != first


async def test_a_file_that_is_too_large_is_told_before_it_is_sent(
    room: Room, tmp_path: Path
) -> None:
    page = await room.logged_in("bob")
    await page.goto("/hub/classes/math/roster")
    large = tmp_path / "large.csv"
    large.write_bytes(b"x" * (50 * 1024 * 1024))
    await page.get_by_label("Or choose a CSV file").set_input_files(large)
    await expect(page.get_by_text("too large to be a list of people")).to_be_visible()
    await page.get_by_role("button", name="Look at the list").click()
    assert page.url.endswith("/roster")
    small = tmp_path / "small.csv"
    small.write_bytes("Name;Klasse\nÄnne Müller;7b\n".encode("cp1252"))
    await page.get_by_label("Or choose a CSV file").set_input_files(small)
    await page.get_by_role("button", name="Look at the list").click()
    await expect(page.get_by_label("User name in line 2")).to_have_value("aenne.mueller")


async def test_everybody_can_use_the_pages_of_rosters(room: Room) -> None:
    page = await room.logged_in("bob")
    await page.goto("/hub/classes/math/roster")
    assert await violations(page) == []
    await bring(page, f"Zoe {LONG}\nBo Ohm")
    await page.get_by_role("button", name="Add 2 people").click()
    await page.wait_for_url("**/hub/cards/*")
    await page.goto("/hub/classes/math/roster")
    assert await violations(page) == []
    for button in ("New passwords", "Take out"):
        await page.goto("/hub/classes/math/roster")
        await page.get_by_label("Choose everybody").check()
        await expect(page.locator("[data-chosen]")).to_have_text("2 people chosen")
        await page.get_by_role("button", name=button).click()
        await expect(page.get_by_role("heading", level=2)).to_contain_text("2 people")
        assert await violations(page) == []
    admin = await room.logged_in("ada")
    await admin.goto("/hub/admin/add")
    assert await violations(admin) == []
