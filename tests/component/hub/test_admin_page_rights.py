"""The admin pages for who may open them and is no admin: nothing beyond what the scopes allow."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from appliance.config.schema import Config
from tests.fakes.hub_machine import Browser, Machine

pytestmark = pytest.mark.usefixtures("ada")


@pytest.fixture
def config() -> Config:
    """As the documentation has it: bob looks after class 1."""
    scopes = ["list:users!group=class-1", "admin-ui", "servers!group=class-1"]
    return Config.model_validate({"roles": {"teachers": {"scopes": scopes, "users": ["bob"]}}})


@pytest.fixture
async def _class(machine: Machine, bob: Browser) -> None:
    await machine.root("POST", "users", {"usernames": ["carl", "dora"]})
    await machine.root("POST", "groups/class-1", {"users": ["carl", "ada"]})


async def do(browser: Browser, verb: str, *names: str) -> str:
    """Press a button of the list; what the next page says."""
    await browser.post("/hub/admin/actions", [("do", verb), *(("user", name) for name in names)])
    return (await browser.get("/hub/admin")).body


@pytest.mark.usefixtures("_class")
async def test_nobody_becomes_an_admin_by_the_pages(machine: Machine, bob: Browser) -> None:
    assert "only admins may" in await do(bob, "make-admin", "bob", "carl")
    await do(bob, "unmake-admin", "ada")
    await bob.post("/hub/admin/users/carl", {"do": "make-admin"})
    refused = await bob.post("/hub/admin/add", {"names": "eve", "admin": "1"})
    assert refused.status == 403
    assert (await bob.post("/hub/admin/add", {"names": "eve"})).status == 403

    users = {one["name"]: one["admin"] for one in (await machine.root("GET", "users")).json}
    assert users == {"ada": True, "bob": False, "carl": False, "dora": False}


@pytest.mark.usefixtures("_class")
@pytest.mark.parametrize("name", ["ada", "carl", "dora"])
async def test_accounts_are_not_the_pages_to_give(
    machine: Machine, ada: Browser, bob: Browser, name: str
) -> None:
    await bob.post("/hub/admin/actions", [("do", "passwords"), ("user", name)])
    await bob.post("/hub/admin/remove", {"user": name})
    for verb in ("password", "remove"):
        await bob.post(f"/hub/admin/users/{name}", {"do": verb})
    link = await bob.post(f"/hub/admin/users/{name}", {"do": "link"})
    log = await bob.get(f"/hub/admin/users/{name}/log")

    found = await machine.root("GET", f"users/{name}")
    assert found.json["appliance"]["has_password"] is (name == "ada")
    assert {link.status, log.status} <= {403, 404}
    assert (await ada.get("/hub/home")).status == 200


@pytest.mark.usefixtures("_class")
async def test_the_class_is_seen_and_its_servers_are_started(
    machine: Machine, bob: Browser
) -> None:
    page = await bob.get("/hub/admin")
    assert "carl" in page.body
    assert "dora" not in page.body
    assert (await bob.get("/hub/admin/users/carl")).status == 200
    assert (await bob.get("/hub/admin/users/dora")).status == 404

    await do(bob, "start", "carl", "dora")
    running = (await machine.root("GET", "users?" + urlencode({"state": "active"}))).json
    assert [one["name"] for one in running] == ["carl"]
