"""What a teacher, or who was one, must not get at: accounts that have rights, or get them later."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from appliance.errors import NotFound
from appliance.hub.classroom.roster_desk import Shelf
from appliance.names import Username
from tests.fakes.class_people import PASSWORD, ClassPeople, class_people
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Browser, Machine

TAKEN_OVER = "seven-green-lamps-glow"


@pytest.fixture
async def people(machine: Machine) -> ClassPeople:
    return await class_people(machine)


async def test_a_password_that_a_teacher_chose_is_changed_at_once(
    machine: Machine, people: ClassPeople
) -> None:
    body = {"password": TAKEN_OVER}
    set_ = await people.lovelace.api("PUT", "appliance/users/emmy/password", body)
    assert set_.status == 200
    emmy = machine.browser()
    assert (await emmy.log_in("emmy", TAKEN_OVER)).status == 302
    assert (await emmy.get("/hub/home")).location.startswith("/hub/password")


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


class TestJobs:
    """Passwords and accounts are made for minutes; rights may change meanwhile."""

    @pytest.fixture
    def made(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Whose passwords were made; before the first, `self.meanwhile` happens."""
        made: list[str] = []
        whole = machine.hub.authenticator.generate_for

        async def generate(user: Username) -> str:
            if not made:
                await self.meanwhile(machine)
            made.append(user)
            return await whole(user)

        monkeypatch.setattr(machine.hub.authenticator, "generate_for", generate)
        return made

    async def meanwhile(self, machine: Machine) -> None:
        answer = await machine.root(*self.change)
        assert answer.status < 300, answer.body

    change: tuple[str, str, dict[str, Any]]

    @pytest.mark.parametrize("by_page", [True, False])
    async def test_who_gets_rights_keeps_the_password(
        self, machine: Machine, people: ClassPeople, made: list[str], by_page: bool
    ) -> None:
        self.change = ("PATCH", "users/sophie", {"admin": True})
        if by_page:
            chosen = [("user", "emmy"), ("user", "sophie")]
            page = await people.lovelace.post("/hub/classes/algebra/roster/passwords", chosen)
            async with asyncio.timeout(10):
                job = await people.lovelace.get(page.location)
                while job.status != 302:
                    job = await people.lovelace.get(page.location)
        else:
            users = {"users": ["emmy", "sophie"]}
            done = await people.lovelace.api(
                "POST", "appliance/classes/algebra/roster/passwords", users
            )
            assert [one["name"] for one in done.json["skipped"]] == ["sophie"]
        assert made == ["emmy"]
        assert (await machine.browser().log_in("sophie", PASSWORD)).status == 302

    async def test_a_job_ends_with_its_owners_rights(
        self, machine: Machine, people: ClassPeople, made: list[str]
    ) -> None:
        self.change = ("DELETE", "appliance/classes/algebra/teachers/lovelace", {})
        users = {"users": ["emmy", "sophie"]}
        done = await people.lovelace.api(
            "POST", "appliance/classes/algebra/roster/passwords", users
        )
        assert (done.status, "your rights have changed" in done.body) == (403, True)
        assert made == ["emmy"]

    async def test_accounts_are_no_longer_made_for_who_was_locked(
        self, machine: Machine, people: ClassPeople, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = machine.hub.authenticator.hash_generated
        first = asyncio.Event()

        async def hashed() -> tuple[str, str]:
            if not first.is_set():
                first.set()
                assert (
                    await machine.root("POST", "appliance/users/lovelace/lock", {})
                ).status == 200
            return await whole()

        monkeypatch.setattr(machine.hub.authenticator, "hash_generated", hashed)
        body = {"people": [{"name": f"new{number}"} for number in range(30)]}
        await people.lovelace.api("POST", "appliance/classes/algebra/roster", body)
        members = (await machine.root("GET", "groups/algebra")).json["users"]
        assert len([name for name in members if name.startswith("new")]) <= 10


def test_an_owners_lists_weigh_no_more_than_a_school() -> None:
    shelf: Shelf[int] = Shelf(clock=FakeClock(), weigh=lambda weight: weight)
    small = [shelf.put("mallory", 20_000) for _ in range(9)]
    others = shelf.put("noether", 100_000)
    wide = shelf.put("mallory", 245_000)
    for key in small:
        with pytest.raises(NotFound):
            shelf.get(key, "mallory")
    assert shelf.get(wide, "mallory") == 245_000
    assert shelf.get(others, "noether") == 100_000


async def test_no_message_reads_otherwise_than_it_is_written(people: ClassPeople) -> None:
    path = "appliance/classes/algebra/messages"
    for text in ("open \u202egnp.exe", "\u202bx", "a\x1b[31m", "a\0b", "\x9b31m"):
        assert (await people.lovelace.api("POST", path, {"text": text})).status == 400, text
    for text in ("\u05e9\u05dc\u05d5\u05dd\u200f 7!", "\U0001f469\u200d\U0001f393", "a\n\tb"):
        assert (await people.lovelace.api("POST", path, {"text": text})).status < 300, text
