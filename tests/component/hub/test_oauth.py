"""A single-user server learns by OAuth who its visitor is, as JupyterHub's does."""

from __future__ import annotations

import base64
import hashlib
import re
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from appliance.names import ServerId, Username
from tests.component.hub.conftest import STUDENT_PASSWORD
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Answer, Browser, Machine, exchange, hidden_fields

BOB = ServerId(Username("bob"))
VERIFIER = "v" * 50
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
)


@pytest.fixture
async def secret(machine: Machine, bob: Browser) -> str:
    """The token of bob's server, which runs."""
    await bob.get("/hub/spawn")
    return machine.spawner.tokens[BOB]


def _ask(**changes: str | None) -> str:
    query = {
        "client_id": "jupyterhub-user-bob",
        "redirect_uri": "/user/bob/oauth_callback",
        "response_type": "code",
        "state": "some-state",
        **changes,
    }
    return "/hub/api/oauth2/authorize?" + urlencode(
        {k: v for k, v in query.items() if v is not None}
    )


async def _redeem(machine: Machine, secret: str, code: str, **changes: str) -> Answer:
    form = {
        "client_id": "jupyterhub-user-bob",
        "client_secret": secret,
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": "/user/bob/oauth_callback",
        **changes,
    }
    return await exchange(
        machine.places.hub_socket, "POST", "/hub/api/oauth2/token",
        {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(form).encode(),
    )  # fmt: skip


def _code(answer: Answer) -> str:
    assert answer.status == 302, answer
    parts = urlsplit(answer.location)
    assert (parts.scheme, parts.netloc, parts.path) == ("", "", "/user/bob/oauth_callback")
    query = parse_qs(parts.query)
    assert query["state"] == ["some-state"]
    return query["code"][0]


async def test_the_whole_dance_with_pkce(machine: Machine, bob: Browser, secret: str) -> None:
    url = _ask(code_challenge=CHALLENGE, code_challenge_method="S256")
    code = _code(await bob.get(url))
    answer = await _redeem(machine, secret, code, code_verifier=VERIFIER)
    assert answer.status == 200
    assert answer.json["token_type"] == "Bearer"
    assert answer.json["expires_in"] == 14 * 86400
    assert "refresh_token" not in answer.json
    user = await machine.token_call(answer.json["access_token"], "GET", "user")
    assert user.json["name"] == "bob"
    assert user.json["kind"] == "user"
    assert user.json["groups"] == []
    assert user.json["admin"] is False
    assert user.json["session_id"] == bob.jar["jupyterhub-session-id"][0]
    assert user.json["scopes"] == [
        "access:servers!server=bob/",
        "read:users:groups!user=bob",
        "read:users:name!user=bob",
    ]


async def test_clients_without_pkce_are_served_too(
    machine: Machine, bob: Browser, secret: str
) -> None:
    assert (await _redeem(machine, secret, _code(await bob.get(_ask())))).status == 200


async def test_a_new_password_ends_codes_that_wait(
    machine: Machine, ada: Browser, bob: Browser, secret: str
) -> None:
    code = _code(await bob.get(_ask()))
    changed = await ada.api("PUT", "appliance/users/bob/password", {"password": "new-one-2000"})
    assert changed.status == 200
    assert (await _redeem(machine, secret, code)).status == 400


async def test_that_token_can_do_nothing_else(
    machine: Machine, ada: Browser, bob: Browser, secret: str
) -> None:
    answer = await _redeem(machine, secret, _code(await bob.get(_ask())))
    token = answer.json["access_token"]
    for method, url in [
        ("GET", "users"), ("POST", "users/bob/server"), ("DELETE", "users/bob/server"),
        ("GET", "users/ada"), ("POST", "users/bob/activity"), ("GET", "info"),
    ]:  # fmt: skip
        assert (
            await machine.token_call(token, method, url, {} if method == "POST" else None)
        ).status in {403, 404}


async def test_a_code_works_once_and_five_minutes(
    machine: Machine, bob: Browser, secret: str, clock: FakeClock
) -> None:
    code = _code(await bob.get(_ask()))
    assert (await _redeem(machine, secret, code)).status == 200
    again = await _redeem(machine, secret, code)
    assert (again.status, again.json["error"]) == (400, "invalid_grant")
    late = _code(await bob.get(_ask()))
    clock.pass_time(301)
    assert (await _redeem(machine, secret, late)).json["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_secret": "0" * 64}, 401, "invalid_client"),
        ({"client_secret": ""}, 401, "invalid_client"),
        ({"client_secret": "x" * 5000}, 401, "invalid_client"),
        ({"client_id": "jupyterhub-user-ada"}, 401, "invalid_client"),
        ({"code": "made-up"}, 400, "invalid_grant"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"redirect_uri": "/user/ada/oauth_callback"}, 400, "invalid_request"),
        ({"code_verifier": "wrong" * 10}, 400, "invalid_grant"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_wrong_redemptions_get_oauths_own_errors(
    machine: Machine, bob: Browser, secret: str, changes: dict[str, str], status: int, error: str
) -> None:
    code = _code(await bob.get(_ask(code_challenge=CHALLENGE, code_challenge_method="S256")))
    form = {"code": code, "code_verifier": VERIFIER, **changes}
    answer = await _redeem(machine, secret, **form)
    assert (answer.status, answer.json["error"]) == (status, error)


async def test_a_client_that_began_with_pkce_must_finish_with_it(
    machine: Machine, bob: Browser, secret: str
) -> None:
    code = _code(await bob.get(_ask(code_challenge=CHALLENGE, code_challenge_method="S256")))
    assert (await _redeem(machine, secret, code)).status == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "jupyterhub-user-nobody"}, {"client_id": None}, {"client_id": ""},
        {"redirect_uri": "/user/ada/oauth_callback"}, {"redirect_uri": "https://evil.test/"},
        {"redirect_uri": "//evil.test/"}, {"redirect_uri": "/user/bob/oauth_callback/../../ada"},
        {"redirect_uri": "https://relative.invalid/user/bob/oauth_callback?x"},
    ],
    ids=str,
)  # fmt: skip
async def test_nobody_is_sent_to_an_address_that_is_not_registered(
    machine: Machine, bob: Browser, secret: str, changes: dict[str, str | None]
) -> None:
    answer = await bob.get(_ask(**changes))
    assert answer.status == 400
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"scope": "admin:users"}, "invalid_scope"),
        ({"response_type": "token"}, "unsupported_response_type"),
    ],
)
async def test_wrong_wishes_go_back_to_the_client(
    machine: Machine, bob: Browser, secret: str, changes: dict[str, str], error: str
) -> None:
    answer = await bob.get(_ask(**changes))
    assert answer.status == 302
    assert answer.location.startswith("/user/bob/oauth_callback?")
    query = parse_qs(urlsplit(answer.location).query)
    assert query["error"] == [error]
    assert query["state"] == ["some-state"]


