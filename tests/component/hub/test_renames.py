"""Users get other names: what stays, what is refused, and what a crash in between leaves."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from appliance.db.models import Rename
from appliance.errors import SpawnError, SpawnRefused
from tests.component.hub.conftest import STUDENT_PASSWORD
from tests.component.hub.test_groups import with_scopes
from tests.component.hub.test_tokens import make
from tests.fakes.hub_machine import Browser, Machine

GONE = SpawnError("cannot reach the spawner daemon")


def pending(machine: Machine) -> list[str]:
    with machine.hub.db.session() as session:
        return list(session.scalars(select(Rename.old)))


async def test_all_that_a_user_has_keeps_under_the_new_name(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    await ada.api("POST", "groups/g", {"users": ["bob"]})
    await bob.api("PUT", "users/bob/servers/lab", {"display_name": "Lab"})
    token = (await make(bob, "bob", scopes=["read:users!user=bob", "read:servers!user"]))["token"]
    script = await with_scopes(
        machine,
        "ada",
        ["read:users!user=bob", "read:servers!server=bob/lab", "read:users!user=ada"],
    )
    changed = await ada.api("PATCH", "users/bob", {"name": "Robert"})
    assert changed.status == 200
    assert (changed.json["name"], changed.json["groups"]) == ("robert", ["g"])
    assert changed.json["auth_state"] is None
    assert machine.spawner.renamed == [("bob", "robert")]
    assert pending(machine) == []
    # The browser is still logged in, and so is the script.
    assert (await bob.api("GET", "user")).json["name"] == "robert"
    assert (await machine.token_call(token, "GET", "users/robert")).status == 200
    for path in ("users/robert", "users/robert/servers/lab", "users/ada"):
        assert (await machine.token_call(script, "GET", path)).status == 200, path
    assert (await bob.api("GET", "users/robert/servers/lab")).json["url"] == "/user/robert/lab/"
    assert (await ada.api("GET", "users/bob")).status == 404
    assert (await machine.browser().log_in("robert", STUDENT_PASSWORD)).status == 302
    assert (await bob.api("POST", "users/robert/server")).status == 201
    # The old name is free for somebody who has nothing of it.
    assert (await ada.api("POST", "users/bob")).status == 201
    assert (await ada.api("GET", "users/bob")).json["groups"] == []
    assert (await machine.token_call(script, "GET", "users/bob")).status == 404


@pytest.mark.parametrize("name", ["ada", "Ada", "", "root", "a b", "/", "x" * 60, "…"])
async def test_names_that_can_not_be_had(machine: Machine, bob: Browser, name: str) -> None:
    answer = await machine.root("PATCH", "users/bob", {"name": name})
    assert (answer.status, answer.json["status"]) == (400, 400)
    assert (await bob.api("GET", "user")).json["name"] == "bob"
    assert machine.spawner.renamed == []


async def test_ones_own_name_in_any_spelling_is_no_change(machine: Machine, bob: Browser) -> None:
    assert (await machine.root("PATCH", "users/bob", {"name": "BOB"})).json["name"] == "bob"
    assert machine.spawner.renamed == []


async def test_a_server_that_runs_keeps_the_name(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    await bob.api("POST", "users/bob/servers/lab")
    answer = await ada.api("PATCH", "users/bob", {"name": "robert"})
    assert (answer.status, answer.json["mend"]) == (400, "stop it first")
    await bob.api("DELETE", "users/bob/servers/lab")
    assert (await ada.api("PATCH", "users/bob", {"name": "robert"})).status == 200


async def test_what_the_spawner_refuses_is_undone(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    token = (await make(bob, "bob", scopes=["read:users!user=bob"]))["token"]
    machine.spawner.unreachable = GONE
    assert (await ada.api("PATCH", "users/bob", {"name": "robert"})).status == 200
    machine.spawner.unreachable = None
    # First by the chores, then at once.
    machine.spawner.rename_failure = SpawnRefused("no", why="it has an account")
    await machine.hub.users.finish_renames()
    assert (await bob.api("GET", "user")).json["name"] == "bob"
    machine.spawner.rename_failure = SpawnRefused("no", why="there is an account of 'robert'")
    answer = await ada.api("PATCH", "users/bob", {"name": "robert"})
    assert answer.status == 400
    assert "there is an account of 'robert'" in answer.json["message"]
    assert pending(machine) == []
    assert (await bob.api("GET", "user")).json["name"] == "bob"
    assert (await machine.token_call(token, "GET", "users/bob")).status == 200


async def test_what_the_spawner_did_not_hear_it_hears_later(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    machine.spawner.unreachable = GONE
    assert (await ada.api("PATCH", "users/bob", {"name": "robert"})).json["name"] == "robert"
    assert pending(machine) == ["bob"]
    # Until then the old name is nobody's, and the new one has no home yet.
    assert (await ada.api("POST", "users/bob")).status == 409
    assert (await machine.browser().sign_up("bob", STUDENT_PASSWORD)).status == 409
    assert (await ada.api("PATCH", "users/ada", {"name": "bob"})).status == 400
    for method, path in [("POST", "users/robert/server"), ("DELETE", "users/robert")]:
        assert (await ada.api(method, path)).status == 409, path
    assert (await ada.api("PATCH", "users/robert", {"name": "bert"})).status == 409
    machine.spawner.unreachable = None
    await machine.restart()
    async with asyncio.timeout(5):
        while pending(machine):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert machine.spawner.renamed == [("bob", "robert")]
    assert (await bob.api("POST", "users/robert/server")).status == 201


async def test_only_admins_rename_admins(machine: Machine, ada: Browser, bob: Browser) -> None:
    assert (await bob.api("PATCH", "users/bob", {"name": "robert"})).status == 403
    assert (await ada.api("PATCH", "users/ada", {"name": "lady"})).status == 200
    assert (await ada.api("GET", "user")).json["admin"] is True
