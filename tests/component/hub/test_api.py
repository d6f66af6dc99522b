"""The REST API: who may what, models, pages of lists, and bad input that never ends in 500."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import event

from appliance.config.schema import Config
from tests.component.hub.conftest import STUDENT_PASSWORD
from tests.fakes.hub_machine import Browser, Machine, exchange

PAGED = {"Accept": "application/jupyterhub-pagination+json"}


async def test_the_version_is_told_with_and_without_slash(machine: Machine) -> None:
    for path in ("/hub/api", "/hub/api/"):
        answer = await exchange(machine.places.hub_socket, "GET", path, {}, b"")
        assert answer.status == 200
        assert answer.json["version"] == "6.1.1"
        assert answer.headers["access-control-allow-origin"] == "*"


async def test_health_asks_nobody_who_they_are(machine: Machine) -> None:
    for method, path in [
        ("GET", "/hub/health"),
        ("HEAD", "/hub/health"),
        ("GET", "/hub/api/health"),
    ]:
        answer = await exchange(machine.places.hub_socket, method, path, {}, b"")
        assert (answer.status, answer.body) == (200, "")


async def test_root_is_root_on_the_admin_socket_alone(machine: Machine) -> None:
    assert (await machine.root("GET", "appliance/status")).json["users"]["total"] == 0
    url = "/hub/api/appliance/status"
    assert (await exchange(machine.places.hub_socket, "GET", url, {}, b"")).status == 403
    assert (await machine.root("GET", "user")).json["kind"] == "root"


async def test_what_a_student_may_not(machine: Machine, ada: Browser, bob: Browser) -> None:
    for method, url, status in [
        ("GET", "users", 403),
        ("POST", "users", 403),
        ("GET", "users/ada", 404),
        ("DELETE", "users/ada", 403),
        ("DELETE", "users/bob", 403),
        ("PATCH", "users/bob", 403),
        ("POST", "users/ada/server", 404),
        ("DELETE", "users/ada/server", 404),
        ("GET", "users/ada/server/progress", 404),
        ("GET", "info", 403),
        ("GET", "users/nobody", 404),
        ("POST", "appliance/users", 403),
        ("POST", "appliance/users/bob/approve", 403),
        ("PUT", "appliance/users/bob/password", 403),
        ("POST", "appliance/users/ada/setup-link", 403),
        ("GET", "appliance/status", 403),
        ("POST", "appliance/apply-limits", 403),
    ]:
        answer = await bob.api(method, url, {} if method != "GET" else None)
        assert answer.status == status, (method, url, answer.body)
        assert set(answer.json) >= {"status", "message"}
    assert (await bob.api("GET", "appliance/servers")).json == []


async def test_nobody_gets_the_error_that_clients_look_for(machine: Machine) -> None:
    answer = await exchange(machine.places.hub_socket, "GET", "/hub/api/users", {}, b"")
    assert answer.status == 403
    assert answer.json["message"] == "Missing or invalid credentials."
    for token in ("x", "x" * 5000, "0" * 64, "é"):
        assert (await machine.token_call(token, "GET", "user")).status == 403


async def test_a_missing_scope_is_named(machine: Machine, bob: Browser) -> None:
    message = (await bob.api("GET", "users")).json["message"]
    assert "requires any of [list:users]" in message


async def test_models_have_jupyterhubs_fields(machine: Machine, ada: Browser, bob: Browser) -> None:
    await bob.get("/hub/spawn")
    model = (await ada.api("GET", "users/bob")).json
    assert set(model) == {
        "kind",
        "name",
        "user_info",
        "admin",
        "roles",
        "groups",
        "server",
        "pending",
        "created",
        "last_activity",
        "servers",
        "auth_state",
        "appliance",
    }
    assert set(model["servers"][""]) >= {
        "name",
        "display_name",
        "full_name",
        "last_activity",
        "started",
        "pending",
        "ready",
        "stopped",
        "url",
        "user_options",
        "progress_url",
        "full_url",
        "full_progress_url",
    }
    assert model["servers"][""]["full_name"] == "bob/"
    assert model["created"].endswith("Z")
    assert len(model["created"]) == len("2026-09-01T09:00:00.000000Z")
    own = (await bob.api("GET", "user")).json
    assert "auth_state" not in own
    assert "users:activity!user=bob" in own["scopes"]
    assert own["token_id"] is None


async def test_lists_come_in_pages(machine: Machine, ada: Browser) -> None:
    names = [f"student{number:03}" for number in range(230)]
    created = await ada.api("POST", "users", {"usernames": names})
    assert created.status == 201
    assert [one["name"] for one in created.json] == names
    plain = (await ada.api("GET", "users")).json
    assert len(plain) == 200
    seen: list[str] = []
    url = "users?limit=100&sort=name"
    while url:
        page = (await ada.api("GET", url, **PAGED)).json
        seen += [user["name"] for user in page["items"]]
        following = page["_pagination"]["next"]
        assert page["_pagination"]["total"] == 231
        url = following["url"].partition("/hub/api/")[2] if following else ""
        assert not following or following["url"].startswith("http://hub.test/hub/api/users?")
        assert not following or "sort=name" in following["url"]
    assert seen == ["ada", *names]
    found = (await ada.api("GET", "users?name_filter=DENT22")).json
    assert [user["name"] for user in found] == names[220:230]
    assert (await ada.api("GET", "users?name_filter=%25")).json == []


async def test_lists_are_filtered_by_what_runs(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    await bob.get("/hub/spawn")
    for state, names in [("ready", ["bob"]), ("active", ["bob"]), ("inactive", ["ada"])]:
        found = (await ada.api("GET", f"users?state={state}")).json
        assert [user["name"] for user in found] == names
    for wrong in ("state=x", "sort=x", "limit=x", "offset=1.5"):
        assert (await ada.api("GET", f"users?{wrong}")).status == 400


async def test_listing_users_takes_few_queries(machine: Machine, ada: Browser) -> None:
    await ada.api("POST", "users", {"usernames": [f"student{number}" for number in range(100)]})
    statements: list[str] = []
    event.listen(
        machine.hub.db._engine, "before_cursor_execute", lambda *call: statements.append(call[2])
    )
    await ada.api("GET", "users")
    assert len([one for one in statements if one.startswith("SELECT")]) <= 7


async def test_creating_users(machine: Machine, ada: Browser) -> None:
    assert (await ada.api("POST", "users", {"usernames": ["x1", "ada"]})).status == 201
    assert (await ada.api("POST", "users", {"usernames": ["x1", "ada"]})).status == 409
    assert (await ada.api("POST", "users", {"usernames": []})).status == 400
    assert (await ada.api("POST", "users", {"usernames": ["x2", "a/b"]})).status == 400
    assert machine.hub.users.find("x2") is None
    assert (await ada.api("POST", "users/x3")).status == 201
    assert (await ada.api("POST", "users/x3")).status == 409
    answer = await ada.api(
        "POST", "appliance/users", {"usernames": ["X4", "x4", "a b", "ada", "x5"], "generate": True}
    )
    assert [one["name"] for one in answer.json["created"]] == ["x4", "x5"]
    assert [one["name"] for one in answer.json["skipped"]] == ["x4", "a b", "ada"]
    assert all(one["why"] for one in answer.json["skipped"])


@pytest.mark.parametrize("base", ["/", "/jupyter/"])
async def test_everything_lives_below_the_base_url(tmp_path: Path, base: str) -> None:
    async with Machine(tmp_path, config=Config(base_url=base)) as machine:
        await machine.root("POST", "appliance/users", {"usernames": ["ada"], "admin": True})
        link = await machine.root("POST", "appliance/users/ada/setup-link")
        assert link.json["path"].startswith(f"{base}hub/setup?token=")
        answer = await machine.browser().get(f"{base}hub/home")
        assert answer.location.startswith(f"{base}hub/login?next=")


BAD_BODIES = [
    b"{",
    b"[]",
    b"null",
    b'"x"',
    b"5",
    b"\xff\xfe",
    b'{"usernames": "ada"}',
    b'{"usernames": [1]}',
    b'{"usernames": [null]}',
    b'{"usernames": ["x"], "admin": "yes"}',
    b'{"unknown": 1}',
    b"[" * 100_000,
    b'{"usernames": ["' + b"x" * 100_000 + b'"]}',
    b'{"usernames": ["\\ud800"]}',
    b'{"usernames": [], "usernames": 1}',
    b'{"a": NaN}',
    b'{"usernames": ' + b'["x"]' * 2 + b"}",
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: repr(body[:30]))
async def test_bad_bodies_are_answered_with_a_reason(machine: Machine, body: bytes) -> None:
    for method, path in [
        ("POST", "users"),
        ("POST", "users/x-y"),
        ("PATCH", "users/ada"),
        ("POST", "appliance/users"),
        ("PUT", "appliance/users/ada/password"),
        ("POST", "users/ada/activity"),
        ("POST", "users/ada/server"),
        ("DELETE", "users/ada/servers/x"),
        ("POST", "oauth2/token"),
        ("POST", "appliance/apply-limits"),
    ]:
        answer = await exchange(
            machine.places.admin_socket,
            method,
            f"/hub/api/{path}",
            {"Content-Type": "application/json"},
            body,
        )
        assert answer.status < 500, (method, path, answer.body)
        if answer.status >= 400 and "oauth2" not in path:
            assert answer.json["message"]


async def test_bodies_that_are_too_large_are_refused(machine: Machine, ada: Browser) -> None:
    body = json.dumps({"usernames": ["x" * 10] * 100_000}).encode()
    answer = await exchange(machine.places.admin_socket, "POST", "/hub/api/users", {}, body)
    assert answer.status == 413
    form = b"username=" + b"x" * 100_000
    assert (
        await ada.request(
            "POST", "/hub/login", form, Content_Type="application/x-www-form-urlencoded"
        )
    ).status == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/hub/api/nowhere", 404),
        ("POST", "/hub/api/info", 405),
        ("HEAD", "/hub/api", 405),
        ("OPTIONS", "/hub/api/users", 200),
        ("GET", "/hub/nowhere", 404),
        ("GET", "/hub/error/503", 200),
        ("GET", "/hub/api/users/%ff", 400),
        ("GET", "/hub/api/users/..%2f..", 403),
        ("GET", "/hub/api/users/%00", 403),
        ("GET", "/hub/static/../../../etc/passwd", 403),
        ("GET", "/hub/static/nothing.css", 404),
        ("GET", "/hub", 301),
        ("GET", "/", 302),
        ("GET", "/user/bob/lab", 302),
        ("POST", "/user/bob/api/kernels", 424),
        ("GET", "//evil.test/x", 302),
        ("GET", "/hub/login?next=//evil.test", 200),
    ],
)
async def test_odd_addresses(machine: Machine, method: str, path: str, status: int) -> None:
    answer = await exchange(machine.places.hub_socket, method, path, {}, b"")
    assert answer.status == status
    assert "evil.test" not in answer.headers.get("location", "").partition("/hub/")[0]


async def test_no_secret_is_logged(
    machine: Machine, ada: Browser, bob: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    link = (await machine.root("POST", "appliance/users/bob/setup-link")).json["path"]
    await machine.browser().get(link)
    await bob.get("/hub/spawn?next=/user/bob/lab%3Fsecret-query")
    await machine.browser().log_in("bob", "a-wrong-password-typed")
    await bob.get("/hub/api/nowhere?token=secret-query")
    await bob.get("/hub/api/oauth2/authorize?client_id=x&secret-query=1&state=secret-state")
    form = (
        b"client_id=jupyterhub-user-bob&client_secret=secret-in-form"
        b"&grant_type=authorization_code&code=secret-code"
    )
    await exchange(
        machine.places.hub_socket,
        "POST",
        "/hub/api/oauth2/token",
        {"Content-Type": "application/x-www-form-urlencoded"},
        form,
    )
    ours = "\n".join(
        record.getMessage()
        for record in caplog.records
        if record.name.startswith(("appliance", "tornado"))
    )
    assert "user bob" in ours or "server bob" in ours
    typed = ["a-wrong-password-typed", "secret-query", "secret-in-form", "secret-code"]
    for secret in (
        link.partition("=")[2],
        STUDENT_PASSWORD,
        *typed,
        "secret-state",
        *[value for value, _ in bob.jar.values()],
        *machine.spawner.tokens.values(),
    ):
        assert secret not in ours


async def test_status_counts(machine: Machine, ada: Browser, bob: Browser) -> None:
    await bob.get("/hub/spawn")
    status = (await ada.api("GET", "appliance/status")).json
    assert status["users"] == {"total": 2, "waiting": 0, "admins": 1}
    assert status["servers"] == {"running": 1, "starting": 0}
    assert status["signup_mode"] == "approval"
    rows = (await ada.api("GET", "appliance/servers")).json
    assert [(row["user"], row["server"], row["ready"]) for row in rows] == [("bob", "", True)]
    assert (await ada.api("POST", "appliance/apply-limits", {})).status == 200
    assert machine.spawner.limits_applied == 1