async def test_who_is_not_logged_in_comes_back_after_logging_in(
    machine: Machine, bob: Browser, secret: str
) -> None:
    visitor = machine.browser()
    answer = await visitor.get(_ask())
    assert answer.status == 302
    assert answer.location.startswith("/hub/login?next=%2Fhub%2Fapi%2Foauth2%2Fauthorize")
    following = parse_qs(urlsplit(answer.location).query)["next"][0]
    done = await visitor.log_in("bob", STUDENT_PASSWORD, then=following)
    assert urlsplit(done.location).path == "/hub/api/oauth2/authorize"
    _code(await visitor.get(done.location))


async def test_another_student_is_refused(
    machine: Machine, bob: Browser, ada: Browser, secret: str
) -> None:
    carol = machine.browser()
    await carol.sign_up("carol", STUDENT_PASSWORD)
    await ada.api("POST", "appliance/users/carol/approve")
    await carol.log_in("carol", STUDENT_PASSWORD)
    answer = await carol.get(_ask())
    assert answer.status == 403
    assert "location" not in answer.headers


async def test_an_admin_is_asked_first_and_only_once(
    machine: Machine, bob: Browser, ada: Browser, secret: str
) -> None:
    page = await ada.get(_ask())
    assert page.status == 200
    assert "bob" in page.body
    scopes = [value for name, value in hidden_fields(page.body) if name == "scopes"]
    assert "access:servers!server=bob/" in scopes
    action = re.search(r'action="(/hub/api/oauth2[^"]+)"', page.body)
    assert action
    body = urlencode([("_xsrf", ada.xsrf), *[("scopes", scope) for scope in scopes]]).encode()
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    answer = await ada.request("POST", _ask(), body, **form)
    redeemed = await _redeem(machine, secret, _code(answer))
    token = redeemed.json["access_token"]
    assert (await machine.token_call(token, "GET", "user")).json["name"] == "ada"
    assert (await machine.token_call(token, "GET", "users")).status == 403
    _code(await ada.get(_ask()))
    greedy = urlencode([("_xsrf", ada.xsrf), ("scopes", "admin:users")]).encode()
    refused = await ada.request("POST", _ask(), greedy, **form)
    assert parse_qs(urlsplit(refused.location).query)["error"] == ["invalid_scope"]


