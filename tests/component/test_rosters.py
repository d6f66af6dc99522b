"""Rosters by plain requests: from a list to accounts and cards, and whose business they are."""

from __future__ import annotations

import asyncio
import base64
import re
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import pytest

from appliance.cli import rosters
from appliance.cli.errors import UsageError
from appliance.cli.output import Output
from appliance.errors import ApplianceError
from appliance.hub.classroom.classes import Classes
from appliance.hub.pages.classroom.roster_base import ROSTER_BYTES
from appliance.names import Username
from appliance.places import Places
from tests.fakes.front_door import PASSWORD, machine_with_people
from tests.fakes.hub_machine import Answer, Browser, Machine

ROSTER = "/hub/classes/math/roster"


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of passwords are made; what a hash costs has tests of its own."""
    monkeypatch.setattr("appliance.native_auth.authenticator.MIN_COST", 4)


@dataclass
class School:
    """bob teaches math, carol bio; ada is an admin."""

    machine: Machine
    classes: Classes
    ada: Browser
    bob: Browser
    carol: Browser

    def members(self, group: str = "math") -> list[str]:
        return [*self.classes.members(group)]

    async def look(self, text: str, *, by: Browser | None = None, at: str = ROSTER) -> Answer:
        """Send a list; the answer is the page that shows what would become of it."""
        browser = by or self.bob
        new = f"{at}/lists" if "classes" in at else at
        answer = await upload(browser, new, text=text)
        assert answer.status == 302, answer.body
        self.place = answer.location
        return await browser.get(answer.location)

    async def make(
        self, fields: dict[str, str] | None = None, *, by: Browser | None = None
    ) -> Answer:
        """Make what the list says; the answer is where it leads in the end."""
        browser = by or self.bob
        answer = await browser.post(self.place, {"do": "make", **(fields or {})})
        return await self.finish(answer, browser)

    async def finish(self, answer: Answer, browser: Browser) -> Answer:
        """Follow the page of the work until it leads on."""
        assert answer.status == 302, answer.body
        place = answer.location
        async with asyncio.timeout(60):
            while "/jobs/" in place:
                await asyncio.sleep(0.1)
                answer = await browser.get(place)
                place = answer.headers.get("location", place)
        return answer


async def upload(browser: Browser, url: str, *, text: str = "", data: bytes = b"") -> Answer:
    """Send the form with a list, as browsers do."""
    parts = [("_xsrf", "", browser.xsrf.encode()), ("text", "", text.encode())]
    parts.append(("file", "list.csv" if data else "", data))
    body = b""
    for name, file, value in parts:
        head = f'Content-Disposition: form-data; name="{name}"'
        head += f'; filename="{file}"' if name == "file" else ""
        body += f"--cut\r\n{head}\r\n\r\n".encode() + value + b"\r\n"
    return await browser.request(
        "POST", url, body + b"--cut--\r\n", Content_Type="multipart/form-data; boundary=cut"
    )


def rows(page: Answer) -> dict[int, tuple[str, str]]:
    """Of each line shown: its user name, and what becomes of it."""
    found = {}
    for state, body in re.findall(r'<tr class="row-(\w+)">(.*?)</tr>', page.body, re.DOTALL):
        [line] = re.findall(r"</span>(\d+)", body)
        typed = re.findall(r'name="username-\d+" value="(.*?)"', body)
        found[int(line)] = ([*typed, *re.findall(r"<code>(.*?)</code>", body), ""][0], state)
    return found


def cards(page: Answer) -> dict[str, str]:
    """User names and passwords of a page with cards."""
    values = re.findall(r"<dd(?: class=\"secret\")?>(.*?)</dd>", page.body)
    return dict(zip(values[1::3], values[2::3], strict=True))


async def logged_in(machine: Machine, name: str, password: str = PASSWORD) -> Browser:
    browser = machine.browser()
    assert (await browser.log_in(name, password)).status == 302
    return browser


@pytest.fixture
async def school() -> AsyncIterator[School]:
    async with machine_with_people() as machine:
        classes = Classes(db=machine.hub.db, clock=machine.clock)
        for group, teacher in (("math", "bob"), ("bio", "carol")):
            classes.create(group, title=group.title())
            classes.add_teacher(group, Username(teacher))
        browsers = [await logged_in(machine, name) for name in ("ada", "bob", "carol")]
        yield School(machine, classes, *browsers)


async def test_from_a_pasted_list_to_cards_that_log_in(school: School) -> None:
    page = await school.look("Nachname;Vorname\nMüller;Änne\nMüller;Änne;x\n")
    assert rows(page)[2] == ("aenne.mueller", "new")
    assert school.members() == []
    sheet = await school.bob.get((await school.make()).location)
    made = cards(sheet)
    assert list(made) == school.members() == ["aenne.mueller"]
    assert "username=aenne.mueller" not in made.values()
    typed = made["aenne.mueller"].replace("-", "").capitalize()
    student = await logged_in(school.machine, "aenne.mueller", typed)
    led = await student.get("/hub/home")
    page = await student.get(led.location)
    assert 'name="old"' not in page.body
    refused = await student.post("/hub/password", {"password": made["aenne.mueller"]})
    assert refused.status == 400
    assert "the one you have now" in unescape(refused.body)
    assert (await student.post("/hub/password", {"password": PASSWORD})).status == 302
    assert (await student.get("/hub/home")).status == 200


async def test_cards_are_for_their_maker_alone_and_come_as_a_file(school: School) -> None:
    await school.look("=Anna Ek\n")
    place = (await school.make()).location
    [(name, password)] = cards(await school.bob.get(place)).items()
    for other in (school.carol, school.ada):
        gone = await other.get(place)
        assert gone.status == 404
        assert password not in gone.body
    file = await school.bob.get(f"{place}/csv")
    assert file.headers["content-disposition"] == 'attachment; filename="passwords.csv"'
    assert f"'=Anna Ek,{name},{password}" in file.body


async def test_what_is_wrong_is_mended_here_while_the_rest_is_made(school: School) -> None:
    names = [f"Vorname{n:03} Nachname{n:03};;" for n in range(1, 471)]
    wrong = [f"Falsch{n:02} Name;root;" for n in range(10)]
    wrong += [f"Falsch{n:02} Name;;kein" for n in range(10, 20)]
    wrong += [f"Falsch{n:02} Name;bob;" for n in range(20, 30)]
    page = await school.look("\n".join(["Name;Login;E-Mail", *wrong, *names]))
    assert "470 people can be added" in page.body
    assert "30 rows to mend" in page.body
    assert [state for _, state in rows(page).values()][:30] == ["wrong"] * 30
    file = await school.bob.get(f"{school.place}/to-mend")
    assert file.body.count("Falsch") == 30
    assert "the name is taken" in file.body
    sheet = await school.bob.get((await school.make()).location)
    assert len(cards(sheet)) == 470 == len(school.members())
    again = await school.bob.get(school.place)
    assert "30 rows to mend" in again.body
    assert "470 are here already" in again.body
    fields = [("do", "make")]
    for line in range(2, 32):
        fields += [("row", str(line)), (f"full_name-{line}", f"Gut{line:02} Name")]
        fields += [(f"username-{line}", ""), (f"email-{line}", "")]
    done = await school.finish(await school.bob.post(school.place, fields), school.bob)
    assert len(cards(await school.bob.get(done.location))) == 30
    assert "gut31.name" in school.members()


async def test_the_same_list_twice_changes_nothing_and_says_so(school: School) -> None:
    text = "Name;Mail\nAnna Ek;anna@s.example\nBo Öhm;\nBo Öhm;bo@s.example\n"
    await school.look(text)
    await school.make()
    before = school.members()
    assert before == ["anna.ek", "bo.oehm", "bo.oehm2"]
    page = await school.look(text)
    assert "everybody is here already" in page.body
    assert {state for _, state in rows(page).values()} == {"here", "left_out"}
    answer = await school.bob.post(school.place, {"do": "make"})
    assert answer.location == school.place
    assert school.members() == before


async def test_names_are_told_apart_inside_the_list_and_from_others(school: School) -> None:
    page = await school.look(
        "name,login,mail\nAnna Ek,,\nAnna Ek,,a@s.example\nAnna Ek,,\nX,anna.ek3,\nY,ANNA.EK3,\n"
        "Z,,a@s.example\nCarol,carol,\nWeg,weg,\n"
    )
    assert rows(page) == {
        1: ("", "left_out"), 2: ("anna.ek", "new"), 3: ("anna.ek2", "new"), 4: ("", "wrong"),
        5: ("anna.ek3", "new"), 6: ("ANNA.EK3", "wrong"), 7: ("", "wrong"), 8: ("carol", "wrong"),
        9: ("weg", "new"),
    }  # fmt: skip
    text = unescape(page.body)
    for told in (
        "It says the same as line 2.", "Line 5 has the user name 'anna.ek3' too.",
        "Line 3 has the same mail address.", "The name is taken.", "'anna.ek' is taken.",
    ):  # fmt: skip
        assert told in text
    await school.make({"row": "9", "out": "9", "username-9": "weg", "full_name-9": "Weg"})
    assert school.members() == ["anna.ek", "anna.ek2", "anna.ek3"]


async def test_people_come_from_other_classes_of_the_same_teacher_alone(school: School) -> None:
    await school.look("dora\n", by=school.carol, at="/hub/classes/bio/roster")
    await school.make(by=school.carol)
    page = await school.look("dora\n")
    assert rows(page) == {1: ("dora", "wrong")}
    school.classes.add_teacher("bio", Username("bob"))
    page = await school.look("dora\n")
    assert rows(page) == {1: ("dora", "join")}
    answer = await school.make()
    assert answer.location == ROSTER
    assert school.members() == ["dora"]


async def test_who_has_rights_over_others_is_for_admins_to_add(school: School) -> None:
    await school.machine.hub.users.create_many(["dora"])
    school.classes.create("other")
    school.classes.add_teacher("other", Username("bob"))
    users = {"users": ["ada", "carol", "dora"]}
    assert (await school.machine.root("POST", "groups/other/users", users)).status == 200
    page = await school.look("ada\ncarol\ndora\n")
    assert rows(page) == {1: ("ada", "wrong"), 2: ("carol", "wrong"), 3: ("dora", "join")}
    assert "An admin can add this account to the class." in page.body
    await school.make()
    assert school.members() == ["dora"]


async def test_a_list_stays_in_its_class_when_the_class_is_taken_away(school: School) -> None:
    school.classes.create("other")
    school.classes.add_teacher("other", Username("bob"))
    await school.look("Anna Ek\n")
    elsewhere = school.place.replace("math", "other")
    assert (await school.bob.get(elsewhere)).status == 404
    school.classes.remove_teacher("math", Username("bob"))
    for place in (school.place, elsewhere):
        assert (await school.bob.post(place, {"do": "make"})).status == 404
    assert school.members() == school.members("other") == []


async def test_columns_and_classes_are_chosen(school: School) -> None:
    page = await school.look("anna\tEk\t7b\nbo\tOhm\t8a\n")
    assert rows(page)[1] == ("anna", "new")
    fields = {"do": "look", "column-0": "first", "column-1": "last", "classes": "1", "class": "7b"}
    answer = await school.bob.post(school.place, fields)
    page = await school.bob.get(answer.location)
    assert rows(page) == {1: ("anna.ek", "new"), 2: ("", "left_out")}
    await school.make({"column-0": "first", "column-1": "last"})
    assert school.members() == ["anna.ek"]


async def test_admins_put_people_into_classes_by_a_column(school: School) -> None:
    page = await school.look(
        "name;class\nAnna Ek;math\nBo Ohm;Bio\nCy Uhl;new one\nDo Lee;\n", by=school.ada,
        at="/hub/admin/add",
    )  # fmt: skip
    assert "New classes: new one" in page.body
    await school.make(by=school.ada)
    assert school.members("math") == ["anna.ek"]
    assert school.members("bio") == ["bo.ohm"]
    assert school.members("new one") == ["cy.uhl"]
    assert school.machine.hub.users.find("do.lee") is not None
    file = await school.ada.get("/hub/admin/export?for=plain")
    assert "anna.ek,Anna Ek,,math,,active," in file.body
    page = await school.look(file.body, by=school.ada, at="/hub/admin/add")
    assert "everybody is here already" in page.body


@pytest.mark.parametrize(
    "path", ["", "/lists", "/lists/x", "/lists/x/to-mend", "/jobs/x", "/export"]
)
async def test_rosters_are_for_the_classs_teachers(school: School, path: str) -> None:
    assert (await school.carol.get(f"{ROSTER}{path}")).status == 404
    await school.machine.hub.users.create_many(["dora"])
    await school.look("Anna Ek\n")
    assert (await school.carol.get(school.place)).status == 404
    assert (await school.ada.get(school.place)).status == 404


@pytest.mark.parametrize("path", ["", "/lists", "/add", "/passwords", "/take-out"])
async def test_other_teachers_change_nothing(school: School, path: str) -> None:
    await school.look("Anna Ek\n")
    await school.make()
    sent = {"do": "passwords", "user": "anna.ek", "text": "x", "full_name": "x"}
    assert (await school.carol.post(f"{ROSTER}{path}", sent)).status == 404
    assert (await school.carol.post(school.place, {"do": "make"})).status == 404
    assert (await school.carol.get("/hub/admin/add")).status == 403
    assert (await school.carol.post("/hub/admin/add", {"text": "x"})).status == 403
    assert (await school.carol.get("/hub/admin/export")).status == 403
    assert school.members() == ["anna.ek"]


async def test_one_person_by_hand(school: School) -> None:
    await school.bob.get(ROSTER)
    wrong = await school.bob.post(f"{ROSTER}/add", {"full_name": "Bo", "username": "carol"})
    assert wrong.status == 400
    assert "The name is taken." in wrong.body
    assert 'value="carol"' in wrong.body
    assert (await school.bob.post(f"{ROSTER}/add", {})).status == 400
    added = await school.bob.post(f"{ROSTER}/add", {"full_name": "Öhm, Bo", "username": ""})
    sheet = await school.bob.get((await school.finish(added, school.bob)).location)
    assert list(cards(sheet)) == ["bo.oehm"]
    again = await school.bob.post(f"{ROSTER}/add", {"full_name": "Bo Öhm"})
    assert again.location == ROSTER


async def test_a_new_card_is_a_new_password_and_asks_before(school: School) -> None:
    await school.look("Anna Ek\nBo Öhm\n")
    first = cards(await school.bob.get((await school.make()).location))
    student = await logged_in(school.machine, "anna.ek", first["anna.ek"])
    chosen = [("do", "passwords"), ("user", "anna.ek"), ("user", "ada"), ("user", "carol")]
    asked = await school.bob.post(ROSTER, chosen)
    assert asked.status == 200
    assert "Make a new password for Anna Ek?" in asked.body
    assert (await student.get("/hub/password")).status == 200
    answer = await school.bob.post(f"{ROSTER}/passwords", chosen[1:])
    second = cards(await school.bob.get((await school.finish(answer, school.bob)).location))
    assert list(second) == ["anna.ek"]
    assert second["anna.ek"] != first["anna.ek"]
    assert (await student.get("/hub/password")).status == 302
    await logged_in(school.machine, "anna.ek", second["anna.ek"])
    await logged_in(school.machine, "carol")


async def test_admins_and_teachers_get_no_password_from_a_teacher(school: School) -> None:
    for name in ("ada", "carol", "bob"):
        answer = await school.machine.root("POST", "groups/math/users", {"users": [name]})
        assert answer.status == 200
    users = [("user", name) for name in ("ada", "bob", "carol")]
    asked = await school.bob.post(ROSTER, [("do", "passwords"), *users])
    assert "Left out" in asked.body
    assert 'name="user"' not in asked.body
    assert (await school.bob.post(f"{ROSTER}/passwords", users)).status == 400
    for name in ("ada", "bob", "carol"):
        await logged_in(school.machine, name)


async def test_taking_out_keeps_the_account(school: School) -> None:
    await school.look("Anna Ek\nBo Öhm\n")
    await school.make()
    asked = await school.bob.post(ROSTER, {"do": "take-out", "user": "anna.ek"})
    assert "Take Anna Ek out of the class?" in asked.body
    assert len(school.members()) == 2
    await school.bob.post(f"{ROSTER}/take-out", {"user": "anna.ek"})
    assert school.members() == ["bo.oehm"]
    assert school.machine.hub.users.find("anna.ek") is not None


async def test_a_file_of_fifty_megabytes_is_refused_early(school: School) -> None:
    await school.bob.get(ROSTER)
    sent = b"x" * (ROSTER_BYTES + 1000)
    answer = await upload(school.bob, f"{ROSTER}/lists", data=sent)
    assert answer.status == 413
    refused = await upload(school.bob, f"{ROSTER}/lists", data=b"PK\x03\x04")
    assert refused.status == 400
    assert "It is a workbook, not a CSV file." in refused.body
    both = await upload(school.bob, f"{ROSTER}/lists", text="Anna Ek", data=b"Bo Ohm")
    assert both.status == 400
    empty = await upload(school.bob, f"{ROSTER}/lists")
    assert "There is nothing in it." in empty.body


async def test_a_restart_forgets_lists_and_says_what_to_do(school: School) -> None:
    await school.look("Anna Ek\n")
    await school.machine.restart()
    gone = await school.bob.get(school.place)
    assert gone.status == 404
    assert "Bring the list again" in gone.body


# The API and the command line.


async def test_the_api_looks_makes_and_exports(school: School) -> None:
    bob, place = school.bob, "appliance/classes/math/roster"
    data = base64.b64encode("Name;Mail\nAnna Ek;a@s.example\nBo;kein\n".encode("utf-16")).decode()
    looked = await bob.api("POST", f"{place}/preview", {"data": data})
    assert looked.status == 200, looked.body
    assert looked.json["columns"] == ["name", "email"]
    assert looked.json["counts"] == {"new": 1, "join": 0, "here": 0, "wrong": 1, "left_out": 1}
    people = [{"full_name": "Anna Ek"}, {"full_name": "Bo", "email": "kein"}, {"name": "carol"}]
    made = await bob.api("POST", place, {"people": people})
    assert made.status == 201, made.body
    [anna] = made.json["created"]
    assert anna["name"] == "anna.ek"
    assert [(row["line"], row["why"]) for row in made.json["wrong"]] == [
        (2, "'kein' is no mail address"), (3, "the name is taken"),
    ]  # fmt: skip
    again = await bob.api("POST", place, {"people": people[:1]})
    assert (again.json["created"], again.json["here"]) == ([], ["anna.ek"])
    file = await bob.get(f"/hub/api/{place}?for=excel-semicolon", mode="navigate")
    assert "anna.ek;Anna Ek;;math;;active;" in file.body
    new = await bob.api("POST", f"{place}/passwords", {"users": ["anna.ek"]})
    assert new.json["created"][0]["password"] != anna["password"]
    await logged_in(school.machine, "anna.ek", new.json["created"][0]["password"])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "classes/math/roster", None),
        ("POST", "classes/math/roster", {"people": [{"full_name": "Eve"}]}),
        ("POST", "classes/math/roster/preview", {"text": "Eve"}),
        ("POST", "classes/math/roster/passwords", {"users": ["bob"]}),
        ("GET", "roster", None),
        ("POST", "roster", {"people": [{"full_name": "Eve"}]}),
        ("POST", "roster/preview", {"text": "Eve"}),
    ],
)
async def test_the_api_refuses_other_classes_teachers(
    school: School, method: str, path: str, body: object
) -> None:
    answer = await school.carol.api(method, f"appliance/{path}", body)
    assert answer.status == (404 if "math" in path else 403)
    assert "bob" not in answer.body
    assert school.members() == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("preview", {}),
        ("preview", {"text": "a", "data": "YQ=="}),
        ("preview", {"data": "no base64!"}),
        ("preview", {"data": "UEsDBA=="}),
        ("preview", {"text": "Eve", "columns": ["shoe size"]}),
        ("passwords", {"users": ["carol"]}),
        ("passwords", {"users": []}),
        ("", {"people": []}),
        ("", {"people": [{"full_name": "x"}] * 501}),
    ],
)
async def test_the_api_says_what_is_wrong_with_a_request(
    school: School, path: str, body: object
) -> None:
    answer = await school.bob.api("POST", f"appliance/classes/math/roster/{path}".rstrip("/"), body)
    assert answer.status in {400, 409}
    assert answer.json["message"]


@pytest.fixture
def places(school: School, monkeypatch: pytest.MonkeyPatch) -> Places:
    """Where commands find the hub, and what address they print."""
    monkeypatch.setattr("appliance.cli.rosters.read_rendered", lambda _: None)
    monkeypatch.setattr("appliance.cli.rosters.root_urls", lambda *_: ["http://hub.test/"])
    return school.machine.places


async def test_root_imports_cards_and_passwords(
    school: School, places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = "".join(f"Anna Ek{chr(97 + n)};math\n" for n in range(25))
    source = tmp_path / "list.csv"
    source.write_bytes(f"Name;Klasse\n{names}Bo Öhm;new one\nX Y;\nroot;\n".encode("cp1252"))

    async def run(file: Path | None, *, dry_run: bool = False) -> None:
        await asyncio.to_thread(
            rosters.import_people, places, Output(), source, group="", dry_run=dry_run, file=file,
            paper="a4",
        )  # fmt: skip

    with pytest.raises(ApplianceError) as told:
        await run(None, dry_run=True)
    assert told.value.why == "line 29: the name is reserved"
    assert "anna.eka" in capsys.readouterr().out
    assert school.members() == []
    cards_file, csv_file = tmp_path / "cards.html", tmp_path / "passwords.csv"
    with pytest.raises(ApplianceError, match="cannot use 1 row"):
        await run(cards_file)
    page = cards_file.read_text()
    assert page.count('class="login-card"') == 27
    assert "size: A4" in page
    assert stat.S_IMODE(cards_file.stat().st_mode) == 0o600
    made = cards(Answer(200, {}, page))
    await logged_in(school.machine, "bo.oehm", made["bo.oehm"])
    assert made["bo.oehm"] not in capsys.readouterr().out
    assert len(school.members("math")) == 25
    assert school.members("new one") == ["bo.oehm"]
    with pytest.raises(ApplianceError, match="cannot write"):
        await run(cards_file)
    with pytest.raises(ApplianceError, match="cannot use 1 row"):
        await run(csv_file)
    assert csv_file.read_text("utf-8-sig") == "full name,user name,password,address\n"
    assert "27 users there already" in capsys.readouterr().out


async def test_root_exports_what_root_imports(
    school: School, places: Places, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    await school.look("=Anna Ek\n")
    await school.make()

    async def export(*, json: bool = False) -> bytes:
        await asyncio.to_thread(
            rosters.export_people, places, Output(as_json=json), group="math", kind="plain"
        )
        return capsysbinary.readouterr().out

    file = await export()
    assert b"anna.ek,'=Anna Ek,,math,,active,\r\n" in file
    assert b'"full_name": "=Anna Ek"' in await export(json=True)
    source = tmp_path / "list.csv"
    source.write_bytes(file)
    await asyncio.to_thread(
        rosters.import_people, places, Output(as_json=True), source, group="math", dry_run=False,
        file=None, paper="a4",
    )  # fmt: skip
    assert b'"here": [\n    "anna.ek"\n  ]' in capsysbinary.readouterr().out
    source.write_bytes(b"x" * (2 * 1024 * 1024))
    for wrong in (source, tmp_path / "none.csv"):
        with pytest.raises(ApplianceError, match="cannot read"):
            rosters.import_people(
                places, Output(), wrong, group="", dry_run=True, file=None, paper="a4"
            )
    for file_name, paper in (("cards.pdf", "a4"), ("cards.html", "a3")):
        with pytest.raises(UsageError):
            rosters.import_people(
                places, Output(), source, group="", dry_run=True, file=tmp_path / file_name,
                paper=paper,
            )  # fmt: skip
