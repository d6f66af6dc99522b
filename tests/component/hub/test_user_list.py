"""The list of all users: what it finds, in which order, and what is done for many at once."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import event

from appliance.hub.new_accounts import Wish
from appliance.names import ServerId, Username
from tests.fakes.hub_machine import Browser, Machine

PEOPLE = [
    Wish("emmy", "Emmy Noether", groups=("algebra",)),
    Wish("ozge", "Özge Y\u0131ld\u0131z", groups=("algebra", "logic")),
    Wish("sophie", "Sophie Germain", groups=("logic",)),
    Wish("kurt"),
]


@pytest.fixture
async def people(machine: Machine, ada: Browser) -> Browser:
    """An admin's browser; emmy and ozge are in algebra, which sophie teaches."""
    classes = machine.hub.classroom.parts["classes"]
    classes.create("algebra", title="Algebra")
    classes.create("logic", title="Logic", teachers=[])
    await machine.hub.users.create_many(PEOPLE)
    classes.add_teacher("algebra", Username("sophie"))
    await machine.hub.users.create_many(["waiter"], approved=False)
    return ada


async def listed(browser: Browser, query: str) -> list[str]:
    answer = await browser.get(f"/hub/admin{query}")
    assert answer.status == 200, answer.body
    return re.findall(r'name="user" value="([^"]+)"', answer.body)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["ada", "emmy", "kurt", "ozge", "sophie", "waiter"]),
        ("?search=OZGE", ["ozge"]),
        ("?search=y%C4%B1ld%C4%B1z", ["ozge"]),
        ("?search=yildiz", ["ozge"]),
        ("?search=noeth", ["emmy"]),
        ("?search=%25", []),
        ("?class=algebra", ["emmy", "ozge"]),
        ("?class=nothing", []),
        ("?role=admin", ["ada"]),
        ("?role=teacher", ["sophie"]),
        ("?role=student&show=waiting", ["waiter"]),
        ("?role=nonsense", ["ada", "emmy", "kurt", "ozge", "sophie", "waiter"]),
        ("?show=locked", []),
        ("?sort=-name&class=logic", ["sophie", "ozge"]),
        ("?sort=full_name&class=algebra", ["emmy", "ozge"]),
        ("?sort=DROP&page=0&class=logic", ["ozge", "sophie"]),
        ("?page=99999", ["ada", "emmy", "kurt", "ozge", "sophie", "waiter"]),
    ],
)
async def test_who_is_found(people: Browser, query: str, names: list[str]) -> None:
    assert await listed(people, query) == names


async def test_a_locked_user_is_shown_so(machine: Machine, people: Browser) -> None:
    answer = await people.post("/hub/admin/actions", {"do": "lock", "user": "emmy"})
    assert answer.status == 302
    assert await listed(people, "?show=locked") == ["emmy"]
    page = (await people.get("/hub/admin/users/emmy")).body
    assert "emmy is locked out" in page
    await people.post("/hub/admin/users/emmy", {"do": "unlock"})
    assert await listed(people, "?show=locked") == []


async def test_running_servers_are_a_filter(machine: Machine, people: Browser) -> None:
    await machine.hub.servers.start(ServerId(Username("kurt")), wait=5)
    assert await listed(people, "?show=running") == ["kurt"]


async def test_many_are_put_into_a_class(machine: Machine, people: Browser) -> None:
    fields = [("do", "class"), ("into", "logic"), ("user", "kurt"), ("user", "emmy")]
    answer = await people.post("/hub/admin/actions?search=k", fields)
    assert answer.location.endswith("/hub/admin?search=k")
    assert await listed(people, "?class=logic") == ["emmy", "kurt", "ozge", "sophie"]
    assert "kurt" in str(machine.spawner.classes["logic"])


async def test_a_user_is_let_teach_on_the_users_page(machine: Machine, people: Browser) -> None:
    await people.post("/hub/admin/users/kurt", {"do": "teach", "class": "logic"})
    assert await listed(people, "?role=teacher") == ["kurt", "sophie"]
    assert "Logic" in (await people.get("/hub/admin/users/kurt")).body
    await people.post("/hub/admin/users/kurt", {"do": "unteach logic"})
    assert await listed(people, "?role=teacher") == ["sophie"]
    await people.post("/hub/admin/users/kurt", {"do": "full-name", "full_name": " Kurt  Gödel "})
    assert await listed(people, "?search=godel") == ["kurt"]


async def test_a_list_of_two_thousand_comes_in_parts_at_few_queries(
    machine: Machine, people: Browser
) -> None:
    await machine.hub.users.create_many(
        [Wish(f"pupil{n:04}", f"Pupil {n}", groups=("algebra",)) for n in range(2000)]
    )
    statements: list[str] = []
    event.listen(
        machine.hub.db._engine, "before_cursor_execute", lambda *call: statements.append(call[2])
    )
    assert len(await listed(people, "?class=algebra&page=7")) == 50
    # As many as with ten users: who asks, lists, servers, groups, counts.
    assert len([one for one in statements if one.startswith("SELECT")]) <= 14
    assert (await listed(people, "?class=algebra&page=41")) == ["pupil1998", "pupil1999"]
    assert (await listed(people, "?class=algebra&search=1234")) == ["pupil1234"]


async def test_bad_wishes_are_told_and_the_others_made(machine: Machine) -> None:
    users = machine.hub.users
    machine.hub.classroom.parts["classes"].create("algebra")
    made = await users.create_many(
        [
            Wish("emmy", "Emmy  Noether", "emmy@school.example", "de", ("algebra",)),
            Wish("Emmy"),
            Wish("a/b"),
            Wish("long", "x" * 500),
            Wish("root"),
        ]
    )
    assert [one.name for one in made.created] == ["emmy"]
    assert [one.name for one in made.skipped] == ["Emmy", "a/b", "long", "root"]
    emmy = users.get("emmy")
    assert (emmy.full_name, emmy.email, emmy.language) == (
        "Emmy Noether", "emmy@school.example", "de",
    )  # fmt: skip