async def test_the_page_says_in_words_what_is_asked_and_by_whom(
    machine: Machine, ada: Browser, secret: str
) -> None:
    page = await ada.get(_ask())
    assert "Open bob's server?" in page.body
    for words in ("See your user name", "See your groups", "Use bob&#39;s server: read"):
        assert f"<li>{words}" in page.body
    assert "form-action 'self';" in page.headers["content-security-policy"]


async def test_saying_no_goes_back_to_the_client_with_its_state(
    machine: Machine, ada: Browser, secret: str
) -> None:
    await ada.get(_ask())
    answer = await ada.post(_ask(), {"answer": "no", "scopes": "access:servers!server=bob/"})
    assert answer.status == 302
    parts = urlsplit(answer.location)
    assert (parts.netloc, parts.path) == ("", "/user/bob/oauth_callback")
    query = parse_qs(parts.query)
    assert query["error"] == ["access_denied"]
    assert query["state"] == ["some-state"]
    assert "code" not in query
    assert "Open bob" in (await ada.get(_ask())).body


async def test_saying_no_to_an_unknown_client_leads_nowhere(
    machine: Machine, ada: Browser, secret: str
) -> None:
    await ada.get(_ask())
    answer = await ada.post(_ask(redirect_uri="https://evil.test/"), {"answer": "no"})
    assert answer.status == 400
    assert "location" not in answer.headers


async def test_logging_out_revokes_what_the_session_had_opened(
    machine: Machine, bob: Browser, secret: str
) -> None:
    token = (await _redeem(machine, secret, _code(await bob.get(_ask())))).json["access_token"]
    unused = _code(await bob.get(_ask()))
    assert (await machine.token_call(token, "GET", "user")).status == 200
    await bob.get("/hub/logout", site="none")
    assert (await machine.token_call(token, "GET", "user")).status == 403
    assert (await _redeem(machine, secret, unused)).status == 400
    assert (await machine.token_call(secret, "GET", "user")).status == 200


async def test_a_stopped_servers_tokens_are_dead(
    machine: Machine, bob: Browser, secret: str
) -> None:
    token = (await _redeem(machine, secret, _code(await bob.get(_ask())))).json["access_token"]
    await bob.api("DELETE", "users/bob/server")
    for dead in (secret, token):
        assert (await machine.token_call(dead, "GET", "user")).status == 403


async def test_tokens_are_nowhere_in_the_database(
    machine: Machine, bob: Browser, secret: str
) -> None:
    code = _code(await bob.get(_ask()))
    token = (await _redeem(machine, secret, code)).json["access_token"]
    cookie = bob.jar["jupyterhub-hub-login"][0]
    files = [path for path in machine.places.hub_state.rglob("*") if path.is_file()]
    stored = b"".join(path.read_bytes() for path in files)
    for secret_text in (secret, code, token, cookie, STUDENT_PASSWORD):
        assert secret_text.encode() not in stored


async def test_a_challenge_that_was_taken_out_on_the_way_is_missed(
    machine: Machine, bob: Browser, secret: str
) -> None:
    code = _code(await bob.get(_ask()))
    answer = await _redeem(machine, secret, code, code_verifier=VERIFIER)
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")


async def test_the_oldest_tokens_of_a_client_give_way(
    machine: Machine, bob: Browser, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.hub.oauth_grant._TOKENS_OF_ONE", 2)
    tokens = []
    for _ in range(3):
        answer = await _redeem(machine, secret, _code(await bob.get(_ask())))
        tokens.append(answer.json["access_token"])
    found = [(await machine.token_call(token, "GET", "user")).status for token in tokens]
    assert found == [403, 200, 200]
