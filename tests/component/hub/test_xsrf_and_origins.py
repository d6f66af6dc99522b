"""Writes need proof that they come from our pages; reads by scripts of other pages get nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import event

from tests.component.hub.conftest import PASSWORD
from tests.fakes.hub_machine import Browser, Machine, exchange

WRITES = ("POST", "PUT", "PATCH", "DELETE")
FORM = {"Content_Type": "application/x-www-form-urlencoded"}


def _example(pattern: str) -> str:
    """A path that the pattern matches."""
    path = pattern.removesuffix("$")
    path = path.replace(r"(?P<user>[^/]+)", "bob").replace(r"(?P<name>[^/]+)", "x")
    path = path.replace(r"(?P<server>[^/]*)", "x").replace(r"(?P<server>)", "")
    path = path.replace(r"(?P<status>\d{3})", "404")
    path = re.sub(r"\(\?:[^()]*\)\??", "", re.sub(r"\(\?P<[^>]+>[^()]*\)\??", "x", path))
    return (
        path.replace("(?:", "")
        .replace(")?", "")
        .replace("?", "")
        .replace(".*", "x")
        .replace("\\", "")
    )


def _addresses(machine: Machine) -> list[str]:
    """An address for every pattern that the hub knows."""
    rules = machine.hub.application.default_router.rules[0].target.rules
    return [_example(rule.matcher.regex.pattern) for rule in rules]


async def test_no_address_takes_a_write_without_a_token(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    tried = 0
    for path in _addresses(machine):
        if not path.startswith("/hub/") or "static" in path or path.endswith("oauth2/token"):
            continue
        for method in WRITES:
            for headers in ({}, {"X_XSRFToken": "made.up"}, FORM):
                answer = await ada.request(
                    method, path, b"a=b" if headers is FORM else b"", **headers
                )
                assert answer.status in {403, 404, 405}, (method, path, answer)
                tried += 1
    assert tried > 100
    assert machine.hub.users.find("bob") is not None
    assert machine.spawner.starts == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 302),
        ({"site": "cross-site"}, 403),
        ({"site": "same-site"}, 403),
        ({"site": "none"}, 403),
        ({"mode": "no-cors"}, 403),
    ],
    ids=str,
)
async def test_a_right_token_does_not_help_from_another_site(
    machine: Machine, bob: Browser, headers: dict[str, str], status: int
) -> None:
    answer = await bob.post("/hub/spawn", {}, **headers)
    assert answer.status == status
    assert machine.spawner.starts == (status == 302)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://hub.test"}, 302),
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "null"}, 403),
        ({"Referer": "http://evil.test/hub/spawn"}, 403),
        ({"Referer": "http://hub.test/hub/home"}, 302),
        ({}, 302),
    ],
    ids=str,
)
async def test_on_plain_http_the_origin_counts(
    machine: Machine, bob: Browser, headers: dict[str, str], status: int
) -> None:
    """Browsers send no Sec-Fetch-… to hosts on plain HTTP."""
    cookies = "; ".join(f"{name}={value}" for name, (value, _) in bob.jar.items())
    sent = {
        "User-Agent": "Test browser",
        "Cookie": cookies,
        "Content-Type": "application/x-www-form-urlencoded",
    }
    answer = await exchange(
        machine.places.hub_socket, "POST", "/hub/spawn", {**sent, **headers},
        f"_xsrf={bob.xsrf}".encode(),
    )  # fmt: skip
    assert answer.status == status


async def test_somebody_elses_token_does_not_help(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    ada.jar["_xsrf"] = bob.jar["_xsrf"]
    assert (await ada.api("DELETE", "users/bob")).status == 403
    visitor = machine.browser()
    await visitor.get("/hub/login")
    ada.jar["_xsrf"] = visitor.jar["_xsrf"]
    assert (await ada.api("DELETE", "users/bob")).status == 403


async def test_a_tossed_cookie_beside_ours_changes_nothing(machine: Machine, bob: Browser) -> None:
    """A page of a student's server may set cookies of our names for our path."""
    right = "; ".join(f"{name}={value}" for name, (value, _) in bob.jar.items())
    for cookies in (
        f"_xsrf=evil; jupyterhub-hub-login=evil; {right}",
        f"{right}; _xsrf=evil; jupyterhub-hub-login=e",
    ):
        keep, bob.jar = bob.jar, {}
        answer = await bob.request("GET", "/hub/home", Cookie=cookies)
        bob.jar = keep
        assert answer.status == 200


