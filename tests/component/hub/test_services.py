"""Services: their tokens, their log-in, and the API that tells of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from appliance.config.schema import Config
from tests.component.hub.conftest import STUDENT_PASSWORD
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Answer, Browser, Machine, exchange, hidden_fields

TOKEN = "a-token-of-the-culler"
PAGES_TOKEN = "a-token-of-the-pages"
NEW = {"api_token": "a-token-of-a-new-one", "info": {"about": "it"}}


def _config(**services: dict[str, Any]) -> Config:
    return Config.model_validate(
        {
            "services": {
                "culler": {"api_token": TOKEN},
                "pages": {
                    "url": "http://127.0.0.1:1",
                    "api_token": PAGES_TOKEN,
                    "oauth_client_allowed_scopes": ["read:users:activity!user", "admin:users"],
                },
                "quiet": {"url": "http://127.0.0.1:2", "oauth_no_confirm": True},
                **services,
            },
            "roles": {
                "cullers": {
                    "scopes": ["list:users", "read:servers", "delete:servers"],
                    "services": ["culler"],
                },
                "readers": {"scopes": ["access:services!service=pages"], "users": ["bob"]},
            },
        }
    )


@pytest.fixture
def config() -> Config:
    return _config()


def _ask(**changes: str | None) -> str:
    query = {
        "client_id": "service-pages",
        "redirect_uri": "/services/pages/oauth_callback",
        "response_type": "code",
        "state": "some-state",
        **changes,
    }
    return "/hub/api/oauth2/authorize?" + urlencode({k: v for k, v in query.items() if v})


async def _agree(browser: Browser, url: str) -> Answer:
    """Allow what the page asks."""
    page = await browser.get(url)
    assert page.status == 200, page
    scopes = [(name, value) for name, value in hidden_fields(page.body) if name == "scopes"]
    return await browser.post(url, [("_xsrf", browser.xsrf), *scopes, ("answer", "yes")])


async def _redeem(machine: Machine, answer: Answer, **changes: str) -> Answer:
    assert answer.status == 302, answer
    code = parse_qs(urlsplit(answer.location).query)["code"][0]
    form = {
        "client_id": "service-pages",
        "client_secret": PAGES_TOKEN,
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": "/services/pages/oauth_callback",
        **changes,
    }
    return await exchange(
        machine.places.hub_socket, "POST", "/hub/api/oauth2/token",
        {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(form).encode(),
    )  # fmt: skip


async def test_a_service_is_told_who_it_is(machine: Machine) -> None:
    found = await machine.token_call(TOKEN, "GET", "user")
    assert found.status == 200
    assert found.json["kind"] == "service"
    assert found.json["name"] == "culler"
    assert found.json["admin"] is False
    assert found.json["session_id"] is None
    assert re.fullmatch(r"a\d+", found.json["token_id"])
    assert found.json["scopes"] == [
        "delete:servers", "list:users", "read:servers", "read:users:name",
    ]  # fmt: skip


async def test_a_service_does_what_its_roles_allow_and_no_more(
    machine: Machine, bob: Browser
) -> None:
    users = await machine.token_call(TOKEN, "GET", "users")
    assert {user["name"] for user in users.json} == {"ada", "bob"}
    await bob.get("/hub/spawn")
    assert (await machine.token_call(TOKEN, "DELETE", "users/bob/server")).status in {202, 204}
    for method, path in [
        ("POST", "users/eve"), ("DELETE", "users/bob"), ("GET", "services"),
        ("POST", "users/bob/activity"), ("GET", "info"), ("POST", "services/more"),
    ]:  # fmt: skip
        answer = await machine.token_call(TOKEN, method, path, {} if method == "POST" else None)
        assert answer.status in {403, 404}, path


async def test_pages_are_not_for_services(machine: Machine, ada: Browser) -> None:
    headers = {"Authorization": f"token {TOKEN}"}
    path = machine.places.hub_socket
    for url in ("/hub/home", "/hub/admin", _ask()):
        answer = await exchange(path, "GET", url, headers, b"")
        assert (answer.status, "/hub/login" in answer.headers.get("location", "")) == (302, True)


async def test_nothing_meant_for_users_breaks_over_a_service(
    machine: Machine, ada: Browser, tmp_path: Path
) -> None:
    """A service that is an admin may do everything, so it gets to every handler."""
    body = {"api_token": NEW["api_token"], "admin": True}
    assert (await ada.api("POST", "services/boss", body)).status == 201
    for method, path in [
        ("GET", "user"), ("GET", "users"), ("GET", "users/ada"), ("GET", "users/ada/tokens"),
        ("POST", "users/ada/tokens"), ("POST", "users/cora"), ("PATCH", "users/cora"),
        ("POST", "users/cora/server"), ("GET", "users/cora/server/progress"),
        ("DELETE", "users/cora/server"), ("DELETE", "users/cora"), ("GET", "groups"),
        ("POST", "groups/g"), ("GET", "services"), ("GET", "info"), ("GET", "users/ada/shared"),
        ("GET", "shares/ada"), ("GET", "appliance/status"),
    ]:  # fmt: skip
        answer = await machine.token_call(
            NEW["api_token"], method, path, {} if method in {"POST", "PATCH"} else None
        )
        assert answer.status < 500, (method, path, answer)


async def test_the_token_ends_with_its_service(tmp_path: Path, clock: FakeClock) -> None:
    async with Machine(tmp_path, config=_config(), clock=clock) as machine:
        assert (await machine.token_call(TOKEN, "GET", "user")).status == 200
        machine.config = Config()
        await machine.restart()
        for token in (TOKEN, PAGES_TOKEN):
            assert (await machine.token_call(token, "GET", "user")).status == 403
        assert (await machine.root("GET", "services")).json == {}


async def test_a_new_token_replaces_the_old_one(tmp_path: Path, clock: FakeClock) -> None:
    async with Machine(tmp_path, config=_config(), clock=clock) as machine:
        machine.config = _config(culler={"api_token": "quite-another-token"})
        await machine.restart()
        assert (await machine.token_call("quite-another-token", "GET", "user")).status == 200
        assert (await machine.token_call(TOKEN, "GET", "user")).status == 403
        machine.config = _config(culler={"admin": True})
        await machine.restart()
        assert (await machine.token_call("quite-another-token", "GET", "user")).status == 403


# What the API tells


async def test_services_are_listed_as_far_as_scopes_allow(machine: Machine, ada: Browser) -> None:
    listed = (await ada.api("GET", "services")).json
    assert sorted(listed) == ["culler", "pages", "quiet"]
    assert listed["pages"] == {
        "kind": "service",
        "name": "pages",
        "admin": False,
        "roles": [],
        "url": "http://127.0.0.1:1",
        "prefix": "/services/pages/",
        "command": [],
        "pid": 0,
        "info": {},
        "display": True,
    }
    assert (await ada.api("GET", "services/culler")).json["roles"] == ["cullers"]
    assert (await ada.api("GET", "services/nothing")).status == 404
    for name in ("culler", "pages"):
        assert (await machine.token_call(TOKEN, "GET", f"services/{name}")).status == 403


async def test_students_see_no_services(bob: Browser) -> None:
    assert (await bob.api("GET", "services")).status == 403
    assert (await bob.api("GET", "services/pages")).status == 403


async def test_a_filter_shows_one_service(tmp_path: Path) -> None:
    config = Config.model_validate(
        {
            "services": {"one": {"api_token": TOKEN}, "two": {}},
            "roles": {"lookers": {"scopes": ["list:services!service=two"], "services": ["one"]}},
        }
    )
    async with Machine(tmp_path, config=config) as machine:
        answer = await machine.token_call(TOKEN, "GET", "services")
        assert list(answer.json) == ["two"]


# What the hub answers where the proxy finds nobody


async def test_a_service_that_does_not_answer_has_a_page_that_says_so(bob: Browser) -> None:
    for method in ("GET", "POST", "PUT", "HEAD"):
        answer = await bob.request(method, "/services/pages/x?y=1")
        assert answer.status == 503
        # One for visitors would end what bob's open pages can do.
        assert answer.cookies == []
    assert "pages" in (await bob.get("/services/pages/x")).body
    scripted = await bob.get("/services/pages/x", Accept="application/json")
    assert (scripted.status, scripted.json["status"]) == (503, 503)


async def test_addresses_without_a_service(bob: Browser) -> None:
    slash = await bob.get("/services/pages?a=b")
    assert (slash.status, slash.location) == (301, "/services/pages/?a=b")
    for name in ("culler", "nothing"):
        answer = await bob.get(f"/services/{name}/x?a=b")
        assert (answer.status, answer.location) == (302, f"/hub/services/{name}/x?a=b")
        assert (await bob.get(answer.location)).status == 404
        assert (await bob.request("POST", f"/services/{name}/x")).status == 404


# Services that are made at run time


async def test_a_service_is_made_used_and_removed(machine: Machine, ada: Browser) -> None:
    made = await ada.api("POST", "services/extra", NEW)
    assert (made.status, made.json["name"], made.json["info"]) == (201, "extra", {"about": "it"})
    assert (await ada.api("POST", "services/extra", NEW)).status == 409
    await machine.restart()
    found = await machine.token_call(NEW["api_token"], "GET", "user")
    assert (found.status, found.json["name"]) == (200, "extra")
    gone = await ada.api("DELETE", "services/extra")
    assert (gone.status, gone.body) == (200, "")
    assert (await machine.token_call(NEW["api_token"], "GET", "user")).status == 403
    assert (await ada.api("DELETE", "services/extra")).status == 404


async def test_services_of_the_configuration_stay(machine: Machine, ada: Browser) -> None:
    answer = await ada.api("DELETE", "services/culler")
    assert (answer.status, answer.json["status"]) == (405, 405)
    assert (await ada.api("POST", "services/culler", NEW)).status == 409
    assert (await machine.token_call(TOKEN, "GET", "user")).status == 200


@pytest.mark.parametrize(
    "body",
    [
        {"command": ["true"]}, {"name": "another"}, {"url": "file:///etc"}, {"url": "http://"},
        {"url": "http://h:99999"}, {"url": 3}, {"api_token": "short"}, {"api_token": "x" * 65},
        {"api_token": "with a blank"}, {"oauth_client_id": "jupyterhub-user-ada"},
        {"oauth_client_id": "service-extra"}, {"oauth_redirect_uri": "javascript:alert(1)"},
        {"oauth_redirect_uri": "//evil.test/"}, {"url": "http://a b:1"}, {"url": "http://\0:1"},
        {"url": "http+unix://%2Frun%2Fsomething"}, {"url": "http://169.254.169.254"},
        {"url": "http://[::ffff:169.254.169.254]"}, {"url": "http://[fd00:ec2::254]:80"},
        {"oauth_redirect_uri": "https://hub.test@evil.test/"},
        {"oauth_client_allowed_scopes": ["no:such"]},
        {"info": []}, {"whatever": 1}, {"environment": {}}, [], "text", 3,
    ],
    ids=str,
)  # fmt: skip
async def test_what_makes_no_service_is_refused_with_a_reason(
    machine: Machine, ada: Browser, body: object
) -> None:
    answer = await ada.api("POST", "services/extra", body)
    assert (answer.status, answer.json["status"]) == (400, 400)
    assert answer.json["message"]
    assert "extra" not in (await ada.api("GET", "services")).json


@pytest.mark.parametrize("name", ["%2e%2e", "a%20b", "-x", "x" * 65, "a%2fb", "%C3%A9"])
async def test_names_that_no_service_may_have(machine: Machine, ada: Browser, name: str) -> None:
    assert (await ada.api("POST", f"services/{name}", {})).status in {400, 404}


async def test_nobody_gives_a_service_more_than_they_have(tmp_path: Path) -> None:
    config = Config.model_validate(
        {
            "services": {"maker": {"api_token": TOKEN}},
            "roles": {"makers": {"scopes": ["admin:services"], "services": ["maker"]}},
        }
    )
    async with Machine(tmp_path, config=config) as machine:
        for scope in ("admin:users", "inherit", "self", "servers!user"):
            wide = NEW | {"oauth_client_allowed_scopes": [scope]}
            refused = await machine.token_call(TOKEN, "POST", "services/extra", wide)
            assert refused.status == 400, scope
        admin = {**NEW, "admin": True}
        assert (await machine.token_call(TOKEN, "POST", "services/extra", admin)).status == 400
        body = NEW | {"oauth_client_allowed_scopes": ["read:services"]}
        assert (await machine.token_call(TOKEN, "POST", "services/extra", body)).status == 201


async def test_nobody_takes_a_token_that_is_anothers(machine: Machine, ada: Browser) -> None:
    answer = await ada.api("POST", "services/extra", {"api_token": TOKEN})
    assert answer.status == 409
    assert "extra" not in (await ada.api("GET", "services")).json
    assert (await machine.token_call(TOKEN, "GET", "user")).json["name"] == "culler"


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:9"])
async def test_nobody_takes_the_name_that_anothers_visitors_know(
    machine: Machine, ada: Browser, url: str | None
) -> None:
    body = {"oauth_client_id": "service-pages", "url": url,
            "oauth_redirect_uri": "/services/pages/oauth_callback"}  # fmt: skip
    answer = await ada.api("POST", "services/extra", NEW | body)
    assert (answer.status, "service-pages" in answer.json["message"]) == (409, True)
    assert (await machine.token_call(NEW["api_token"], "GET", "user")).status == 403


# Logging people in


async def test_the_whole_dance(machine: Machine, bob: Browser) -> None:
    answer = await _agree(bob, _ask(scope="read:users:activity!user"))
    assert answer.location.startswith("/services/pages/oauth_callback?")
    redeemed = await _redeem(machine, answer)
    assert redeemed.status == 200
    user = await machine.token_call(redeemed.json["access_token"], "GET", "user")
    assert (user.json["kind"], user.json["name"]) == ("user", "bob")
    assert user.json["scopes"] == [
        "access:services!service=pages",
        "read:users:activity!user=bob",
        "read:users:groups!user=bob",
        "read:users:name!user=bob",
    ]
    assert user.json["session_id"] == bob.jar["jupyterhub-session-id"][0]


async def test_nobody_is_asked_twice(machine: Machine, bob: Browser) -> None:
    await _redeem(machine, await _agree(bob, _ask(scope="read:users:activity!user")))
    again = await bob.get(_ask(scope="read:users:activity!user"))
    assert again.status == 302
    assert "code=" in again.location
    assert (await bob.get(_ask(scope="identify"))).status == 302


async def test_more_than_before_is_asked_for_again(machine: Machine, bob: Browser) -> None:
    await _redeem(machine, await _agree(bob, _ask(scope="identify")))
    assert (await bob.get(_ask(scope="identify"))).status == 302
    assert (await bob.get(_ask(scope="read:users:activity!user"))).status == 200


async def test_an_admin_gives_what_a_student_cannot(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    redeemed = await _redeem(machine, await _agree(bob, _ask()))
    token = redeemed.json["access_token"]
    assert (await machine.token_call(token, "POST", "users/cora")).status == 403
    assert (await machine.token_call(token, "GET", "users/ada")).status == 404
    assert (await machine.token_call(token, "GET", "users/bob")).json["admin"] is False
    redeemed = await _redeem(machine, await _agree(ada, _ask()))
    token = redeemed.json["access_token"]
    assert (await machine.token_call(token, "POST", "users/cora")).status == 201


async def test_who_says_no_gives_nothing(machine: Machine, bob: Browser) -> None:
    await bob.get(_ask())
    answer = await bob.post(_ask(), {"answer": "no"})
    assert "error=access_denied" in answer.location


async def test_less_than_asked_for_can_be_agreed_to(machine: Machine, bob: Browser) -> None:
    await bob.get(_ask())
    answer = await bob.post(_ask(), {"scopes": "read:users:name!user=bob"})
    redeemed = await _redeem(machine, answer)
    user = await machine.token_call(redeemed.json["access_token"], "GET", "user")
    assert "read:users:activity!user=bob" not in user.json["scopes"]
    assert "access:services!service=pages" in user.json["scopes"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"scope": "shutdown"}, "invalid_scope"),
        ({"scope": "inherit"}, "invalid_scope"),
        ({"scope": "self"}, "invalid_scope"),
        ({"scope": "no-such-scope"}, "invalid_scope"),
        ({"scope": "read:users:activity"}, None),
        ({"response_type": "token"}, "unsupported_response_type"),
    ],
)
async def test_wishes_beyond_what_the_service_may_have_go_back(
    bob: Browser, changes: dict[str, str], error: str | None
) -> None:
    answer = await bob.get(_ask(**changes))
    if error is None:  # contained in admin:users, which it may ask for
        assert answer.status == 200
        return
    query = parse_qs(urlsplit(answer.location).query)
    assert (query["error"], query["state"]) == ([error], ["some-state"])


async def test_who_may_not_use_a_service_is_told_so(machine: Machine, ada: Browser) -> None:
    carol = machine.browser()
    await carol.sign_up("carol", STUDENT_PASSWORD)
    await ada.api("POST", "appliance/users/carol/approve")
    await carol.log_in("carol", STUDENT_PASSWORD)
    answer = await carol.get(_ask())
    assert (answer.status, "location" in answer.headers) == (403, False)
    assert "pages" in answer.body


async def test_a_service_may_be_trusted_without_asking(machine: Machine, ada: Browser) -> None:
    answer = await ada.get(
        _ask(client_id="service-quiet", redirect_uri="/services/quiet/oauth_callback")
    )
    assert (answer.status, "code=" in answer.location) == (302, True)


async def test_a_service_without_token_redeems_nothing(machine: Machine, ada: Browser) -> None:
    where = {"client_id": "service-quiet", "redirect_uri": "/services/quiet/oauth_callback"}
    answer = await ada.get(_ask(**where))
    for secret in ("", PAGES_TOKEN):
        assert (await _redeem(machine, answer, **where, client_secret=secret)).status == 401


async def test_a_service_elsewhere_has_an_address_of_its_own(tmp_path: Path) -> None:
    back = "https://grades.example.org/back"
    config = Config.model_validate(
        {
            "services": {"far": {"oauth_redirect_uri": back, "api_token": PAGES_TOKEN,
                                 "oauth_client_id": "service-far-away"}},
            "signup": {"mode": "open"},
            "roles": {"user": {"scopes": ["self", "access:services"]}},
        }
    )  # fmt: skip
    async with Machine(tmp_path, config=config) as machine:
        bob = machine.browser()
        await bob.sign_up("bob", STUDENT_PASSWORD)
        await bob.log_in("bob", STUDENT_PASSWORD)
        where = {"client_id": "service-far-away", "redirect_uri": back}
        page = await bob.get(_ask(**where))
        assert (
            "form-action 'self' https://grades.example.org"
            in (page.headers["content-security-policy"])
        )
        answer = await _agree(bob, _ask(**where))
        assert answer.location.startswith(f"{back}?code=")
        assert (await _redeem(machine, answer, **where)).status == 200
        wrong = {**where, "redirect_uri": "https://evil.test/back"}
        assert (await bob.get(_ask(**wrong))).status == 400


async def test_logging_out_ends_what_services_have(machine: Machine, bob: Browser) -> None:
    redeemed = await _redeem(machine, await _agree(bob, _ask()))
    token = redeemed.json["access_token"]
    await bob.get("/hub/logout", site="none")
    assert (await machine.token_call(token, "GET", "user")).status == 403


async def test_what_a_service_got_ends_with_it(
    machine: Machine, bob: Browser, ada: Browser
) -> None:
    redeemed = await _redeem(machine, await _agree(bob, _ask()))
    token = redeemed.json["access_token"]
    await machine.restart()
    assert (await machine.token_call(token, "GET", "user")).status == 200
    machine.config = Config()
    await machine.restart()
    assert (await machine.token_call(token, "GET", "user")).status == 403
