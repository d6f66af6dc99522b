"""The table of routes, ending the hub, and what clients of old ask."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from appliance.names import ServerId, Username
from appliance.web.access_log import shown_path
from tests.fakes.hub_machine import Browser, Machine

BOB = ServerId(Username("bob"))
PAGED = "application/jupyterhub-pagination+json"


async def token_of(browser: Browser, user: str, **wanted: Any) -> str:
    answer = await browser.api("POST", f"users/{user}/tokens", wanted)
    assert answer.status == 201, answer.body
    return str(answer.json["token"])


async def test_routes_are_the_hubs_and_those_of_servers_that_run(
    ada: Browser, bob: Browser
) -> None:
    assert list((await ada.api("GET", "proxy")).json) == ["/"]
    await bob.get("/hub/spawn")
    routes = (await ada.api("GET", "proxy")).json
    assert list(routes) == ["/", "/user/bob/"]
    assert routes["/"]["data"] == {"hub": True}
    assert routes["/user/bob/"]["routespec"] == "/user/bob/"
    assert routes["/user/bob/"]["data"] == {"user": "bob", "server_name": ""}
    assert routes["/user/bob/"]["target"].endswith("bob%2Fdefault.sock")
    second = (await ada.api("GET", "proxy?offset=1&limit=1", Accept=PAGED)).json
    assert list(second["items"]) == ["/user/bob/"]
    assert second["_pagination"]["total"] == 2
    assert list((await ada.api("GET", "proxy?limit=1")).json) == ["/"]


async def test_nginx_has_nothing_to_check_and_no_other_place(ada: Browser) -> None:
    checked = await ada.api("POST", "proxy")
    assert (checked.status, checked.body) == (200, "")
    moved = await ada.api("PATCH", "proxy", {"api_url": "http://127.0.0.1:8001"})
    assert (moved.status, "nginx" in moved.json["message"]) == (400, True)
    for wrong in ({}, {"api_url": 1}, {"more": "x"}, []):
        assert (await ada.api("PATCH", "proxy", wrong)).status == 400


@pytest.mark.parametrize(
    ("method", "url"),
    [("GET", "proxy"), ("POST", "proxy"), ("PATCH", "proxy"), ("POST", "shutdown")],
)
async def test_students_may_not(bob: Browser, method: str, url: str) -> None:
    assert (await bob.api(method, url, {})).status == 403


async def test_shutdown_ends_the_hub_and_leaves_servers_alone(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    await bob.get("/hub/spawn")
    for wrong in ({"proxy": "yes"}, {"servers": 1}, {"servers": None}, {"all": True}, []):
        assert (await ada.api("POST", "shutdown", wrong)).status == 400
    assert not machine.hub.ending.is_due
    answer = await ada.api("POST", "shutdown")
    assert (answer.status, answer.json) == (202, {"message": "Shutting down Hub"})
    assert machine.hub.ending.is_due
    assert BOB in await machine.spawner.running()


async def test_shutdown_can_stop_all_servers_first(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    await bob.get("/hub/spawn")
    await ada.get("/hub/spawn")
    answer = await ada.api("POST", "shutdown", {"servers": True, "proxy": True})
    assert answer.status == 202
    async with asyncio.timeout(10):
        await machine.hub.ending.wait()
    assert not await machine.spawner.running()


async def test_old_clients_learn_whose_a_token_is(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    asking, asked = await token_of(ada, "ada"), await token_of(bob, "bob")
    found = await machine.token_call(asking, "GET", f"authorizations/token/{asked}")
    assert (found.status, found.json["name"], found.json["admin"]) == (200, "bob", False)
    little = await token_of(ada, "ada", scopes=["read:users:name!user"])
    found = await machine.token_call(little, "GET", f"authorizations/token/{asked}")
    assert (found.json["name"], found.json["kind"]) == ("bob", "user")
    assert "last_activity" not in found.json
    assert (await machine.token_call(asking, "GET", "authorizations/token/none")).status == 404
    for who in (ada, machine.browser()):
        assert (await who.api("GET", f"authorizations/token/{asked}")).status == 403


async def test_old_clients_learn_whose_a_cookie_is(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    asking, cookie = await token_of(ada, "ada"), bob.jar["jupyterhub-hub-login"][0]
    url = "authorizations/cookie/jupyterhub-hub-login"
    found = await machine.token_call(asking, "GET", f"{url}/{cookie}")
    assert (found.status, found.json["name"]) == (200, "bob")
    for wrong in (f"{url}/none", f"authorizations/cookie/other/{cookie}"):
        assert (await machine.token_call(asking, "GET", wrong)).status == 404
    assert (await ada.api("GET", f"{url}/{cookie}")).status == 403
    await bob.get("/hub/logout", site="none")
    assert (await machine.token_call(asking, "GET", f"{url}/{cookie}")).status == 404


async def test_what_is_gone_says_what_to_use(machine: Machine, ada: Browser, bob: Browser) -> None:
    answer = await ada.api("POST", "authorizations/token", {"username": "bob"})
    assert answer.status == 404
    assert "/hub/api/users/:user/tokens" in answer.body
    assert (await ada.api("POST", "users/bob/admin-access")).status == 403
    assert (await bob.api("POST", "users/ada/admin-access")).status == 404


async def test_secrets_in_paths_are_in_no_log(
    machine: Machine, ada: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    asked = await token_of(ada, "ada")
    await machine.browser().api("GET", f"authorizations/token/{asked}")
    await machine.token_call(asked, "GET", "authorizations/token/no-such-token")
    assert "authorizations/" in caplog.text
    assert asked not in caplog.text
    assert "no-such-token" not in caplog.text
    assert shown_path("/x/hub/api/authorizations/token/y") == "/x/hub/api/authorizations/…"
    assert shown_path("/x/hub/join/blue-tree-42x7k") == "/x/hub/join/…"
    assert shown_path("/x/hub/join") == "/x/hub/join"
