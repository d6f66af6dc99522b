"""Classes: making them, teachers, the end of a term, locks, and what follows at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from appliance.access.roles import Role, Roles
from appliance.db.class_models import Teaching
from appliance.db.models import LoginSession
from appliance.errors import SpawnRefused
from appliance.hub.classroom.rights import Rights
from appliance.names import ServerId, Username
from tests.component.hub.conftest import STUDENT_PASSWORD
from tests.fakes.class_people import PASSWORD, ClassPeople, class_people
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Browser, Machine

EMMY = Username("emmy")


@pytest.fixture
async def people(machine: Machine) -> ClassPeople:
    return await class_people(machine)


async def archived(machine: Machine, name: str, *, anew: bool = False) -> dict[str, Any]:
    """Put a class into an archive and wait for it."""
    begun = await machine.root("POST", f"appliance/classes/{name}/archive", {"anew": anew})
    assert begun.status == 202, begun.body
    return await settled(machine, begun.json["archive"])


async def settled(machine: Machine, number: int) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            found: dict[str, Any] = (await machine.root("GET", f"appliance/archives/{number}")).json
            if found["state"] in {"ready", "failed"}:
                return found
            await asyncio.sleep(0.02)


async def names(machine: Machine) -> set[str]:
    return {user["name"] for user in (await machine.root("GET", "users")).json}


class TestMaking:
    async def test_an_admin_makes_a_class_with_a_new_teacher(
        self, machine: Machine, ada: Browser
    ) -> None:
        page = await ada.get("/hub/new-class")
        assert page.status == 200
        fields = {"title": "Physik 7ä", "teacher": "marie"}
        answer = await ada.post("/hub/new-class", fields)
        assert answer.status == 302
        sheet = await ada.get(answer.location)
        assert "marie" in sheet.body
        [one] = (await machine.root("GET", "appliance/classes")).json
        assert (one["name"], one["title"], one["teachers"]) == ("physik-7a", "Physik 7ä", ["marie"])
        assert machine.spawner.classes["physik-7a"]
        roles = (await machine.root("GET", "users/marie")).json["roles"]
        assert roles == ["teacher", "user"]

    async def test_a_teacher_arrives_at_her_classes(
        self, machine: Machine, people: ClassPeople
    ) -> None:
        browser = machine.browser()
        answer = await browser.log_in("lovelace", PASSWORD)
        assert answer.location.endswith("/hub/classes")
        page = (await browser.get(answer.location)).body
        assert "Algebra" in page
        assert "Logic" not in page

    async def test_bad_classes_are_refused(self, machine: Machine, ada: Browser) -> None:
        for body, status in [
            ({"title": ""}, 400),
            ({"title": "x" * 201}, 400),
            ({"title": "A", "name": "a/b"}, 400),
            ({"title": "A\n\x07"}, 400),
            ({"title": "A", "teacher": "Nobody At All"}, 400),
            ({"title": "A", "name": "a"}, 201),
            ({"title": "A", "name": "a"}, 409),
            ({"title": "A"}, 201),
        ]:
            answer = await ada.api("POST", "appliance/classes", body)
            assert answer.status == status, (body, answer.body)
        found = [one["name"] for one in (await ada.api("GET", "appliance/classes")).json]
        assert found == ["a", "a-2"]

    async def test_pages_in_the_life_of_a_class(
        self, machine: Machine, people: ClassPeople, ada: Browser
    ) -> None:
        for browser, path in [
            (ada, "/hub/classes"), (ada, "/hub/classes/algebra/settings"),
            (ada, "/hub/classes/algebra/end?how=delete"), (ada, "/hub/archives"),
            (people.lovelace, "/hub/classes/algebra/settings"),
            (people.lovelace, "/hub/classes/algebra/end?how=anew"),
        ]:  # fmt: skip
            assert (await browser.get(path)).status == 200, path
        assert (await people.lovelace.get("/hub/classes/algebra/end?how=delete")).status == 403
        for path in ("/hub/classes", "/hub/new-class", "/hub/archives"):
            assert (await people.emmy.get(path)).status == 403, path
        saved = await people.lovelace.post(
            "/hub/classes/algebra/settings", {"do": "save", "title": "Algebra <b>", "frozen": "1"}
        )
        assert saved.status == 302
        page = (await people.lovelace.get("/hub/classes/algebra/settings")).body
        assert "Algebra &lt;b&gt;" in page
        one = (await people.lovelace.api("GET", "appliance/classes/algebra")).json
        assert (one["frozen"], one["must_approve"]) == (True, False)


class TestRightsAtOnce:
    async def test_who_no_longer_teaches_reaches_nothing(
        self, machine: Machine, people: ClassPeople
    ) -> None:
        await machine.root("POST", "users/lovelace/server")
        made = await people.lovelace.api(
            "POST", "users/lovelace/tokens", {"scopes": ["classroom!group=algebra"]}
        )
        assert made.status == 201, made.body
        token = made.json["token"]
        assert (await machine.token_call(token, "GET", "appliance/classes/algebra")).status == 200
        removed = await machine.root("DELETE", "appliance/classes/algebra/teachers/lovelace")
        assert removed.status == 204
        assert (await machine.token_call(token, "GET", "appliance/classes/algebra")).status == 403
        assert (await people.lovelace.get("/hub/classes/algebra/settings")).status == 403
        assert (await people.lovelace.api("GET", "users/emmy")).status in {403, 404}
        assert ServerId(Username("lovelace")) not in machine.spawner.servers

    async def test_a_lock_ends_all_that_is_open(
        self, machine: Machine, people: ClassPeople
    ) -> None:
        await people.emmy.api("POST", "users/emmy/server", {})
        token = (await people.emmy.api("POST", "users/emmy/tokens", {})).json["token"]
        link = (await machine.root("POST", "appliance/users/emmy/setup-link")).json["path"]
        locked = await people.lovelace.api("PUT", "appliance/users/emmy/lock", {})
        assert locked.json["appliance"]["state"] == "locked"
        assert (await machine.token_call(token, "GET", "user")).status == 403
        assert (await people.emmy.api("GET", "user")).status == 403
        assert ServerId(EMMY) not in machine.spawner.servers
        assert 'name="password"' not in (await machine.browser().get(link)).body
        started = await people.lovelace.api("POST", "users/emmy/server", {})
        assert started.status == 409
        # Approving is for those who wait: it is no way round the lock.
        await machine.root("POST", "appliance/users/emmy/approve")
        wrong = await machine.browser().log_in("emmy", "not-the-password")
        assert "lock" not in wrong.body.partition("</head>")[2].replace("block", "")
        right = await machine.browser().log_in("emmy", PASSWORD)
        assert right.status == 403
        assert "locked" in right.body
        await people.lovelace.api("DELETE", "appliance/users/emmy/lock")
        assert (await machine.browser().log_in("emmy", PASSWORD)).status == 302

    async def test_the_last_admin_stays(self, machine: Machine, ada: Browser) -> None:
        for verb, path, body in [
            ("PUT", "appliance/users/ada/lock", {}),
            ("PATCH", "users/ada", {"admin": False}),
            ("DELETE", "users/ada", None),
        ]:
            answer = await machine.root(verb, path, body)
            assert answer.status == 409, (verb, path, answer.body)
        assert (await ada.api("PUT", "appliance/users/ada/lock", {})).status == 409

    async def test_nobody_waiting_is_locked(self, machine: Machine, ada: Browser) -> None:
        await machine.browser().sign_up("bob", STUDENT_PASSWORD)
        assert (await ada.api("PUT", "appliance/users/bob/lock", {})).status == 409

    async def test_who_is_taken_out_has_no_server_and_no_files(
        self, machine: Machine, people: ClassPeople
    ) -> None:
        await machine.root("POST", "users/emmy/server")
        answer = await people.lovelace.api(
            "DELETE", "appliance/classes/algebra/members", {"users": ["emmy", "kurt"]}
        )
        assert answer.json == {"taken_out": ["emmy"]}
        assert ServerId(EMMY) not in machine.spawner.servers
        assert "emmy" not in str(machine.spawner.classes["algebra"])

    async def test_jupyterhubs_requests_on_groups_do_the_same(
        self, machine: Machine, people: ClassPeople
    ) -> None:
        await machine.root("POST", "groups/algebra/users", {"users": ["kurt"]})
        assert "kurt" in str(machine.spawner.classes["algebra"])
        await machine.root("POST", "users/kurt/server")
        await machine.root("DELETE", "groups/algebra/users", {"users": ["kurt"]})
        assert "kurt" not in str(machine.spawner.classes["algebra"])
        assert ServerId(Username("kurt")) not in machine.spawner.servers
        assert (await machine.root("DELETE", "groups/algebra")).status == 409

    async def test_a_deleted_teachers_name_gives_nothing(
        self, machine: Machine, people: ClassPeople
    ) -> None:
        assert (await machine.root("DELETE", "users/lovelace")).status == 204
        with machine.hub.db.session() as session:
            assert session.query(Teaching).count() == 1
        await machine.hub.classroom.parts["people"].changed("algebra")
        assert "lovelace" not in str(machine.spawner.classes["algebra"])
        browser = machine.browser()
        await browser.sign_up("lovelace", STUDENT_PASSWORD)
        await machine.root("POST", "appliance/users/lovelace/approve")
        await browser.log_in("lovelace", STUDENT_PASSWORD)
        assert (await browser.api("GET", "appliance/classes")).status == 403
        assert (await browser.api("GET", "users/emmy")).status == 404

    async def test_a_renamed_teacher_keeps_her_classes(
        self, machine: Machine, people: ClassPeople
    ) -> None:
        renamed = await machine.root("PATCH", "users/lovelace", {"name": "byron"})
        assert renamed.status == 200, renamed.body
        one = (await machine.root("GET", "appliance/classes/algebra")).json
        assert one["teachers"] == ["byron"]
        assert (await people.lovelace.get("/hub/classes/algebra/settings")).status == 200

    async def test_two_teachers_approve_at_once(
        self, machine: Machine, people: ClassPeople
    ) -> None:
        await machine.root("PUT", "appliance/classes/algebra/teachers/noether", {})
        await machine.browser().sign_up("carl", STUDENT_PASSWORD)
        await machine.root("POST", "groups/algebra/users", {"users": ["carl"]})
        answers = await asyncio.gather(
            *(
                one.api("POST", "appliance/users/carl/approve", {})
                for one in (people.lovelace, people.noether)
            )
        )
        assert {answer.status for answer in answers} <= {200, 409}
        assert 200 in {answer.status for answer in answers}
        noted = machine.places.hub_audit.joinpath("audit.jsonl").read_text()
        assert noted.count('"user.approve"') == 1


class TestTermEnd:
    async def test_an_archive_takes_the_class_and_who_was_there_for_it(
        self, machine: Machine, people: ClassPeople
    ) -> None:
        await machine.root("POST", "groups/logic/users", {"users": ["sophie"]})
        await machine.root("POST", "users/emmy/server")
        archive = await archived(machine, "algebra")
        assert archive["state"] == "ready"
        assert {m["name"]: m["leaves"] for m in archive["members"]} == {
            "emmy": True, "sophie": False, "lovelace": False,
        }  # fmt: skip
        assert await names(machine) == {"lovelace", "noether", "sophie", "kurt"}
        [files] = machine.spawner.archives.values()
        assert sorted(files) == ["emmy", "sophie"]
        assert "algebra" not in machine.spawner.classes
        assert machine.spawner.forgotten == [EMMY]
        assert ServerId(EMMY) not in machine.spawner.servers
        assert (await people.emmy.api("GET", "user")).status == 403
        assert (await machine.root("GET", "appliance/classes/algebra")).status == 404
        assert (await people.lovelace.get("/hub/classes")).status == 200

    async def test_a_new_account_of_an_archived_name_inherits_nothing(
        self, machine: Machine, people: ClassPeople
    ) -> None:
        await archived(machine, "algebra")
        assert EMMY in machine.spawner.forgotten
        made = await machine.root("POST", "appliance/users", {"usernames": ["emmy"]})
        assert made.status == 201
        user = (await machine.root("GET", "users/emmy")).json
        assert (user["groups"], user["appliance"]["has_password"]) == ([], False)

    async def test_a_class_begins_anew(self, machine: Machine, people: ClassPeople) -> None:
        await machine.root("PATCH", "appliance/classes/algebra", {"must_approve": False})
        await archived(machine, "algebra", anew=True)
        one = (await machine.root("GET", "appliance/classes/algebra")).json
        assert (one["students"], one["teachers"], one["must_approve"]) == (0, ["lovelace"], False)
        assert "emmy" not in str(machine.spawner.classes["algebra"])
        assert (await people.lovelace.get("/hub/classes/algebra/settings")).status == 200

    async def test_a_failure_leaves_the_class_as_it_was(
        self, machine: Machine, people: ClassPeople, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def full(*_args: object, **_more: object) -> None:
            raise SpawnRefused("cannot archive", why="the disk is full", mend="make room")

        monkeypatch.setattr(machine.spawner, "archive_class", full)
        archive = await archived(machine, "algebra")
        assert (archive["state"], archive["failure"]["why"]) == ("failed", "the disk is full")
        one = (await machine.root("GET", "appliance/classes/algebra")).json
        assert (one["students"], one["archiving"]) == (2, None)
        assert "emmy" in await names(machine)
        page = await people.lovelace.get("/hub/classes/algebra/settings")
        assert "The disk is full" in page.body
        assert (await people.emmy.api("GET", "user")).status == 200

    async def test_a_hub_that_dies_goes_on_where_it_was(
        self, machine: Machine, people: ClassPeople, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun = asyncio.Event()
        whole = machine.spawner.archive_class

        async def slow(*_args: object, **_more: object) -> None:
            begun.set()
            await asyncio.sleep(60)

        monkeypatch.setattr(machine.spawner, "archive_class", slow)
        answer = await machine.root("POST", "appliance/classes/algebra/archive", {"anew": False})
        await asyncio.wait_for(begun.wait(), 5)
        twice = await machine.root("POST", "appliance/classes/algebra/archive", {"anew": False})
        assert twice.status == 409
        monkeypatch.setattr(machine.spawner, "archive_class", whole)
        await machine.restart()
        archive = await settled(machine, answer.json["archive"])
        assert archive["state"] == "ready"
        assert await names(machine) == {"lovelace", "noether", "kurt"}

    async def test_who_came_after_the_packing_stays(
        self, machine: Machine, people: ClassPeople, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = machine.spawner.archive_class

        async def with_newcomer(*args: Any, **more: Any) -> Any:
            made = await whole(*args, **more)
            await machine.root("POST", "appliance/users", {"usernames": ["late"]})
            await machine.root("POST", "groups/algebra/users", {"users": ["late"]})
            return made

        monkeypatch.setattr(machine.spawner, "archive_class", with_newcomer)
        await archived(machine, "algebra")
        assert "late" in await names(machine)

    async def test_a_class_is_made_again_from_its_archive(
        self, machine: Machine, people: ClassPeople
    ) -> None:
        archive = await archived(machine, "algebra")
        path = f"appliance/archives/{archive['id']}"
        made = await machine.root("POST", f"{path}/restore", {})
        assert [one["name"] for one in made.json["created"]] == ["emmy", "sophie"]
        assert all(one["password"] for one in made.json["created"])
        one = (await machine.root("GET", "appliance/classes/algebra")).json
        assert (one["students"], one["teachers"]) == (2, ["lovelace"])
        assert (await machine.root("POST", f"{path}/restore", {})).status == 409
        assert (await machine.root("DELETE", path)).status == 204
        assert machine.spawner.archives == {}
        assert (await machine.root("GET", path)).status == 404

    async def test_a_class_made_again_is_not_given_to_later_accounts(
        self, machine: Machine, people: ClassPeople, ada: Browser, clock: FakeClock
    ) -> None:
        archive = await archived(machine, "algebra")
        clock.pass_time(60)
        assert (await machine.root("DELETE", "users/lovelace")).status == 204
        for name in ("lovelace", "emmy"):
            assert (await machine.browser().sign_up(name, STUDENT_PASSWORD)).status == 302
            await machine.root("POST", f"appliance/users/{name}/approve")
        made = await ada.post(f"/hub/archives/{archive['id']}", {"do": "restore"})
        assert made.status == 302
        one = (await machine.root("GET", "appliance/classes/algebra")).json
        assert (one["students"], one["teachers"]) == (1, [])
        assert (await machine.root("GET", "groups/algebra")).json["users"] == ["sophie"]
        assert "lovelace" in (await ada.get(made.location)).body

    async def test_an_admins_pages_of_archives(
        self, machine: Machine, people: ClassPeople, ada: Browser
    ) -> None:
        await machine.root("PATCH", "appliance/classes/algebra", {"title": "=1+1"})
        archive = await archived(machine, "algebra")
        here = f"/hub/archives/{archive['id']}"
        assert (await ada.get("/hub/archives")).status == 200
        assert "emmy" in (await ada.get(here)).body
        people_list = await ada.get(f"{here}/people.csv")
        assert people_list.headers["content-type"].startswith("text/csv")
        assert "lovelace" in people_list.body
        made = await ada.post(here, {"do": "restore", "name": "algebra-2"})
        assert made.status == 302
        deleted = await ada.post(here, {"do": "delete"})
        assert deleted.status == 302
        assert (await ada.get(here)).status == 404

    async def test_deleting_keeps_accounts(
        self, machine: Machine, people: ClassPeople, ada: Browser
    ) -> None:
        answer = await ada.post("/hub/classes/algebra/end", {"do": "delete"})
        assert answer.status == 302
        assert "algebra" not in machine.spawner.classes
        assert {"emmy", "sophie", "lovelace"} <= await names(machine)
        assert (await machine.root("GET", "groups/algebra")).status == 404


async def test_a_class_of_five_hundred(machine: Machine, people: ClassPeople) -> None:
    users = [{"name": f"pupil{n:03}", "full_name": f"Pupil {n}"} for n in range(500)]
    body = {"users": users, "generate": False}
    made = await people.lovelace.api("POST", "appliance/classes/algebra/members", body)
    assert len(made.json["created"]) == 500
    again = await people.lovelace.api("POST", "appliance/classes/algebra/members", body)
    assert again.json == {"created": [], "skipped": []}
    one = (await people.lovelace.api("GET", "appliance/classes/algebra")).json
    assert one["students"] == 502
    assert (await people.lovelace.get("/hub/classes/algebra/end?how=archive")).status == 200
    archive = await archived(machine, "algebra")
    assert (archive["state"], archive["done"]) == ("ready", 502)
    assert len(await names(machine)) == 3


def test_a_group_with_power_is_not_a_teachers_to_fill() -> None:
    """Whoever is in the class may do more than students: so a teacher puts nobody in."""
    for scope, expected in (("admin:users", True), ("access:services!service=x", False)):
        role = Role("helpers", scopes=(scope,), groups=frozenset({"algebra"}))
        assert Rights(roles=Roles([role])).gives_power("algebra") is expected


async def test_sessions_of_removed_users_are_gone(machine: Machine, people: ClassPeople) -> None:
    await machine.root("DELETE", "users/emmy")
    with machine.hub.db.session() as session:
        assert session.query(LoginSession).count() == 4
