"""Named servers as resources: made, changed, renamed and forgotten, with or without running."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from appliance.names import ServerId, ServerName, Username
from tests.component.hub.test_groups import with_scopes
from tests.fakes.hub_machine import Browser, Machine

BOB = Username("bob")


async def test_a_server_is_made_without_being_started(machine: Machine, bob: Browser) -> None:
    made = await bob.api(
        "PUT", "users/bob/servers/lab", {"display_name": "My lab", "user_options": {"size": 2}}
    )
    assert made.status == 201
    assert made.json["name"] == "lab"
    assert made.json["display_name"] == "My lab"
    assert made.json["full_name"] == "bob/lab"
    assert made.json["user_options"] == {"size": 2}
    assert (made.json["stopped"], made.json["ready"], made.json["pending"]) == (True, False, None)
    assert (made.json["started"], made.json["last_activity"]) == (None, None)
    assert made.json["url"] == "/user/bob/lab/"
    assert made.json["progress_url"] == "/hub/api/users/bob/servers/lab/progress"
    assert "state" not in made.json
    assert machine.spawner.servers == {}
    assert (await bob.api("GET", "users/bob/servers/lab")).json == made.json
    assert (await bob.api("PUT", "users/bob/servers/lab")).status == 409
    for default in ("server", "servers/"):
        assert (await bob.api("PUT", f"users/bob/{default}")).status == 409
    assert (await bob.api("GET", "users/bob")).json["servers"] == {}
    whole = (await bob.api("GET", "users/bob?include_stopped_servers=1")).json["servers"]
    assert sorted(whole) == ["", "lab"]


async def test_a_start_takes_options_and_a_display_name(machine: Machine, bob: Browser) -> None:
    async def start(body: object) -> dict[str, Any]:
        answer = await bob.api("POST", "users/bob/servers/lab", body)
        assert (answer.status, answer.body) == (201, ""), answer.body
        assert answer.headers["content-type"].startswith("text/plain")
        model: dict[str, Any] = (await bob.api("GET", "users/bob")).json["servers"]["lab"]
        assert (await bob.api("DELETE", "users/bob/servers/lab")).status == 204
        return model

    first = await start({"display_name": "Cafe\u0301", "user_options": {"a": 1}})
    assert (first["display_name"], first["user_options"]) == ("Café", {"a": 1})
    # Nothing said: as the last time.
    second = await start(None)
    assert (second["display_name"], second["user_options"]) == ("Café", {"a": 1})
    # Options alone, as clients before JupyterHub 6 send them.
    third = await start({"b": 2})
    assert (third["display_name"], third["user_options"]) == ("Café", {"b": 2})
    fourth = await start({"user_options": None, "display_name": ""})
    assert (fourth["display_name"], fourth["user_options"]) == ("Café", {"b": 2})
    assert (await start({"user_options": {}}))["user_options"] == {}


async def test_a_start_under_way_is_202_and_a_running_server_400(
    machine: Machine, bob: Browser
) -> None:
    machine.spawner.go_on.clear()
    asked = [asyncio.create_task(bob.api("POST", "users/bob/server")) for _ in range(2)]
    await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    machine.spawner.go_on.set()
    assert sorted([(await answer).status for answer in asked]) == [201, 202]
    assert machine.spawner.starts == 1
    again = await bob.api("POST", "users/bob/server")
    assert (again.status, again.json["message"]) == (
        400, "cannot start the server bob: it is already running",
    )  # fmt: skip


async def test_a_stopped_server_can_be_changed(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    await bob.api("PUT", "users/bob/servers/lab", {"user_options": {"size": 2}})
    script = await with_scopes(machine, "ada", ["read:servers!server=bob/lab", "admin-ui"])
    assert (await machine.token_call(script, "GET", "users/bob/servers/lab")).status == 200
    changed = await bob.api("PATCH", "users/bob/servers/lab", {"name": "desk"})
    assert changed.status == 200
    assert (changed.json["name"], changed.json["user_options"]) == ("desk", {"size": 2})
    assert (await bob.api("GET", "users/bob/servers/lab")).status == 404
    # Tokens for this server go with it.
    assert (await machine.token_call(script, "GET", "users/bob/servers/desk")).status == 200
    changed = await bob.api(
        "PATCH", "users/bob/servers/desk", {"display_name": "Desk 1", "user_options": {}}
    )
    assert (changed.json["display_name"], changed.json["user_options"]) == ("Desk 1", {})
    await bob.api("POST", "users/bob/servers/desk")
    refused = await bob.api("PATCH", "users/bob/servers/desk", {"name": "other"})
    assert (refused.status, refused.json["mend"]) == (400, "stop it first")


async def test_the_default_server_may_get_a_name(machine: Machine, bob: Browser) -> None:
    await bob.api("POST", "users/bob/server", {"user_options": {"a": 1}})
    await bob.api("DELETE", "users/bob/server")
    renamed = await bob.api("PATCH", "users/bob/server", {"name": "first"})
    assert (renamed.status, renamed.json["full_name"]) == (200, "bob/first")
    assert (await bob.api("GET", "users/bob/server")).json["user_options"] == {}
    assert (await bob.api("POST", "users/bob/server")).status == 201
    back = await bob.api("PATCH", "users/bob/servers/first", {"name": ""})
    assert back.status == 409


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", "servers/Lab", {}, 400),
        ("PUT", "servers/a--b", {}, 400),
        ("PUT", "servers/%2e%2e", {}, 400),
        ("PUT", "servers/new", {"display_name": 5}, 400),
        ("PUT", "servers/new", {"display_name": "two  blanks"}, 400),
        ("PUT", "servers/new", {"display_name": "x" * 256}, 400),
        ("PUT", "servers/new", {"display_name": "line\nbreak"}, 400),
        ("PUT", "servers/new", {"user_options": []}, 400),
        ("PUT", "servers/new", {"user_options": {}, "colour": "red"}, 400),
        ("PUT", "servers/new", [], 400),
        ("POST", "servers/new", "text", 400),
        ("POST", "servers/new", {"user_options": "text"}, 400),
        ("POST", "servers/new", {"display_name": None}, 400),
        ("POST", "servers/new", {"user_options": {"x": "y" * 20_000}}, 400),
        ("PATCH", "servers/lab", {}, 400),
        ("PATCH", "servers/lab", [], 400),
        ("PATCH", "servers/lab", {"colour": "red"}, 400),
        ("PATCH", "servers/lab", {"name": 5}, 400),
        ("PATCH", "servers/lab", {"name": "No"}, 400),
        ("PATCH", "servers/lab", {"name": "lab"}, 409),
        ("PATCH", "servers/lab", {"name": "desk"}, 409),
        ("PATCH", "servers/lab", {"user_options": None}, 400),
        ("PATCH", "servers/none", {"display_name": "x"}, 404),
        ("DELETE", "servers/none", None, 404),
        ("DELETE", "servers/lab", {"remove": "yes"}, 400),
        ("DELETE", "servers/lab", {"delete": True}, 400),
        ("DELETE", "servers/lab", [], 400),
        ("DELETE", "server", {"remove": True}, 400),
        ("GET", "servers/none", None, 404),
        ("GET", "servers/none/progress", None, 404),
        ("GET", "server/progress", None, 404),
        ("GET", "servers/lab/progress", None, 400),
    ],
)
async def test_bad_input_changes_nothing(
    machine: Machine, bob: Browser, method: str, path: str, body: object, status: int
) -> None:
    for name in ("lab", "desk"):
        await bob.api("PUT", f"users/bob/servers/{name}")
    before = (await bob.api("GET", "users/bob?include_stopped_servers=1")).json["servers"]
    answer = await bob.api(method, f"users/bob/{path}", body)
    assert (answer.status, answer.json["status"]) == (status, status), answer.body
    assert answer.json["message"]
    after = (await bob.api("GET", "users/bob?include_stopped_servers=1")).json["servers"]
    assert after == before
    assert machine.spawner.starts == 0


async def test_a_named_server_is_forgotten_once_it_has_stopped(
    machine: Machine, bob: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.hub.api.servers.SLOW_SECONDS", 0.1)
    await bob.api("POST", "users/bob/servers/lab")
    machine.spawner.go_on.clear()
    slow = await bob.api("DELETE", "users/bob/servers/lab", {"remove": True})
    assert (slow.status, slow.body) == (202, "")
    assert (await bob.api("POST", "users/bob/servers/lab")).status == 400
    model = (await bob.api("GET", "users/bob")).json["servers"]["lab"]
    assert (model["pending"], model["ready"]) == ("stop", False)
    machine.spawner.go_on.set()
    async with asyncio.timeout(5):
        while (await bob.api("GET", "users/bob/servers/lab")).status != 404:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert ServerId(BOB, ServerName("lab")) not in machine.spawner.servers
    # And one that isn't running at once.
    await bob.api("PUT", "users/bob/servers/lab")
    assert (await bob.api("DELETE", "users/bob/servers/lab")).status == 204
    assert (await bob.api("GET", "users/bob/servers/lab")).status == 200
    gone = await bob.api("DELETE", "users/bob/servers/lab", {"remove": True})
    assert (gone.status, gone.body) == (204, "")
    assert (await bob.api("GET", "users/bob/servers/lab")).status == 404


async def test_ten_clients_at_once_leave_one_server_or_none(machine: Machine, bob: Browser) -> None:
    machine.spawner.delay = machine.spawner.stop_delay = 0.02
    answers = await asyncio.gather(
        *(
            bob.api(method, "users/bob/servers/lab", {"remove": True} if n == 7 else None)
            for n, method in enumerate(("PUT", "POST", "DELETE", "POST", "DELETE") * 4)
        )
    )
    statuses = {answer.status for answer in answers}
    assert statuses <= {201, 202, 204, 400, 404, 409}, statuses
    async with asyncio.timeout(5):
        while True:
            found = (await bob.api("GET", "users/bob")).json["servers"].get("lab")
            if found is None or found["ready"]:
                break
            await asyncio.sleep(0.05)
    runs = ServerId(BOB, ServerName("lab")) in machine.spawner.servers
    assert runs == bool(found and found["ready"])


async def test_the_old_way_to_get_into_a_server_is_closed(ada: Browser, bob: Browser) -> None:
    assert (await ada.api("POST", "users/bob/admin-access")).status == 403
    assert (await bob.api("POST", "users/ada/admin-access")).status == 404
