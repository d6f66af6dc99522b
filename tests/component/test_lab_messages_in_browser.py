"""A teacher's words and questions in a student's JupyterLab, in Chromium, on the whole product."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from appliance.hub.app import Hub
from appliance.hub.groups import Groups
from appliance.proxy.static_files import find_static_roots
from appliance.singleuser.environment import install_extension
from tests.fakes.chromium import chromium
from tests.fakes.single_user import ROOT
from tests.fakes.whole import PASSWORD, Whole, whole

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

SLOW_MS = 60_000
EXTENSION = ROOT / "appliance/singleuser/labextension"


@dataclass
class Room:
    """The appliance with a class of lovelace's, of which emmy is."""

    appliance: Whole
    browser: Browser
    complaints: dict[Page, list[str]] = field(default_factory=dict)

    async def person(self, name: str) -> Page:
        """Somebody's browser, logged in."""
        port = self.appliance.config.http.port
        context = await self.browser.new_context(base_url=f"http://127.0.0.1:{port}")
        page = await context.new_page()
        page.set_default_timeout(SLOW_MS)
        heard = self.complaints[page] = []
        page.on("pageerror", lambda error: heard.append(str(error)))
        await page.goto("/hub/login?next=/hub/home")
        await page.get_by_label("User name").fill(name)
        await page.get_by_label("Password", exact=True).fill(PASSWORD)
        await page.get_by_role("button", name="Log in", exact=True).click()
        await page.wait_for_url("**/hub/home")
        return page

    def hub(self) -> Hub:
        assert self.appliance.hub is not None
        return self.appliance.hub._hub

    def parts(self) -> dict[str, Any]:
        return self.hub().classroom.parts


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    folder = tmp_path_factory.mktemp("room")
    extensions = folder / "labextensions"
    install_extension(EXTENSION, extensions)
    async with (
        whole(folder / "trial", static=find_static_roots(Path(sys.prefix))) as appliance,
        chromium() as chrome,
    ):
        # As if the environment had it: here the checkout's packages aren't installed.
        config = appliance.nginx.places.homes / "emmy/.jupyter/jupyter_server_config.json"
        config.parent.mkdir(parents=True)
        places = {"LabServerApp": {"extra_labextensions_path": [str(extensions)]}}
        config.write_text(json.dumps(places))
        for name in ("emmy", "lovelace"):
            await appliance.visitor().sign_up_and_log_in(name)
        found = Room(appliance, chrome)
        classes = found.parts()["classes"]
        classes.create("algebra", title="Algebra")
        classes.add_teacher("algebra", "lovelace")
        Groups(db=found.hub().db).add_users("algebra", ["emmy"])
        yield found


async def test_a_lesson(room: Room) -> None:
    student, teacher = await room.person("emmy"), await room.person("lovelace")
    await student.goto("/hub/spawn?next=/user/emmy/lab")
    await student.wait_for_url("**/user/emmy/lab**")
    await student.locator(".jp-LauncherCard").first.wait_for()
    messages = student.locator(".appliance-messages")
    await expect(messages).to_have_count(1)

    # She sees who is here, and says something.
    await teacher.goto("/hub/classes/algebra")
    row = teacher.locator('tr[data-user="emmy"]')
    await expect(row.locator("[data-state]")).to_have_text("Running")
    await expect(row.locator("[data-presence]")).to_have_text("Online")
    await expect(row.locator("[data-memory]")).to_contain_text("MB")
    await teacher.get_by_label("Message", exact=True).fill("Look at <b>cell</b> 3.\nThen stop.")
    await teacher.get_by_role("button", name="Send", exact=True).click()
    await expect(messages).to_contain_text("Look at <b>cell</b> 3.")

    # It takes the focus from nobody, and goes when it is read.
    assert await student.evaluate("document.activeElement.closest('.appliance-messages') === null")
    await student.keyboard.press("Alt+Shift+M")
    await student.keyboard.press("Enter")
    await expect(messages.get_by_role("group")).to_have_count(0)
    await teacher.reload()
    await expect(teacher.locator("#say")).to_contain_text("read by 1 of 1")

    # She asks, the student lets her in, she opens the server.
    await expect(teacher.get_by_role("link", name="Open the server of emmy")).to_be_hidden()
    await teacher.get_by_role("button", name="Ask emmy to let you in").click()
    await expect(messages).to_contain_text("lovelace asks to open your server")
    await messages.get_by_role("button", name="Allow for 30 minutes").click()
    await expect(messages).to_contain_text("lovelace may open your server")
    opening = teacher.get_by_role("link", name="Open the server of emmy")
    await expect(opening).to_be_visible()
    await opening.click()
    await teacher.get_by_role("button", name="Allow", exact=True).click()
    await teacher.wait_for_url("**/user/emmy/lab**")
    await teacher.locator(".jp-LauncherCard").first.wait_for()
    await expect(messages).to_contain_text("lovelace opened your server.")
    # In another's Lab the visitor gets nobody's messages.
    await expect(teacher.locator(".appliance-messages")).to_have_count(0)

    # The student ends it.
    await messages.get_by_role("button", name="End the visit now").click()
    await expect(messages).to_contain_text("The visit of lovelace has ended.")
    # Her browser's log-in is worth nothing there a few seconds later.
    refused = []
    for _ in range(20):
        answer = await teacher.context.request.get("/user/emmy/api/contents")
        refused.append(answer.status)
        if answer.status != 200:
            break
        await asyncio.sleep(0.5)
    assert refused[-1] == 403, refused
    await teacher.goto("/hub/classes/algebra")
    await expect(teacher.get_by_role("link", name="Open the server of emmy")).to_be_hidden()
    assert not room.complaints[student] + room.complaints[teacher]


