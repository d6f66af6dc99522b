"""API tokens: who may make which for whom, what they tell of themselves, and how they end."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from appliance.access.tokens import hash_secret
from appliance.config.schema import Config
from appliance.db.models import ApiToken, OAuthClient, User
from tests.component.hub.conftest import PASSWORD, STUDENT_PASSWORD
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Answer, Browser, Machine, exchange


async def make(browser: Browser, user: str, **wanted: Any) -> dict[str, Any]:
    answer = await browser.api("POST", f"users/{user}/tokens", wanted)
    assert answer.status == 201, answer.body
    made: dict[str, Any] = answer.json
    return made


async def by_password(machine: Machine, user: str, password: str, **more: Any) -> Answer:
    body = {"auth": {"username": user, "password": password}, **more}
    return await exchange(
        machine.places.hub_socket, "POST", f"/hub/api/users/{user}/tokens",
        {"Content-Type": "application/json"}, json.dumps(body).encode(),
    )  # fmt: skip


async def test_a_token_does_what_its_owner_may(machine: Machine, bob: Browser) -> None:
    made = await make(bob, "bob")
    assert made["kind"] == "api_token"
    assert made["user"] == "bob"
    assert made["note"] == "Requested via api"
    assert made["oauth_client"] == "JupyterHub"
    assert (made["expires_at"], made["session_id"], made["roles"]) == (None, None, [])
    assert made["id"].startswith("a")
    about = (await machine.token_call(made["token"], "GET", "user")).json
    assert about["token_id"] == made["id"]
    assert sorted(made["scopes"]) == sorted((await bob.api("GET", "user")).json["scopes"])


async def test_the_secret_is_told_once_and_kept_as_a_hash(machine: Machine, bob: Browser) -> None:
    made = await make(bob, "bob", note="for a script")
    secret = made.pop("token")
    assert len(secret) == 64
    assert (await bob.api("GET", f"users/bob/tokens/{made['id']}")).json == made
    listed = (await bob.api("GET", "users/bob/tokens")).json["api_tokens"]
    assert listed == [made]
    with machine.hub.db.session() as session:
        assert session.scalars(select(ApiToken.hash)).all() == [hash_secret(secret)]


async def test_scopes_narrow_a_token(machine: Machine, bob: Browser) -> None:
    made = await make(bob, "bob", scopes=["read:users:name!user", "read:servers!user=bob"])
    assert (await machine.token_call(made["token"], "GET", "users/bob")).status == 200
    assert (await machine.token_call(made["token"], "POST", "users/bob/server")).status == 403
    roles = await make(bob, "bob", roles=["user"])
    assert "servers!user=bob" in roles["scopes"]
    assert (await machine.token_call(made["token"], "POST", "users/bob/tokens")).status == 403


async def test_a_narrow_token_makes_no_wide_one(machine: Machine, bob: Browser) -> None:
    narrow = (await make(bob, "bob", scopes=["tokens!user", "read:servers!user"]))["token"]
    for wide in ({}, {"scopes": ["inherit"]}, {"scopes": ["servers!user"]}, {"roles": ["user"]}):
        refused = await machine.token_call(narrow, "POST", "users/bob/tokens", wide)
        assert refused.status == 400
        assert "does not hold these scopes" in refused.json["message"]
    narrower = {"scopes": ["read:servers!user=bob"]}
    assert (await machine.token_call(narrow, "POST", "users/bob/tokens", narrower)).status == 201
    whole = (await make(bob, "bob"))["token"]
    assert (await machine.token_call(whole, "POST", "users/bob/tokens", {})).status == 201


async def test_an_admins_narrow_token_makes_no_admin(machine: Machine, ada: Browser) -> None:
    await machine.root("POST", "users", {"usernames": ["grace"], "admin": True})
    scopes = ["admin:users", "tokens", "admin:services"]
    narrow = (await make(ada, "ada", scopes=scopes))["token"]
    for method, path, body in [
        ("POST", "users", {"usernames": ["eve"], "admin": True}),
        ("POST", "appliance/users", {"usernames": ["eve"], "admin": True}),
        ("PUT", "appliance/users/ada/password", {"generate": True}),
        ("POST", "appliance/users/ada/setup-link", None),
        ("POST", "users/grace/tokens", {}),
        ("PATCH", "users/grace", {"admin": False}),
    ]:
        answer = await machine.token_call(narrow, method, path, body)
        assert answer.status == 403, (method, path)
    assert (await machine.token_call(narrow, "POST", "users/zoe", {})).status == 201
    whole = (await make(ada, "ada"))["token"]
    assert (await machine.token_call(whole, "POST", "users/eve", {"admin": True})).status == 201


@pytest.mark.parametrize(
    "wanted",
    [
        {"scopes": ["no-such-scope"]},
        {"scopes": ["users!planet=mars"]},
        {"scopes": ["admin:users"]},
        {"scopes": ["read:users!user=ada"]},
        {"scopes": ["inherit", "admin-ui"]},
        {"roles": ["admin"]},
        {"roles": ["no-such-role"]},
        {"roles": [], "scopes": []},
        {"scopes": "read:users"},
        {"scopes": [1]},
        {"roles": {}},
        {"expires_in": 0},
        {"expires_in": -5},
        {"expires_in": "1h"},
        {"expires_in": 1.5},
        {"expires_in": True},
        {"expires_in": 10**30},
        {"note": 7},
        {"note": "x" * 2000},
        {"surprise": 1},
        {"auth": []},
        [],
        "text",
        7,
    ],
)
async def test_what_no_token_can_be(machine: Machine, bob: Browser, wanted: object) -> None:
    answer = await bob.api("POST", "users/bob/tokens", wanted)
    assert answer.status == 400, answer.body
    assert answer.json["status"] == 400
    assert answer.json["message"]
    assert (await bob.api("GET", "users/bob/tokens")).json == {"api_tokens": []}


async def test_nobody_fills_the_disk_with_tokens(
    machine: Machine, bob: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = {"scopes": [f"access:servers!server=bob/{'x' * 2000}"]}
    assert (await bob.api("POST", "users/bob/tokens", long)).status == 400
    monkeypatch.setattr("appliance.hub.tokens._TOKENS_MAX", 2)
    short = await make(bob, "bob", expires_in=60)
    await make(bob, "bob")
    refused = await bob.api("POST", "users/bob/tokens", {})
    assert (refused.status, "2 tokens already" in refused.json["message"]) == (400, True)
    assert (await bob.api("DELETE", f"users/bob/tokens/{short['id']}")).status == 204
    await make(bob, "bob")


async def test_a_token_ends_when_it_said(machine: Machine, bob: Browser, clock: FakeClock) -> None:
    made = await make(bob, "bob", expires_in=60)
    assert made["expires_at"] == "2026-09-01T09:01:00.000000Z"
    clock.pass_time(59)
    assert (await machine.token_call(made["token"], "GET", "user")).status == 200
    clock.pass_time(1)
    answer = await machine.token_call(made["token"], "GET", "users/bob")
    assert (answer.status, answer.json["message"]) == (403, "Missing or invalid credentials.")
    assert (await bob.api("GET", f"users/bob/tokens/{made['id']}")).status == 404
    assert (await bob.api("GET", "users/bob/tokens")).json == {"api_tokens": []}
    with machine.hub.db.session() as session:
        assert session.scalars(select(ApiToken.id)).all() == []


async def test_a_setting_bounds_the_life_of_tokens(tmp_path: Path) -> None:
    config = Config.model_validate({"tokens": {"max_age": "1h"}})
    async with Machine(tmp_path, config=config, clock=FakeClock()) as machine:
        await machine.root("POST", "users", {"usernames": ["bob"]})
        unbounded = await machine.root("POST", "users/bob/tokens", {})
        assert unbounded.json["expires_at"] == "2026-09-01T10:00:00.000000Z"
        for seconds, status in [(3600, 201), (3601, 400)]:
            answer = await machine.root("POST", "users/bob/tokens", {"expires_in": seconds})
            assert answer.status == status


async def test_a_revoked_token_opens_nothing_more(machine: Machine, bob: Browser) -> None:
    made, kept = await make(bob, "bob"), await make(bob, "bob")
    answer = await bob.api("DELETE", f"users/bob/tokens/{made['id']}")
    assert (answer.status, answer.body) == (204, "")
    assert (await machine.token_call(made["token"], "GET", "user")).status == 403
    assert (await machine.token_call(kept["token"], "GET", "user")).status == 200
    assert (await bob.api("DELETE", f"users/bob/tokens/{made['id']}")).status == 404


@pytest.mark.parametrize("token", ["1", "a", "ax", "b1", "a-1", "a²", "a" + "9" * 40, "%61%00"])
async def test_ids_that_no_token_has(bob: Browser, token: str) -> None:
    quoted = token.replace("²", "%C2%B2")
    for method in ("GET", "DELETE"):
        answer = await bob.api(method, f"users/bob/tokens/{quoted}")
        assert (answer.status, answer.json["status"]) == (404, 404)


async def test_tokens_of_others_are_out_of_reach(ada: Browser, bob: Browser) -> None:
    of_ada = await make(ada, "ada")
    of_bob = await make(bob, "bob")
    assert (await bob.api("GET", "users/ada/tokens")).status == 404
    for method in ("GET", "DELETE"):
        # Neither in the other's name nor by its number under one's own.
        for user, status in (("ada", 404), ("bob", 404)):
            path = f"users/{user}/tokens/{of_ada['id']}"
            assert (await bob.api(method, path)).status == status
    assert (await bob.api("POST", "users/ada/tokens", {})).status == 403
    assert (await bob.api("POST", "users/nobody/tokens", {})).status == 403
    made = await make(ada, "bob")
    assert made["note"] == "Requested via api by user ada"
    assert (await ada.api("DELETE", f"users/bob/tokens/{of_bob['id']}")).status == 204


async def test_what_its_owner_loses_a_token_loses_too(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    await ada.api("PATCH", "users/bob", {"admin": True})
    made = await make(bob, "bob", scopes=["admin:users", "list:users"])
    assert (await machine.token_call(made["token"], "GET", "users")).status == 200
    await ada.api("PATCH", "users/bob", {"admin": False})
    assert (await machine.token_call(made["token"], "GET", "users")).status == 403
    listed = (await bob.api("GET", "users/bob/tokens")).json["api_tokens"]
    assert [scope for scope in listed[0]["scopes"] if scope.startswith("admin")] == []


async def test_a_password_gets_a_token(machine: Machine, bob: Browser) -> None:
    answer = await by_password(machine, "bob", STUDENT_PASSWORD, note="from a script")
    assert answer.status == 201
    assert answer.json["note"] == "from a script"
    about = (await machine.token_call(answer.json["token"], "GET", "user")).json
    assert about["name"] == "bob"


async def test_a_generated_password_gets_no_token(machine: Machine, ada: Browser) -> None:
    made = await ada.api("POST", "appliance/users", {"usernames": ["carol"], "generate": True})
    refused = await by_password(machine, "carol", made.json["created"][0]["password"])
    assert (refused.status, "made by somebody else" in refused.json["message"]) == (403, True)


async def test_a_password_gets_no_token_of_somebody_else(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    body = {"auth": {"username": "bob", "password": STUDENT_PASSWORD}}
    headers = {"Content-Type": "application/json"}
    answer = await exchange(
        machine.places.hub_socket, "POST", "/hub/api/users/ada/tokens", headers,
        json.dumps(body).encode(),
    )  # fmt: skip
    assert answer.status == 403
    assert (await by_password(machine, "ada", PASSWORD)).status == 201


@pytest.mark.parametrize(
    "auth", [None, {}, {"username": "bob"}, {"username": 1, "password": []}, {"data": {}}]
)
async def test_who_proves_nothing_gets_no_token(
    machine: Machine, bob: Browser, auth: object
) -> None:
    answer = await exchange(
        machine.places.hub_socket, "POST", "/hub/api/users/bob/tokens",
        {"Content-Type": "application/json"}, json.dumps({"auth": auth}).encode(),
    )  # fmt: skip
    assert (answer.status, answer.json["status"]) == (403, 403)


async def test_guessing_passwords_here_is_as_slow_as_at_the_log_in_page(
    machine: Machine, bob: Browser
) -> None:
    statuses = [(await by_password(machine, "bob", f"guess-number-{n}")).status for n in range(40)]
    assert statuses[0] == 403
    assert statuses[-1] == 429
    slowed = await by_password(machine, "bob", "guess-number-x")
    assert int(slowed.headers["retry-after"]) > 0


async def test_revoking_what_an_oauth_client_got_revokes_all_it_got(
    machine: Machine, bob: Browser
) -> None:
    now = machine.clock.now()
    with machine.hub.db.session() as session:
        client = OAuthClient(
            name="service-x", service="x", secret_hash="0" * 64, redirect_uri="/x", description="X"
        )
        bob_id = session.scalars(select(User.id).where(User.name == "bob")).one()
        session.add(client)
        session.flush()
        for letter in "abc":
            session.add(
                ApiToken(
                    hash=hash_secret(letter * 64), user_id=bob_id, oauth_client_id=client.id,
                    scopes=["read:users:name!user=bob"], created=now,
                    expires=now + timedelta(days=1),
                )
            )  # fmt: skip
    kept = await make(bob, "bob")
    listed = (await bob.api("GET", "users/bob/tokens")).json["api_tokens"]
    assert [one["oauth_client"] for one in listed].count("X") == 3
    first = next(one for one in listed if one["oauth_client"] == "X")
    assert (await bob.api("DELETE", f"users/bob/tokens/{first['id']}")).status == 204
    left = (await bob.api("GET", "users/bob/tokens")).json["api_tokens"]
    assert [one["id"] for one in left] == [kept["id"]]


async def test_a_use_of_a_token_is_noted(machine: Machine, bob: Browser, clock: FakeClock) -> None:
    made = await make(bob, "bob")
    assert made["last_activity"] is None
    clock.pass_time(120)
    await machine.token_call(made["token"], "GET", "user")
    listed = (await bob.api("GET", "users/bob/tokens")).json["api_tokens"][0]
    assert listed["last_activity"] == "2026-09-01T09:02:00.000000Z"
    person = (await bob.api("GET", "users/bob")).json
    assert person["last_activity"] == listed["last_activity"]
