"""Users by the API: what a caller sees of whom, how lists are narrowed, who may make what."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import event

from appliance.config.schema import Config
from tests.component.hub.test_groups import with_scopes
from tests.component.hub.test_tokens import make
from tests.fakes.hub_machine import Answer, Browser, Machine

TOKEN = "a-token-of-the-minter"
NAME = {"kind", "name", "user_info", "admin"}


@pytest.fixture
def config() -> Config:
    return Config.model_validate(
        {
            "services": {"minter": {"api_token": TOKEN}},
            "roles": {
                "minters": {"scopes": ["tokens", "admin:users"], "services": ["minter"]},
                "tutors": {"scopes": ["read:users:name!group=g"], "users": ["bob"]},
            },
        }
    )


async def names(machine: Machine, query: str) -> list[str]:
    answer = await machine.root("GET", f"users{query}")
    assert answer.status == 200, answer.body
    return [user["name"] for user in answer.json]


@pytest.mark.parametrize(
    ("scopes", "fields"),
    [
        (["read:users:name"], NAME),
        (["read:users:groups"], {"kind", "name", "groups"}),
        (["read:users:activity"], {"kind", "name", "last_activity"}),
        (["read:roles:users"], {"kind", "name", "roles", "admin"}),
        (["read:servers"], NAME | {"servers"}),
        (["read:users!user=bob", "read:users:name!user=ada"], None),
        (["admin:auth_state", "read:users:name"], NAME | {"auth_state"}),
        (["users:activity!user=bob", "read:users:groups"],
         {"kind", "name", "groups", "last_activity"}),
    ],
)  # fmt: skip
async def test_scopes_say_which_fields_are_seen(
    machine: Machine, bob: Browser, scopes: list[str], fields: set[str] | None
) -> None:
    token = await with_scopes(machine, "ada", scopes)
    seen = (await machine.token_call(token, "GET", "users/bob")).json
    if fields is None:
        assert {"created", "server", "pending", "roles"} <= seen.keys()
        assert set((await machine.token_call(token, "GET", "users/ada")).json) == NAME | {"groups"}
    else:
        assert set(seen) == fields


async def test_a_server_that_may_be_seen_is_shown_alone(machine: Machine, bob: Browser) -> None:
    for path in ("server", "servers/lab", "servers/desk"):
        await bob.api("POST", f"users/bob/{path}")
    scopes = ["read:users:name!user=bob", "read:servers!server=bob/lab"]
    seen = await machine.token_call(await with_scopes(machine, "ada", scopes), "GET", "users/bob")
    assert list(seen.json["servers"]) == ["lab"]
    assert "state" not in seen.json["servers"]["lab"]
    assert "state" in (await machine.root("GET", "users/bob")).json["servers"]["lab"]


async def test_lists_are_narrowed_and_sorted(machine: Machine, bob: Browser) -> None:
    await machine.root("POST", "users", {"usernames": ["zoe", "al_x", "alex", "dan"]})
    assert await names(machine, "") == ["ada", "bob", "zoe", "al_x", "alex", "dan"]
    assert await names(machine, "?name_filter=AL") == ["al_x", "alex"]
    # Letters are meant as they are, though databases have a meaning for some.
    assert await names(machine, "?name_filter=l_x") == ["al_x"]
    assert await names(machine, "?name_filter=%25") == []
    assert await names(machine, "?name_filter=" + "a" * 400) == []
    assert await names(machine, "?sort=name&limit=3") == ["ada", "al_x", "alex"]
    assert await names(machine, "?sort=-name&limit=2") == ["zoe", "dan"]
    assert (await names(machine, "?sort=last_activity"))[:4] == ["zoe", "al_x", "alex", "dan"]
    assert set((await names(machine, "?sort=-last_activity"))[:2]) == {"ada", "bob"}
    assert await names(machine, "?offset=-4&limit=-1") == ["alex"]
    assert await names(machine, "?limit=0") == ["ada"]
    assert await names(machine, "?state=inactive&name_filter=b") == ["bob"]


@pytest.mark.parametrize(
    "query",
    ["?limit=x", "?offset=1.5", "?sort=colour", "?state=asleep", "?sort=-", "?name_filter=%FF"],
)
async def test_questions_that_make_no_sense(machine: Machine, query: str) -> None:
    answer = await machine.root("GET", f"users{query}")
    assert (answer.status, answer.json["status"]) == (400, 400)


async def test_stopped_servers_are_shown_on_demand(machine: Machine, bob: Browser) -> None:
    await bob.api("PUT", "users/bob/servers/lab")
    for query, shown in [
        ("", []),
        ("?include_stopped_servers=0", []),
        ("?include_stopped_servers=False", []),
        ("?include_stopped_servers=1", ["", "lab"]),
    ]:
        seen = (await bob.api("GET", f"users/bob{query}")).json["servers"]
        assert sorted(seen) == shown, query


async def test_filters_that_say_nothing_about_users(machine: Machine, bob: Browser) -> None:
    for scope in ("list:users!server=ada/", "list:users!service=x"):
        token = await with_scopes(machine, "ada", [scope, "read:users!user=ada"])
        assert (await machine.token_call(token, "GET", "users")).status == 403, scope
    token = await with_scopes(machine, "ada", ["list:users!user=bob"])
    listed = (await machine.token_call(token, "GET", "users")).json
    assert [(user["name"], set(user)) for user in listed] == [("bob", NAME)]


async def test_many_are_made_or_none(machine: Machine, ada: Browser) -> None:
    made = await ada.api("POST", "users", {"usernames": ["Zoe", "bob", "zoe", "ada"]})
    assert made.status == 201
    assert [user["name"] for user in made.json] == ["zoe", "bob"]
    assert (await ada.api("POST", "users", {"usernames": ["zoe", "ada"]})).status == 409
    assert (await ada.api("POST", "users", {"usernames": ["new", "no/no"]})).status == 400
    assert (await ada.api("POST", "users/zoe")).status == 409
    assert (await ada.api("POST", "users/no%2Fno")).status == 400
    assert (await ada.api("POST", "users/%C3%9F%C3%9F")).status == 400
    assert await names(machine, "") == ["ada", "zoe", "bob"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "users", {}),
        ("POST", "users", {"usernames": []}),
        ("POST", "users", {"usernames": "bob"}),
        ("POST", "users", {"usernames": [None]}),
        ("POST", "users", {"usernames": ["x"], "admin": 1}),
        ("POST", "users", {"usernames": ["x"], "colour": "red"}),
        ("POST", "users", {"usernames": ["x" * 49]}),
        ("POST", "users", {"usernames": [f"u{n}" for n in range(5001)]}),
        ("POST", "users/x", {"admin": "yes"}),
        ("POST", "users/x", []),
        ("PATCH", "users/ada", {"admin": "no"}),
        ("PATCH", "users/ada", {"groups": ["g"]}),
        ("PATCH", "users/ada", {"name": 5}),
        ("PATCH", "users/ada", {"auth_state": "text"}),
        ("PATCH", "users/ada", []),
        ("DELETE", "users/ada", None),
    ],
)
async def test_bad_input_changes_nothing(
    machine: Machine, ada: Browser, method: str, path: str, body: object
) -> None:
    answer = await ada.api(method, path, body)
    assert (answer.status, answer.json["status"]) == (400, 400), answer.body
    assert await names(machine, "") == ["ada"]
    assert (await ada.api("GET", "user")).json["admin"] is True


async def test_a_change_tells_the_whole_user(ada: Browser, bob: Browser) -> None:
    for body in ({}, {"auth_state": {"x": 1}}, {"admin": False, "name": "bob"}):
        changed = await ada.api("PATCH", "users/bob", body)
        assert (changed.status, changed.json["auth_state"]) == (200, None)
        assert changed.json["name"] == "bob"
    assert (await ada.api("PATCH", "users/nobody", {})).status == 404


async def test_a_service_that_makes_users_makes_no_admins(machine: Machine, bob: Browser) -> None:
    async def call(method: str, path: str, body: object = None) -> Answer:
        return await machine.token_call(TOKEN, method, path, body)

    assert (await call("POST", "users", {"usernames": ["zoe"]})).status == 201
    for method, path, body in [
        ("POST", "users", {"usernames": ["x"], "admin": True}),
        ("POST", "users/x", {"admin": True}),
        ("PATCH", "users/zoe", {"admin": True}),
        ("PATCH", "users/ada", {"admin": False}),
        ("PATCH", "users/ada", {"name": "lady"}),
        ("DELETE", "users/ada", None),
        ("POST", "users/ada/tokens", {"scopes": ["read:users:name!user"]}),
        ("POST", "appliance/users/ada/approve", None),
    ]:
        answer = await call(method, path, body)
        assert (answer.status, answer.json["status"]) == (403, 403), (method, path)
    minted = await call("POST", "users/zoe/tokens", {})
    assert minted.status == 201
    assert minted.json["note"] == "Requested via api by service minter"
    about = (await machine.token_call(minted.json["token"], "GET", "user")).json
    assert (about["name"], about["admin"]) == ("zoe", False)
    beyond = await call("POST", "users/zoe/tokens", {"scopes": ["admin:users"]})
    assert beyond.status == 400


async def test_roles_by_name_and_group(machine: Machine, ada: Browser, bob: Browser) -> None:
    assert (await bob.api("GET", "user")).json["roles"] == ["tutors", "user"]
    await ada.api("POST", "users", {"usernames": ["zoe"]})
    assert (await bob.api("GET", "users/zoe")).status == 404
    await ada.api("POST", "groups/g", {"users": ["zoe"]})
    assert set((await bob.api("GET", "users/zoe")).json) == NAME
    # A token may hold what its owner holds by a group, for those who are in it now.
    token = (await make(bob, "bob", scopes=["read:users:name!user=zoe"]))["token"]
    assert (await machine.token_call(token, "GET", "users/zoe")).status == 200
    await ada.api("DELETE", "groups/g/users", {"users": ["zoe"]})
    assert (await machine.token_call(token, "GET", "users/zoe")).status in {403, 404}


async def test_a_thousand_users_are_made_in_one_request(machine: Machine) -> None:
    statements: list[str] = []
    event.listen(
        machine.hub.db._engine, "before_cursor_execute", lambda *call: statements.append(call[2])
    )
    made = await machine.root("POST", "users", {"usernames": [f"u{n:04}" for n in range(1000)]})
    assert made.status == 201
    # Many at a time, whoever they are.
    assert len(statements) < 100, Counter(one[:40] for one in statements)
    users: list[dict[str, Any]] = made.json
    assert [user["name"] for user in users] == [f"u{n:04}" for n in range(1000)]