async def test_a_request_full_of_cookies_does_not_keep_the_hub_busy(machine: Machine) -> None:
    """With 2000 of them each stranger's request took half a second of everybody's."""
    asked: list[str] = []
    event.listen(
        machine.hub.db._engine, "before_cursor_execute", lambda *call: asked.append(call[2])
    )
    cookies = "; ".join(f"jupyterhub-hub-login={number}" for number in range(500))
    await exchange(machine.places.hub_socket, "GET", "/hub/login", {"Cookie": cookies}, b"")
    looked_up = [statement for statement in asked if "login_sessions" in statement]
    assert 0 < len(looked_up) <= 10


async def test_a_log_in_form_that_is_stale_comes_again(machine: Machine, ada: Browser) -> None:
    browser = machine.browser()
    answer = await browser.post("/hub/login", {"username": "ada", "password": PASSWORD})
    assert answer.status == 403
    assert 'name="password"' in answer.body
    assert "jupyterhub-hub-login" not in browser.jar
    answer = await browser.post("/hub/login", {"username": "ada", "password": PASSWORD})
    assert answer.status == 302


@pytest.mark.parametrize("mode", ["cors", "no-cors", "same-origin"])
async def test_scripts_of_other_pages_cannot_read_ours(
    machine: Machine, ada: Browser, mode: str
) -> None:
    assert (await ada.get("/hub/admin", mode=mode)).status == 403
    assert (await ada.get("/hub/admin", mode=mode, X_XSRFToken=ada.xsrf)).status == 200
    assert (await ada.get("/hub/admin")).status == 200


async def test_no_answer_to_a_script_of_another_page_has_a_token(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    """With it a page of a student's server would be whoever looks at it; error pages count too."""
    known = ada.xsrf
    for path in [*_addresses(machine), "/hub/nowhere", "/hub/user/bob/", "/hub/user/ada/lab"]:
        for method in ("GET", "POST"):
            body = b"a=b" if method == "POST" else b""
            answer = await ada.request(method, path, body, mode="cors", Accept="text/html", **FORM)
            assert known not in answer.body, (method, path)
            assert not re.search(r'name="_xsrf" value="[^"]', answer.body), (method, path)
            # A token of a visitor in its place would break the forms in open tabs.
            assert not any(cookie.startswith("_xsrf=") for cookie in answer.cookies), path
    shown = await ada.get("/hub/home", mode="cors", X_XSRFToken=known)
    assert known in shown.body


async def test_what_the_api_asks_of_cookies_is_what_jupyterhub_asks(
    machine: Machine, bob: Browser
) -> None:
    async def ask(**headers: Any) -> int:
        return (await bob.request("GET", "/hub/api/user", **headers)).status

    assert await ask(mode="navigate") == 200
    assert await ask(mode="cors") == 403
    assert await ask(mode="cors", X_XSRFToken=bob.xsrf) == 200
    assert await ask(mode="no-cors") == 200
    assert await ask(mode="no-cors", site="cross-site") == 403
    answer = await bob.request("GET", f"/hub/api/user?_xsrf={bob.xsrf}", mode="cors")
    assert answer.status == 200
    missing = await bob.request("POST", "/hub/api/users/bob/server", mode="cors")
    assert missing.json["message"].endswith("'_xsrf' argument missing from POST")


async def test_a_form_with_our_cookie_is_nobody_to_the_api(machine: Machine, bob: Browser) -> None:
    body = f"_xsrf={bob.xsrf}".encode()
    answer = await bob.request(
        "POST", "/hub/api/users/bob/server", body, Content_Type=FORM["Content_Type"]
    )
    assert answer.status == 403
    assert machine.spawner.starts == 0


async def test_security_headers_are_on_every_answer(machine: Machine, bob: Browser) -> None:
    for path in (
        "/hub/login",
        "/hub/home",
        "/hub/nowhere",
        "/hub/api/user",
        "/hub/api/nowhere",
        "/hub/api",
    ):
        headers = (await bob.get(path)).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["x-jupyterhub-version"] == "6.1.1"
        assert "server" not in headers
