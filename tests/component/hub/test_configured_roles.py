"""What the configuration says of roles and scopes is what the hub's users may do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from appliance.config.load import check_text
from appliance.config.rendered import dump_json, read_rendered
from appliance.config.schema import Config
from tests.fakes.hub_machine import Browser, Machine

TEXT = """\
roles:
  teachers:
    description: May see the servers of class 1
    scopes: [list:users, "servers!group=class 1", custom:grades:write]
    users: [Bob]
    groups: [staff]
  user:
    scopes: [self, read:hub]
  token:
    scopes: [read:users!user]
custom_scopes:
  custom:grades:write: {subscopes: [custom:grades:read]}
  custom:grades:read: {description: Read grades}
servers: {named_limit: 1}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """As the hub gets it: by way of the rendered file."""
    path = tmp_path / "hub.json"
    path.write_text(dump_json(check_text(TEXT, name="f"), secrets=True))
    return read_rendered(path)


async def me(browser: Browser) -> dict[str, Any]:
    model: dict[str, Any] = (await browser.api("GET", "user")).json
    return model


async def test_members_of_a_role_have_it_and_others_have_not(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    model = await me(bob)
    assert model["roles"] == ["teachers", "user"]
    assert "list:users" in model["scopes"]
    assert "servers!group=class 1" in model["scopes"]
    assert {"custom:grades:write", "custom:grades:read"} <= set(model["scopes"])
    assert (await bob.api("GET", "users")).status == 200
    assert (await bob.api("POST", "users/ada/server", {})).status in {403, 404}
    await ada.api("POST", "groups/class%201")
    await ada.api("POST", "groups/class%201/users", {"users": ["ada"]})
    assert (await bob.api("POST", "users/ada/server", {})).status == 201
    assert (await me(ada))["roles"] == ["admin", "user"]


async def test_members_of_a_group_have_its_roles_while_they_are_in_it(
    machine: Machine, ada: Browser
) -> None:
    eve = machine.browser()
    await ada.api("POST", "users/eve")
    link = (await machine.root("POST", "appliance/users/eve/setup-link")).json["path"]
    await eve.get(link)
    token = link.partition("=")[2]
    await eve.post("/hub/setup", {"token": token, "password": "river-stone-and-sand"})
    assert (await eve.api("GET", "users")).status == 403
    await ada.api("POST", "groups/staff")
    await ada.api("POST", "groups/staff/users", {"users": ["eve"]})
    assert (await ada.api("GET", "groups/staff")).json["roles"] == ["teachers"]
    assert (await eve.api("GET", "users")).status == 200
    await ada.api("DELETE", "groups/staff/users", {"users": ["eve"]})
    assert (await eve.api("GET", "users")).status == 403


async def test_the_roles_user_and_token_are_as_the_configuration_says(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    assert (await bob.api("GET", "info")).status == 200
    made = (await bob.api("POST", "users/bob/tokens", {})).json
    assert "read:users!user=bob" in made["scopes"]
    assert (await machine.token_call(made["token"], "GET", "users/bob")).status == 200
    refused = await machine.token_call(made["token"], "POST", "users/bob/server", {})
    assert refused.status in {403, 404}


async def test_the_number_of_named_servers_is_as_the_configuration_says(
    machine: Machine, bob: Browser
) -> None:
    assert (await bob.api("POST", "users/bob/servers/one", {})).status == 201
    assert (await bob.api("POST", "users/bob/servers/two", {})).status == 400


@pytest.mark.parametrize("mode", ["open", "code"])
async def test_nobody_gets_a_role_by_signing_up_under_its_users_name(
    tmp_path: Path, mode: str
) -> None:
    config = check_text(f"{TEXT}signup: {{mode: {mode}, code: blue-tree-42}}\n", name="f")
    async with Machine(tmp_path / "hub", config=config) as machine:
        for name, state in (("bob", "waiting"), ("eve", "active")):
            await machine.browser().sign_up(name, "a long enough secret", code="blue-tree-42")
            model = (await machine.root("GET", f"users/{name}")).json
            assert model["appliance"]["state"] == state
