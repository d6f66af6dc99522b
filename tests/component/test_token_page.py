"""The page with one's API tokens, by plain requests."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape

import pytest

from appliance.config.schema import Config
from appliance.hub.pages.tokens import choices
from appliance.names import ServerId, Username
from tests.component.test_pages import logged_in, note
from tests.fakes.front_door import machine_with_people
from tests.fakes.hub_machine import Answer, Browser, Machine

FORM = {"note": "Backup script", "expires_in": "86400"}


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    async with machine_with_people() as made:
        yield made


@pytest.fixture
async def bob(machine: Machine) -> Browser:
    return await logged_in(machine, "bob")


def secret_on(page: Answer) -> str:
    found = re.search(r'<p class="once"[^>]*>([0-9a-f]{64})</p>', page.body)
    return found[1] if found else ""


def ids_on(page: Answer) -> list[str]:
    return re.findall(r'name="id" value="(a\d+)"', page.body)


async def made(browser: Browser, **fields: str) -> str:
    await browser.get("/hub/token")
    answer = await browser.post("/hub/token", {**FORM, **fields})
    assert answer.status == 302, answer.body
    return secret_on(await browser.get(answer.location))


async def test_a_token_is_shown_once_and_works(machine: Machine, bob: Browser) -> None:
    assert "You have made none" in (await bob.get("/hub/token")).body
    answer = await bob.post("/hub/token", FORM)
    page = await bob.get(answer.location)
    assert "Your new token “Backup script”" in page.body
    secret = secret_on(page)
    assert (await machine.token_call(secret, "GET", "user")).json["name"] == "bob"
    again = await bob.get(answer.location)
    assert not secret_on(again)
    assert secret not in again.body
    assert "Backup script" in again.body
    assert "Do all that you may do" in again.body


async def test_a_token_may_do_less(machine: Machine, bob: Browser) -> None:
    secret = await made(bob, scopes="read:servers!user, read:users:name!user")
    assert (await machine.token_call(secret, "GET", "users/bob")).status == 200
    assert (await machine.token_call(secret, "POST", "users/bob/server", {})).status == 403
    assert "See your servers and how they do" in (await bob.get("/hub/token")).body


@pytest.mark.parametrize(
    ("fields", "place", "words"),
    [
        ({"scopes": "made:up"}, "scopes", "There is no scope 'made:up'"),
        ({"scopes": "admin:users"}, "scopes", "does not hold these scopes"),
        ({"scopes": "<b>"}, "scopes", "There is no scope '<b>'"),
        ({"note": "x" * 201}, "note", "too long"),
        ({"expires_in": "17"}, "expires_in", "Choose one"),
        ({"expires_in": "-1"}, "expires_in", "Choose one"),
        ({"expires_in": "²"}, "expires_in", "Choose one"),
    ],
)
async def test_mistakes_are_told_at_the_field_and_what_was_typed_stays(
    bob: Browser, fields: dict[str, str], place: str, words: str
) -> None:
    await bob.get("/hub/token")
    page = await bob.post("/hub/token", {**FORM, **fields})
    assert page.status == 400
    found = re.search(rf'<p class="wrong" id="{place}-error">(.*?)</p>', page.body)
    assert found
    assert words in unescape(found[1])
    assert "<b>" not in page.body
    assert 'value="Backup script"' in page.body or "note" in fields
    assert not ids_on(page)


async def test_a_revoked_token_is_dead_at_once(machine: Machine, bob: Browser) -> None:
    secret = await made(bob)
    [token_id] = ids_on(await bob.get("/hub/token"))
    told = await note(bob, await bob.post("/hub/token/revoke", {"id": token_id}))
    assert told.startswith("good: Revoked")
    assert (await machine.token_call(secret, "GET", "user")).status == 403
    again = await note(bob, await bob.post("/hub/token/revoke", {"id": token_id}))
    assert again.startswith("warn: ")


async def test_nobody_revokes_or_sees_anothers_token(machine: Machine, bob: Browser) -> None:
    secret = await made(bob)
    [token_id] = ids_on(await bob.get("/hub/token"))
    carol = await logged_in(machine, "carol")
    assert not ids_on(await carol.get("/hub/token"))
    for value in (token_id, "a0", "x", "a²", ""):
        await carol.post("/hub/token/revoke", {"id": value})
    answer = await bob.post("/hub/token", FORM)
    assert not secret_on(await carol.get(answer.location))
    assert (await machine.token_call(secret, "GET", "user")).status == 200


async def test_revoking_needs_the_form(bob: Browser) -> None:
    await made(bob)
    [token_id] = ids_on(await bob.get("/hub/token"))
    answer = await bob.post("/hub/token/revoke", {"_xsrf": "guessed", "id": token_id})
    assert answer.status == 403
    assert (await bob.get("/hub/token/revoke")).status == 405
    assert ids_on(await bob.get("/hub/token")) == [token_id]


async def test_what_apps_have_is_grouped_and_revoked_together(
    machine: Machine, bob: Browser
) -> None:
    await bob.get("/hub/spawn")
    secret = machine.spawner.tokens[ServerId(Username("bob"))]
    tokens = [await _log_in_to_server(machine, bob, secret) for _ in range(2)]
    page = await bob.get("/hub/token")
    assert page.body.count('aria-label="Revoke Server at /user/bob/"') == 1
    assert "Use your server: read and change files, run programs" in page.body
    ids = ids_on(page)
    assert len(ids) == 2
    await bob.post("/hub/token/revoke", [("id", one) for one in ids])
    for token in tokens:
        assert (await machine.token_call(token, "GET", "user")).status == 403
    assert (await machine.token_call(secret, "GET", "user")).status == 200


async def _log_in_to_server(machine: Machine, browser: Browser, secret: str) -> str:
    path = "/user/bob/oauth_callback"
    query = f"client_id=jupyterhub-user-bob&redirect_uri={path}&response_type=code"
    answer = await browser.get(f"/hub/api/oauth2/authorize?{query}")
    code = answer.location.partition("code=")[2].partition("&")[0]
    fields = {
        "client_id": "jupyterhub-user-bob", "client_secret": secret, "code": code,
        "grant_type": "authorization_code", "redirect_uri": path,
    }  # fmt: skip
    redeemed = await machine.browser().post("/hub/api/oauth2/token", fields)
    token: str = redeemed.json["access_token"]
    return token


async def test_the_longest_life_is_kept_to() -> None:
    config = Config.model_validate({"tokens": {"max_age": 864000}})
    async with machine_with_people(config) as machine:
        bob = await logged_in(machine, "bob")
        page = await bob.get("/hub/token")
        assert re.findall(r'<option value="(\d*)"', page.body) == [
            "3600",
            "86400",
            "604800",
            "864000",
        ]
        for lifetime in ("", "2592000"):
            refused = await bob.post("/hub/token", {**FORM, "expires_in": lifetime})
            assert refused.status == 400


@pytest.mark.parametrize(
    ("longest", "labels"),
    [
        (None, ["1 hour", "1 day", "7 days", "30 days", "1 year", "Until I revoke it"]),
        (60, ["1 minute"]),
        (86400, ["1 hour", "1 day"]),
    ],
)
def test_lifetimes_to_choose_from(longest: int | None, labels: list[str]) -> None:
    assert [choice.label for choice in choices(longest)] == labels