async def test_notebook_shows_them_too(room: Room) -> None:
    student = await room.person("emmy")
    await student.goto("/hub/spawn?next=/user/emmy/tree")
    await student.get_by_role("menuitem", name="File", exact=True).wait_for()
    room.parts()["messages"].send("Well done.", sender="lovelace", users=["emmy"])
    messages = student.locator(".appliance-messages")
    await expect(messages).to_contain_text("Well done.")
    card = messages.get_by_role("group", name="lovelace")
    await card.get_by_role("button", name="Got it").click()
    await expect(card).to_have_count(0)


def _use(memory: float, disk: float) -> str:
    items = [
        {"key": "memory", "used": memory * 2**30, "limit": 2**30, "unit": "bytes", "state": "ok"},
        {"key": "cpu", "used": 0.5, "limit": 2.0, "unit": "cores", "state": "ok"},
        {"key": "disk", "used": disk * 2**30, "limit": 2**30, "unit": "bytes", "state": "ok"},
    ]
    for item in items:
        part = float(str(item["used"])) / float(str(item["limit"]))
        item["state"] = "full" if part >= 0.95 else "near" if part >= 0.8 else "ok"
    return json.dumps({"items": items})


@pytest.mark.parametrize(("path", "scheme"), [("lab", "light"), ("lab", "dark"), ("tree", "light")])
async def test_what_the_server_uses_is_in_sight(room: Room, path: str, scheme: str) -> None:
    student = await room.person("emmy")
    asked: list[str] = []
    use = [_use(0.25, 0.5)]

    async def answer(route: Any) -> None:
        asked.append(route.request.url)
        await route.fulfill(content_type="application/json", body=use[0])

    await student.route("**/appliance/usage", answer)
    await student.goto(f"/hub/spawn?next=/user/emmy/{path}")
    await student.wait_for_url(f"**/user/emmy/{path}**")
    bar = student.locator(".appliance-usage")
    await expect(bar).to_contain_text("Memory 256 MB / 1.0 GB")
    await expect(bar).to_contain_text("Processor 0.5 / 2.0")
    await expect(bar).to_contain_text("Files 512 MB / 1.0 GB")
    await expect(bar).to_have_attribute("aria-label", "What the server uses")
    assert "\N{WARNING SIGN}" not in await bar.inner_text()
    if path == "lab":
        await expect(student.locator("#jp-main-statusbar .appliance-usage")).to_have_count(1)
        if scheme == "dark":
            await student.evaluate(
                "window.jupyterapp?.commands.execute("
                "'apputils:change-theme', {theme: 'JupyterLab Dark'})"
            )
    use[0] = _use(0.85, 0.97)
    near = bar.get_by_text("\N{WARNING SIGN} Memory 870 MB / 1.0 GB")
    await expect(near).to_be_visible(timeout=20_000)
    await expect(near).to_have_attribute(
        "title", "Little memory is left: stop kernels that you don't need"
    )
    await expect(bar.get_by_text("\N{WARNING SIGN} Files")).to_be_visible()
    if scheme == "light":
        # Nobody looks, so nobody asks.
        await student.evaluate(
            "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        await asyncio.sleep(1)
        before = len(asked)
        await asyncio.sleep(6)
        assert len(asked) == before
    if path == "lab":
        # Notebook's own pages complain of themselves now and then.
        assert room.complaints[student] == []
    await student.context.close()


async def test_where_nothing_is_counted_nothing_is_shown(room: Room) -> None:
    student = await room.person("emmy")
    await student.goto("/hub/spawn?next=/user/emmy/lab")
    async with student.expect_response("**/appliance/usage") as asked:
        await student.wait_for_url("**/user/emmy/lab**")
    reply = await asked.value
    assert (reply.status, await reply.json()) == (200, {"items": []})
    await expect(student.locator(".appliance-usage")).to_be_hidden()
    await student.context.close()
