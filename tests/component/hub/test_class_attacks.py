"""What a teacher, or who was one, must not get at: accounts that have rights, or get them later."""

from __future__ import annotations

import pytest

from tests.fakes.class_people import PASSWORD, ClassPeople, class_people
from tests.fakes.hub_machine import Browser, Machine

TAKEN_OVER = "seven-green-lamps-glow"


@pytest.fixture
async def people(machine: Machine) -> ClassPeople:
    return await class_people(machine)


class TestLinksOfTeachers:
    """A link that a teacher made for a student is worth nothing once the student has rights."""

    async def _use(self, machine: Machine, path: str) -> int:
        browser = machine.browser()
        await browser.get(path)
        token = path.partition("=")[2]
        return (await browser.post("/hub/setup", {"token": token, "password": TAKEN_OVER})).status

    async def _link(self, people: ClassPeople, name: str) -> str:
        made = await people.lovelace.api("POST", f"appliance/users/{name}/setup-link")
        assert made.status == 201
        path: str = made.json["path"]
        return path

    async def test_as_the_student_becomes_an_admin(
        self, machine: Machine, people: ClassPeople, ada: Browser
    ) -> None:
        path = await self._link(people, "emmy")
        assert (await ada.api("PATCH", "users/emmy", {"admin": True})).status == 200
        assert await self._use(machine, path) == 404
        assert (await machine.browser().log_in("emmy", PASSWORD)).status == 302

    @pytest.mark.parametrize("is_new", [True, False])
    async def test_as_the_student_becomes_a_teacher(
        self, machine: Machine, people: ClassPeople, ada: Browser, is_new: bool
    ) -> None:
        path = await self._link(people, "emmy")
        if is_new:
            body = {"title": "Sets", "name": "sets", "teacher": "emmy"}
            assert (await ada.api("POST", "appliance/classes", body)).status == 201
        else:
            added = await ada.api("PUT", "appliance/classes/logic/teachers/emmy")
            assert added.status < 300, added.body
        assert await self._use(machine, path) == 404

    async def test_that_of_an_admin_for_a_new_teacher_goes_on_working(
        self, machine: Machine, people: ClassPeople, ada: Browser
    ) -> None:
        assert (await ada.api("POST", "users/marie")).status == 201
        made = await ada.api("POST", "appliance/users/marie/setup-link")
        body = {"title": "Sets", "name": "sets", "teacher": "marie"}
        assert (await ada.api("POST", "appliance/classes", body)).status == 201
        assert await self._use(machine, made.json["path"]) == 302


@pytest.mark.parametrize(("path", "key"), [("members", "users"), ("roster", "people")])
async def test_a_teacher_takes_nobody_with_rights_along_to_her_other_class(
    machine: Machine, people: ClassPeople, ada: Browser, path: str, key: str
) -> None:
    """noether teaches logic and is a student in algebra, where ada is, too, who is an admin."""
    users = {"users": ["noether", "ada"]}
    assert (await machine.root("POST", "groups/algebra/users", users)).status == 200
    sets = {"title": "Sets", "name": "sets", "teacher": "lovelace"}
    assert (await ada.api("POST", "appliance/classes", sets)).status == 201
    body = {key: [{"name": name} for name in ("noether", "ada", "emmy", "kurt")]}
    answer = await people.lovelace.api("POST", f"appliance/classes/sets/{path}", body)
    assert answer.status == 201, answer.body
    assert (await machine.root("GET", "groups/sets")).json["users"] == ["emmy"]
