"""Biology with its teacher frida, another class with its own, and short ways to join."""

from __future__ import annotations

import re
from dataclasses import dataclass

from appliance.names import Username
from tests.component.hub.conftest import STUDENT_PASSWORD
from tests.fakes.hub_machine import Answer, Browser, Machine

TEACHER_PASSWORD = "seven-lamps-and-a-door"


@dataclass
class JoiningClass:
    """The class `bio`, its teacher's browser, and another class's teacher's."""

    machine: Machine
    frida: Browser
    otto: Browser

    async def make_code(self, group: str = "bio", **body: object) -> str:
        """A code that frida makes, or otto for his class."""
        teacher = self.frida if group == "bio" else self.otto
        answer = await teacher.api("POST", f"appliance/classes/{group}/invites", body)
        assert answer.status == 201, answer.body
        return str(answer.json["code"])

    async def sign_up(self, name: str, code: str, **fields: str) -> tuple[Browser, Answer]:
        """Somebody new who follows the link of a code."""
        browser = self.machine.browser()
        await browser.get(f"/hub/join/{code}")
        answer = await browser.post(
            f"/hub/join/{code}", {"username": name, "password": STUDENT_PASSWORD, **fields}
        )
        return browser, answer

    async def waiting(self, group: str = "bio") -> list[str]:
        answer = await self.frida.api("GET", f"appliance/classes/{group}/waiting")
        return [one["name"] for one in answer.json]

    async def decide(self, verb: str, *names: str, browser: Browser | None = None) -> Answer:
        return await (browser or self.frida).api(
            "POST", f"appliance/classes/bio/waiting/{verb}", {"usernames": list(names)}
        )

    async def members(self, group: str = "bio") -> list[str]:
        answer = await self.machine.root("GET", f"groups/{group}")
        return list(answer.json["users"])

    async def rule(self, **values: bool) -> None:
        answer = await self.frida.api("PATCH", "appliance/classes/bio", values)
        assert answer.status == 200, answer.body


async def joining_class(machine: Machine) -> JoiningClass:
    """Make them on a machine."""
    await machine.root("POST", "appliance/users", {"usernames": ["frida", "otto"]})
    classes = machine.hub.classroom.parts["classes"]
    teachers = []
    for group, title, teacher in (("bio", "Biology", "frida"), ("art", "Art", "otto")):
        classes.create(group, title=title)
        classes.add_teacher(group, Username(teacher))
        url = f"appliance/users/{teacher}/password"
        answer = await machine.root("PUT", url, {"password": TEACHER_PASSWORD})
        assert answer.status == 200, answer.body
        browser = machine.browser()
        assert (await browser.log_in(teacher, TEACHER_PASSWORD)).status == 302
        await browser.get("/hub/home")
        teachers.append(browser)
    return JoiningClass(machine, *teachers)


def told(page: str) -> str:
    """The words of a page, without its tags."""
    return " ".join(re.sub(r"<[^>]*>", " ", page.partition("<main")[2]).split())
