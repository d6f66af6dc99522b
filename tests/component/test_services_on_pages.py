"""Services on the hub's pages: who finds which, and what they are asked before it knows them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import pytest

from appliance.config.schema import Config
from tests.component.test_pages import logged_in
from tests.fakes.front_door import machine_with_people
from tests.fakes.hub_machine import Machine

ELSEWHERE = "https://grades.school.test"
CONFIG = {
    "services": {
        "grades": {
            "url": "http://127.0.0.1:9",
            "api_token": "t" * 32,
            "oauth_redirect_uri": f"{ELSEWHERE}/callback",
            "oauth_client_allowed_scopes": ["read:servers!user", "custom:grades:read"],
        },
        "backstage": {"url": "http://127.0.0.1:9", "api_token": "u" * 32, "display": False},
        "silent": {"api_token": "v" * 32},
    },
    "custom_scopes": {"custom:grades:read": {"description": "Read your <grades>"}},
    "roles": {
        "class": {
            "scopes": ["access:services", "custom:grades:read"],
            "users": ["bob"],
        }
    },
}
ASK = (
    "/hub/api/oauth2/authorize?client_id=service-grades&response_type=code&state=x"
    f"&redirect_uri={ELSEWHERE}/callback"
)


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    async with machine_with_people(Config.model_validate(CONFIG)) as made:
        yield made


async def test_people_find_the_services_that_they_may_open(machine: Machine) -> None:
    bob = await (await logged_in(machine, "bob")).get("/hub/home")
    assert re.findall(r'href="(/services/[^"]+)"', bob.body) == ["/services/grades/"]
    carol = await (await logged_in(machine, "carol")).get("/hub/home")
    assert "/services/" not in carol.body


async def test_a_service_says_in_words_what_it_wants(machine: Machine) -> None:
    bob = await logged_in(machine, "bob")
    page = await bob.get(ASK)
    assert page.status == 200, page.body
    assert "Use the service “grades”?" in page.body
    assert ELSEWHERE in page.body
    for words in ("Read your &lt;grades&gt;", "See your servers and how they do"):
        assert f"<li>{words}</li>" in page.body
    # Browsers hold the redirect behind a form to this.
    assert f"form-action 'self' {ELSEWHERE};" in page.headers["content-security-policy"]


async def test_yes_and_no_go_back_to_the_service(machine: Machine) -> None:
    bob = await logged_in(machine, "bob")
    page = await bob.get(ASK)
    answer = await bob.post(ASK, {"answer": "no"})
    assert answer.location.startswith(f"{ELSEWHERE}/callback?error=access_denied")
    scopes = re.findall(r'name="scopes" value="([^"]+)"', page.body)
    pairs = [("answer", "yes"), *[("scopes", scope) for scope in scopes]]
    answer = await bob.post(ASK, pairs)
    assert answer.location.startswith(f"{ELSEWHERE}/callback?")
    query = parse_qs(urlsplit(answer.location).query)
    assert query["state"] == ["x"]
    assert query["code"]
