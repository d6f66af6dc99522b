"""Groups by the API: members, properties, who may see and change which."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from sqlalchemy import select

from appliance.access.tokens import hash_secret
from appliance.db.models import ApiToken, User
from tests.fakes.hub_machine import Answer, Browser, Machine

PAGED = {"Accept": "application/jupyterhub-pagination+json"}


async def with_scopes(machine: Machine, user: str, scopes: Iterable[str]) -> str:
    """A token of an admin that holds just these scopes."""
    secret = hash_secret(f"{user} {sorted(scopes)}")
    with machine.hub.db.session() as session:
        owner = session.scalars(select(User.id).where(User.name == user)).one()
        session.add(
            ApiToken(
                hash=hash_secret(secret), user_id=owner, scopes=list(scopes),
                created=machine.clock.now(),
            )
        )  # fmt: skip
    return secret


async def test_a_group_from_its_making_to_its_end(ada: Browser, bob: Browser) -> None:
    made = await ada.api("POST", "groups/biology", {"users": ["bob"]})
    assert made.status == 201
    assert made.json == {
        "kind": "group", "name": "biology", "users": ["bob"], "roles": [], "properties": {},
    }  # fmt: skip
    assert (await ada.api("POST", "groups/biology", {})).status == 409
    assert (await ada.api("GET", "groups/biology")).json == made.json
    assert (await ada.api("GET", "users/bob")).json["groups"] == ["biology"]
    assert (await bob.api("GET", "user")).json["groups"] == ["biology"]
    added = await ada.api("POST", "groups/biology/users", {"users": ["ada", "bob"]})
    assert (added.status, added.json["users"]) == (200, ["ada", "bob"])
    taken = await ada.api("DELETE", "groups/biology/users", {"users": ["bob"]})
    assert (taken.status, taken.json["users"]) == (200, ["ada"])
    kept = await ada.api("PUT", "groups/biology/properties", {"room": {"number": 12}})
    assert (kept.status, kept.json["properties"]) == (200, {"room": {"number": 12}})
    gone = await ada.api("DELETE", "groups/biology")
    assert (gone.status, gone.body) == (204, "")
    assert (await ada.api("GET", "groups/biology")).status == 404
    assert (await ada.api("GET", "users/ada")).json["groups"] == []


async def test_many_groups_at_once_and_in_pages(ada: Browser, bob: Browser) -> None:
    names = [f"class {n}" for n in range(5)]
    made = await ada.api("POST", "groups", {"groups": names, "users": ["bob"]})
    assert made.status == 201
    assert [group["name"] for group in made.json] == names
    assert {tuple(group["users"]) for group in made.json} == {("bob",)}
    assert (await ada.api("GET", "groups")).json == made.json
    page = (await ada.api("GET", "groups?limit=2&offset=2", **PAGED)).json
    assert [group["name"] for group in page["items"]] == names[2:4]
    assert page["_pagination"]["total"] == 5
    assert page["_pagination"]["next"]["offset"] == 4
    # One that is there: none is made.
    again = await ada.api("POST", "groups", {"groups": ["new", "class 3"]})
    assert (again.status, (await ada.api("GET", "groups/new")).status) == (409, 404)


async def test_names_that_need_escaping(ada: Browser) -> None:
    made = await ada.api("POST", "groups", {"groups": ["Größe 2 & mehr?"]})
    assert made.status == 201
    path = "groups/Gr%C3%B6%C3%9Fe%202%20%26%20mehr%3F"
    assert (await ada.api("GET", path)).json["name"] == "Größe 2 & mehr?"
    assert (await ada.api("DELETE", path)).status == 204


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "groups", {}),
        ("POST", "groups", {"groups": []}),
        ("POST", "groups", {"groups": "biology"}),
        ("POST", "groups", {"groups": ["ok", 3]}),
        ("POST", "groups", {"groups": ["a/b"]}),
        ("POST", "groups", {"groups": [""]}),
        ("POST", "groups", {"groups": ["ok"], "users": ["nobody"]}),
        ("POST", "groups", {"groups": ["ok"], "users": ["!"]}),
        ("POST", "groups", {"groups": ["ok"], "colour": "red"}),
        ("POST", "groups", {"groups": [f"g{n}" for n in range(6000)]}),
        ("POST", "groups/...", {}),
        ("POST", "groups/%00", {}),
        ("POST", "groups/%FF", {}),
        ("POST", "groups/ok", {"users": ["nobody"]}),
        ("POST", "groups/ok", []),
        ("POST", "groups/there/users", {}),
        ("POST", "groups/there/users", {"users": None}),
        ("POST", "groups/there/users", {"users": ["nobody"]}),
        ("POST", "groups/there/users", {"users": ["u"] * 6000}),
        ("DELETE", "groups/there/users", {"users": ["nobody"]}),
        ("PUT", "groups/there/properties", ["a"]),
        ("PUT", "groups/there/properties", "a"),
        ("PUT", "groups/there/properties", {"big": "x" * 70_000}),
    ],
)
async def test_bad_input_changes_nothing(
    ada: Browser, method: str, path: str, body: object
) -> None:
    await ada.api("POST", "groups/there", {"users": ["ada"]})
    answer = await ada.api(method, path, body)
    assert answer.status == 400, answer.body
    assert answer.json["message"]
    left = (await ada.api("GET", "groups")).json
    assert [(one["name"], one["users"], one["properties"]) for one in left] == [
        ("there", ["ada"], {})
    ]


async def test_numbers_that_json_has_no_word_for_are_refused(
    machine: Machine, ada: Browser
) -> None:
    await ada.api("POST", "groups/there", {})
    for raw in (b'{"x": NaN}', b'{"x": 1e999}', b'{"x": "\\ud800"}', b'{"x": "\xff"}', b"{", b""):
        answer = await ada.request(
            "PUT", "/hub/api/groups/there/properties", raw, mode="cors",
            Content_Type="application/json", X_XSRFToken=ada.xsrf,
        )  # fmt: skip
        assert (answer.status, answer.json["status"]) == (400, 400), raw
    assert (await ada.api("GET", "groups/there")).json["properties"] == {}


async def test_only_admins_put_admins_into_groups(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    await ada.api("POST", "groups/class-1", {"users": ["bob"]})
    await machine.root("POST", "users", {"usernames": ["carl"]})
    teacher = await with_scopes(machine, "ada", ["admin:groups", "servers!group=class-1"])
    for method, path, body in [
        ("POST", "groups/class-1/users", {"users": ["carl", "ada"]}),
        ("POST", "groups/class-1/users", {"users": ["ADA"]}),
        ("POST", "groups/class-2", {"users": ["ada"]}),
        ("POST", "groups", {"groups": ["class-2"], "users": ["ada"]}),
    ]:
        answer = await machine.token_call(teacher, method, path, body)
        assert (answer.status, "only admins" in answer.json["message"]) == (403, True)
    added = await machine.token_call(teacher, "POST", "groups/class-1/users", {"users": ["carl"]})
    assert added.json["users"] == ["bob", "carl"]
    assert (await ada.api("POST", "groups/class-1/users", {"users": ["ada"]})).status == 200


async def test_students_see_no_groups(ada: Browser, bob: Browser) -> None:
    await ada.api("POST", "groups/biology", {"users": ["bob"]})
    for method, path in [
        ("GET", "groups"), ("POST", "groups"), ("GET", "groups/biology"),
        ("POST", "groups/mine"), ("DELETE", "groups/biology"), ("POST", "groups/biology/users"),
        ("DELETE", "groups/biology/users"), ("PUT", "groups/biology/properties"),
    ]:  # fmt: skip
        body: object = None if method == "GET" else {}
        answer: Answer = await bob.api(method, path, body)
        assert answer.status == 403, (method, path)


async def test_scopes_say_which_groups_and_which_fields(machine: Machine, ada: Browser) -> None:
    await ada.api("POST", "groups", {"groups": ["g", "h"]})

    async def ask(scopes: list[str], path: str) -> Answer:
        return await machine.token_call(await with_scopes(machine, "ada", scopes), "GET", path)

    assert (await ask(["list:groups!group=h"], "groups")).json == [{"kind": "group", "name": "h"}]
    for scope in ("list:groups!user=ada", "list:groups!server=ada/", "read:users"):
        assert (await ask([scope], "groups")).status == 403
    assert (await ask(["read:groups!group=h"], "groups/h")).json["users"] == []
    assert (await ask(["read:groups!group=h", "list:users"], "groups/g")).status == 404
    roles = (await ask(["read:roles:groups"], "groups/g")).json
    assert roles == {"kind": "group", "name": "g", "roles": []}


async def test_a_group_filter_reaches_its_members(machine: Machine, ada: Browser) -> None:
    await ada.api("POST", "users", {"usernames": ["carl", "dora"]})
    await ada.api("POST", "groups/g", {"users": ["carl"]})
    token = await with_scopes(machine, "ada", ["list:users!group=g", "read:users!group=g"])
    listed = (await machine.token_call(token, "GET", "users")).json
    assert [user["name"] for user in listed] == ["carl"]
    assert (await machine.token_call(token, "GET", "users/carl")).status == 200
    assert (await machine.token_call(token, "GET", "users/dora")).status == 404
    await ada.api("DELETE", "groups/g/users", {"users": ["carl"]})
    assert (await machine.token_call(token, "GET", "users/carl")).status == 404


async def test_a_removed_user_is_in_no_group(ada: Browser, bob: Browser) -> None:
    await ada.api("POST", "groups/g", {"users": ["bob", "ada"]})
    await ada.api("DELETE", "users/bob")
    assert (await ada.api("GET", "groups/g")).json["users"] == ["ada"]
