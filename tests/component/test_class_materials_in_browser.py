"""Materials of a class in Chromium: files go up, are handed out, and come back."""

from __future__ import annotations

from pathlib import Path

from playwright.async_api import Page, expect

from appliance.names import Username
from tests.component.test_pages_in_browser import Room, pytestmark, room
from tests.fakes.chromium import violations

__all__ = ["pytestmark", "room"]

MATERIALS = "/hub/classes/bio/materials"


async def teacher(room: Room, *, scripts: bool = True) -> Page:
    """Bob, who teaches carol."""
    classes = room.machine.hub.classroom.parts["classes"]
    classes.create("bio", title="Biology")
    classes.add_teacher("bio", Username("bob"))
    await room.machine.root("POST", "groups/bio/users", {"users": ["carol"]})
    await room.machine.hub.classroom.parts["people"].changed("bio", joined=[Username("carol")])
    page = await room.logged_in("bob", scripts=scripts)
    await page.goto(MATERIALS)
    return page


async def test_files_go_up_are_handed_out_and_come_back(room: Room, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("first.ipynb", "größe & so.csv")]
    for file in files:
        file.write_text(file.name)
    page = await teacher(room)
    await expect(page.get_by_role("heading", name="Nothing in here yet")).to_be_visible()
    assert not await violations(page)
    await page.get_by_label("Into the folder").fill("week1")
    await page.get_by_label("Files", exact=True).set_input_files(files)
    await page.get_by_role("button", name="Upload").click()
    await page.wait_for_url(f"**{MATERIALS}?folder=week1")
    await expect(page.get_by_role("row", name="größe & so.csv")).to_be_visible()
    await page.get_by_role("radio", name="Replace it").check()
    assert not await violations(page)
    await page.get_by_role("button", name="Hand out", exact=True).click()
    await expect(page.get_by_text("“week1” is on its way to one student.")).to_be_visible()
    # The list follows by itself.
    await expect(page.get_by_text("1 of 1 student has it.")).to_be_visible()
    room.machine.spawner.homes["carol", "bio/week1/first.ipynb"] = b"solved"
    await expect(page.get_by_role("combobox", name="Folder")).to_have_value("week1")
    await page.get_by_role("button", name="Collect").click()
    await expect(page.get_by_text("From 1 of 1 student.")).to_be_visible()
    await page.get_by_role("link", name="What “week1").click()
    await expect(page.get_by_text("2 files")).to_be_visible()
    assert not await violations(page)


async def test_dropped_files_that_are_refused_say_why(room: Room) -> None:
    page = await teacher(room)
    dropped = await page.evaluate_handle(
        """() => {
          const data = new DataTransfer();
          data.items.add(new File(["x"], ".hidden"));
          data.items.add(new File(["y"], "seen.txt"));
          return data;
        }"""
    )
    card = page.locator("section.card").first
    await card.dispatch_event("drop", {"dataTransfer": dropped})
    await expect(page.get_by_text(".hidden was not taken:")).to_be_visible()
    await expect(page.get_by_text("seen.txt is there.")).to_be_visible()
    assert room.machine.spawner.common == {("bio", "shared/seen.txt"): b"y"}


async def test_files_go_up_without_scripts(room: Room, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    page = await teacher(room, scripts=False)
    await page.get_by_label("Files", exact=True).set_input_files(tmp_path / "a.txt")
    await page.get_by_role("button", name="Upload").click()
    await expect(page.get_by_text("One file is in the shared folder now.")).to_be_visible()
    assert room.machine.spawner.common == {("bio", "shared/a.txt"): b"a"}


async def test_a_link_to_a_repository_is_made_and_sent(room: Room) -> None:
    page = await teacher(room)
    await page.get_by_role("link", name="Make a link").click()
    await page.get_by_role("textbox", name="Repository").fill("http://git.example/course")
    await page.get_by_role("button", name="Make the link").click()
    await expect(page.get_by_role("alert")).to_contain_text("It doesn't begin with https://.")
    await page.get_by_role("textbox", name="Repository").fill("https://git.example/course.git")
    await page.get_by_role("button", name="Make the link").click()
    await expect(page.locator("svg.qr")).to_be_visible()
    assert not await violations(page)
    await page.get_by_role("button", name="Send to the class as a message").click()
    await expect(page.get_by_text("The link was sent to the class.")).to_be_visible()
    sent = room.machine.hub.classroom.parts["messages"].unread("carol")
    assert [one.sender for one in sent] == ["bob"]
    assert "/hub/user-redirect/git-pull?repo=https" in sent[0].text
