"""Sharing servers: who may share what with whom, links that share, and what they open."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from sqlalchemy import select

from appliance.config.schema import Config
from appliance.db.models import ShareCode
from appliance.hub.groups import Groups
from appliance.names import ServerId, Username
from tests.component.hub.conftest import STUDENT_PASSWORD
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Answer, Browser, Machine, exchange, hidden_fields

BOB = ServerId(Username("bob"))
USE = "access:servers!server=bob/"


@pytest.fixture
async def carol(machine: Machine, ada: Browser, bob: Browser) -> Browser:
    """Another student; bob's server runs."""
    await bob.get("/hub/spawn")
    browser = machine.browser()
    await browser.sign_up("carol", STUDENT_PASSWORD)
    await ada.api("POST", "appliance/users/carol/approve")
    await browser.log_in("carol", STUDENT_PASSWORD)
    return browser


async def share(browser: Browser, url: str = "shares/bob/", **body: Any) -> Answer:
    return await browser.api("POST", url, body)


async def code_of(browser: Browser, **body: Any) -> str:
    answer = await browser.api("POST", "share-codes/bob/", body)
    assert answer.status == 200, answer.body
    return str(answer.json["code"])


async def sees(browser: Browser) -> int:
    """The status of bob's server's place in the hub: 404 for whom it doesn't exist."""
    return (await browser.get("/hub/user/bob/api/x")).status


async def test_a_share_opens_the_server_and_nothing_else(ada: Browser, carol: Browser) -> None:
    assert await sees(carol) == 404
    answer = await share(ada, user="carol")
    assert answer.status == 200
    model = answer.json
    assert re.fullmatch(r"[\d-]{10}T[\d:.]{15}Z", model.pop("created_at"))
    assert model == {
        "server": {
            "user": {"name": "bob"}, "name": "", "url": "/user/bob/", "full_url": None,
            "ready": True,
        },
        "scopes": [USE],
        "user": {"name": "carol"},
        "group": None,
        "kind": "user",
    }  # fmt: skip
    assert await sees(carol) == 424
    assert USE in (await carol.api("GET", "user")).json["scopes"]
    assert (await carol.api("GET", "users/bob/server")).status == 404
    assert (await carol.api("DELETE", "users/bob/server")).status == 404
    assert (await carol.get("/hub/spawn/bob")).status == 404


async def test_shares_widen_and_narrow(ada: Browser, carol: Browser) -> None:
    await share(ada, user="carol")
    wide = await share(ada, user="carol", scopes=["delete:servers", "read:servers!server=bob/"])
    assert wide.json["scopes"] == [
        USE, "delete:servers!server=bob/", "read:servers!server=bob/",
    ]  # fmt: skip
    assert (await carol.api("GET", "users/bob/server")).status == 200
    less = {"user": "carol", "scopes": ["delete:servers", "read:servers"]}
    assert (await ada.api("PATCH", "shares/bob/", less)).json["scopes"] == [USE]
    assert (await carol.api("GET", "users/bob/server")).status == 404
    assert (await ada.api("PATCH", "shares/bob/", {"user": "carol"})).json == {}
    assert await sees(carol) == 404
    assert (await ada.api("PATCH", "shares/bob/", {"user": "nobody"})).json == {}


async def test_a_groups_share_is_its_members(
    machine: Machine, ada: Browser, carol: Browser
) -> None:
    groups = Groups(db=machine.hub.db)
    groups.create(["lab"])
    assert (await share(ada, group="lab")).json["group"] == {"name": "lab"}
    assert await sees(carol) == 404
    groups.add_users("lab", ["carol"])
    assert await sees(carol) == 424
    listed = (await carol.api("GET", "users/carol/shared")).json
    assert [one["kind"] for one in listed["items"]] == ["group"]
    assert listed["_pagination"] == {"offset": 0, "limit": 200, "total": 1, "next": None}
    assert (await ada.api("GET", "groups/lab/shared")).json["items"] == listed["items"]
    assert (await ada.api("GET", "groups/lab/shared/bob/")).json == listed["items"][0]
    # It is the group's, so a member can't give it back.
    assert (await carol.api("DELETE", "users/carol/shared/bob/")).status == 404
    assert (await ada.api("DELETE", "groups/lab/shared/bob/")).status == 204
    assert await sees(carol) == 404


async def test_who_got_a_share_sees_it_and_gives_it_back(ada: Browser, carol: Browser) -> None:
    made = (await share(ada, user="carol")).json
    for url in ("users/carol/shared", "shares/bob", "shares/bob/"):
        assert (await ada.api("GET", url)).json["items"] == [made]
    assert (await carol.api("GET", "users/carol/shared/bob/")).json == made
    assert (await carol.api("DELETE", "users/carol/shared/bob/")).status == 204
    assert (await carol.api("DELETE", "users/carol/shared/bob/")).status == 404
    assert (await ada.api("GET", "shares/bob")).json["items"] == []


async def test_lists_come_in_parts(ada: Browser, carol: Browser) -> None:
    for name in ("dan", "eve"):
        await ada.api("POST", f"users/{name}")
        await share(ada, user=name)
    first = (await ada.api("GET", "shares/bob?limit=1")).json
    assert [one["user"]["name"] for one in first["items"]] == ["dan"]
    assert first["_pagination"]["total"] == 2
    following = urlsplit(first["_pagination"]["next"]["url"])
    assert following.path == "/hub/api/shares/bob"
    assert parse_qs(following.query) == {"limit": ["1"], "offset": ["1"]}
    second = (await ada.api("GET", f"shares/bob?{following.query}")).json
    assert [one["user"]["name"] for one in second["items"]] == ["eve"]
    assert second["_pagination"]["next"] is None


async def test_all_shares_of_a_server_end_at_once(ada: Browser, carol: Browser) -> None:
    await share(ada, user="carol")
    assert (await ada.api("DELETE", "shares/bob/")).status == 204
    assert await sees(carol) == 404


async def test_a_server_may_be_shared_before_it_ever_ran(ada: Browser, carol: Browser) -> None:
    answer = await share(ada, "shares/ada/", user="carol")
    assert answer.json["server"]["ready"] is False
    page = await carol.get("/user/ada/lab")
    assert page.location == "/hub/user/ada/lab"
    offer = await carol.get(page.location)
    assert offer.status == 424
    assert "ask ada" in offer.body
    assert '<form method="post" action="/hub/spawn' not in offer.body
    assert (await ada.get("/hub/spawn")).status == 302


@pytest.mark.parametrize(
    ("method", "url", "body", "status"),
    [
        ("POST", "shares/bob/", {}, 400),
        ("POST", "shares/bob/", {"user": "carol", "group": "lab"}, 400),
        ("POST", "shares/bob/", {"user": "nobody"}, 400),
        ("POST", "shares/bob/", {"group": "nobody"}, 400),
        ("POST", "shares/bob/", {"user": "bob"}, 400),
        ("POST", "shares/bob/", {"user": "carol", "scopes": ["admin:users"]}, 400),
        ("POST", "shares/bob/", {"user": "carol", "scopes": ["servers!user=bob"]}, 400),
        ("POST", "shares/bob/", {"user": "carol", "scopes": ["servers!server=ada/"]}, 400),
        ("POST", "shares/bob/", {"user": "carol", "more": 1}, 400),
        ("POST", "shares/bob/", ["carol"], 400),
        ("POST", "shares/bob", {"user": "carol"}, 405),
        ("PATCH", "shares/bob", {"user": "carol"}, 405),
        ("DELETE", "shares/bob", None, 405),
        ("POST", "shares/bob/none", {"user": "carol"}, 404),
        ("POST", "shares/nobody/", {"user": "carol"}, 404),
        ("GET", "shares/nobody", None, 404),
        ("GET", "shares/bob/none", None, 404),
        ("GET", "shares/bob?limit=x", None, 400),
        ("GET", "users/nobody/shared", None, 404),
        ("GET", "users/carol/shared/bob/", None, 404),
        ("GET", "groups/nobody/shared", None, 404),
        ("POST", "share-codes/bob", {}, 405),
        ("POST", "share-codes/bob/none", {}, 404),
        ("POST", "share-codes/bob/", {"expires_in": 59}, 400),
        ("POST", "share-codes/bob/", {"expires_in": 31_536_001}, 400),
        ("POST", "share-codes/bob/", {"expires_in": "60"}, 400),
        ("POST", "share-codes/bob/", {"scopes": ["proxy"]}, 400),
        ("DELETE", "share-codes/bob", None, 405),
        ("DELETE", "share-codes/bob/?code=none", None, 404),
        ("DELETE", "share-codes/bob/?id=sc_1", None, 404),
        ("DELETE", "share-codes/bob/?id=none", None, 404),
        ("DELETE", f"share-codes/bob/?id=sc_{'9' * 30}", None, 404),
    ],
    ids=str,
)
async def test_what_makes_no_sense_is_refused(
    ada: Browser, carol: Browser, method: str, url: str, body: object, status: int
) -> None:
    answer = await ada.api(method, url, body)
    assert answer.status == status, answer.body
    assert answer.json["message"]


async def test_a_student_may_share_only_if_a_role_says_so(
    machine: Machine, bob: Browser, carol: Browser
) -> None:
    assert (await share(bob, user="carol")).status == 403
    assert (await bob.api("GET", "shares/bob")).status == 200
    assert (await carol.api("GET", "shares/bob")).status == 404
    made = await machine.root(
        "POST", "shares/bob/", {"user": "carol", "scopes": ["access:servers", "start:servers"]}
    )
    assert made.status == 200
    # Who got a server can't pass it on.
    assert (await share(carol, user="ada")).status == 403


async def test_a_code_gives_its_scopes_to_whoever_brings_it(
    machine: Machine, ada: Browser, carol: Browser
) -> None:
    made = (await ada.api("POST", "share-codes/bob/")).json
    code = made.pop("code")
    assert made.pop("accept_url") == f"/hub/accept-share?code={code}"
    assert made.pop("full_accept_url") is None
    assert made["scopes"] == [USE]
    assert (made["exchange_count"], made["last_exchanged_at"]) == (0, None)
    for url in ("share-codes/bob", "share-codes/bob/"):
        assert (await ada.api("GET", url)).json["items"] == [made]
    with machine.hub.db.session() as session:
        assert code not in session.scalars(select(ShareCode.hash)).all()

    page = await carol.get(f"/hub/accept-share?code={code}")
    assert page.status == 200
    assert "bob" in page.body
    assert await sees(carol) == 404
    done = await carol.post("/hub/accept-share", hidden_fields(page.body))
    assert (done.status, done.location) == (302, "/user/bob/")
    assert await sees(carol) == 424
    used = (await ada.api("GET", "share-codes/bob")).json["items"][0]
    assert used["exchange_count"] == 1
    assert used["last_exchanged_at"]
    assert (await carol.post("/hub/accept-share", hidden_fields(page.body))).status == 302


async def test_the_accept_page_refuses_what_is_no_share(
    ada: Browser, bob: Browser, carol: Browser, machine: Machine
) -> None:
    code = await code_of(ada)
    assert (await carol.get("/hub/accept-share")).status == 400
    assert (await carol.get("/hub/accept-share?code=none")).status == 404
    assert (await carol.get(f"/hub/accept-share?code={'x' * 1000}")).status == 404
    assert (await carol.post("/hub/accept-share", {"code": "none"})).status == 400
    assert (await bob.get(f"/hub/accept-share?code={code}")).status == 403
    assert (await bob.post("/hub/accept-share", {"code": code})).status == 400
    wrong = await carol.post("/hub/accept-share", {"code": code, "_xsrf": "wrong"})
    assert wrong.status == 403
    stranger = machine.browser()
    asked = await stranger.get(f"/hub/accept-share?code={code}")
    assert asked.location.startswith("/hub/login?next=%2Fhub%2Faccept-share%3Fcode%3D")


async def test_after_accepting_one_goes_where_the_link_said(ada: Browser, carol: Browser) -> None:
    code = await code_of(ada)
    deep = urlencode({"code": code, "next": "/user/bob/lab/tree/a.ipynb"})
    page = await carol.get(f"/hub/accept-share?{deep}")
    done = await carol.post("/hub/accept-share", hidden_fields(page.body))
    assert done.location == "/user/bob/lab/tree/a.ipynb"
    evil = await carol.post("/hub/accept-share", {"code": code, "next": "https://evil.test/"})
    assert evil.location == "/user/bob/"


async def test_codes_expire_and_are_removed(
    machine: Machine, ada: Browser, carol: Browser, clock: FakeClock
) -> None:
    short, day = await code_of(ada, expires_in=60), await code_of(ada)
    clock.pass_time(61)
    assert (await carol.get(f"/hub/accept-share?code={short}")).status == 404
    assert (await carol.get(f"/hub/accept-share?code={day}")).status == 200
    left = (await ada.api("GET", "share-codes/bob")).json["items"]
    assert len(left) == 1
    machine.hub.housekeeping.purge()
    with machine.hub.db.session() as session:
        assert len(session.scalars(select(ShareCode.id)).all()) == 1
    assert (await ada.api("DELETE", f"share-codes/bob/?id={left[0]['id']}")).status == 204
    other, third = await code_of(ada), await code_of(ada)
    assert (await ada.api("DELETE", f"share-codes/bob/?code={other}")).status == 204
    assert (await carol.get(f"/hub/accept-share?code={other}")).status == 404
    assert (await ada.api("DELETE", "share-codes/bob/")).status == 204
    assert (await carol.get(f"/hub/accept-share?code={third}")).status == 404


async def test_a_server_has_no_more_codes_than_anybody_needs(
    ada: Browser, carol: Browser, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.hub.share_codes._CODES", 2)
    await code_of(ada, expires_in=60)
    await code_of(ada)
    refused = await ada.api("POST", "share-codes/bob/", {})
    assert (refused.status, "2 already" in refused.json["message"]) == (400, True)
    clock.pass_time(61)
    await code_of(ada)


async def test_the_whole_way_into_a_shared_server(
    machine: Machine, ada: Browser, carol: Browser
) -> None:
    ask = "/hub/api/oauth2/authorize?" + urlencode(
        {"client_id": "jupyterhub-user-bob", "redirect_uri": "/user/bob/oauth_callback",
         "response_type": "code", "state": "s"}
    )  # fmt: skip
    assert (await carol.get(ask)).status == 403
    code = await code_of(ada)
    page = await carol.get(f"/hub/accept-share?code={code}")
    await carol.post("/hub/accept-share", hidden_fields(page.body))

    asked = await carol.get(ask)
    assert asked.status == 200
    fields = [*hidden_fields(asked.body), ("answer", "yes")]
    back = await carol.post(ask, fields)
    assert back.location.startswith("/user/bob/oauth_callback?"), back.body
    form = {
        "client_id": "jupyterhub-user-bob",
        "client_secret": machine.spawner.tokens[BOB],
        "grant_type": "authorization_code",
        "code": parse_qs(urlsplit(back.location).query)["code"][0],
        "redirect_uri": "/user/bob/oauth_callback",
    }
    given = await exchange(
        machine.places.hub_socket, "POST", "/hub/api/oauth2/token",
        {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(form).encode(),
    )  # fmt: skip
    token = given.json["access_token"]
    about = (await machine.token_call(token, "GET", "user")).json
    assert about["name"] == "carol"
    assert USE in about["scopes"]
    # The share's end reaches what it had opened.
    await ada.api("DELETE", "shares/bob/")
    assert USE not in (await machine.token_call(token, "GET", "user")).json["scopes"]
    assert (await carol.get(ask)).status == 403


async def test_scopes_of_the_configuration_can_be_shared(tmp_path: Path) -> None:
    settings = {
        "custom_scopes": {"custom:marks": {"description": "Read the marks"}},
        "roles": {"sharers": {"scopes": ["shares!user", "custom:marks"], "users": ["bob"]}},
        "signup": {"mode": "open"},
    }
    async with Machine(tmp_path, config=Config.model_validate(settings)) as machine:
        await machine.root("POST", "users", {"usernames": ["bob"]})
        token = (await machine.root("POST", "users/bob/tokens", {})).json["token"]
        made = await machine.token_call(
            token, "POST", "share-codes/bob/", {"scopes": ["access:servers", "custom:marks"]}
        )
        assert made.status == 200, made.body
        unknown = {"scopes": ["custom:other"]}
        assert (await machine.token_call(token, "POST", "share-codes/bob/", unknown)).status == 400
        carol = machine.browser()
        await carol.sign_up("carol", STUDENT_PASSWORD)
        await carol.log_in("carol", STUDENT_PASSWORD)
        page = await carol.get(made.json["accept_url"])
        assert "Read the marks" in page.body
        await carol.post("/hub/accept-share", hidden_fields(page.body))
        scopes = (await carol.api("GET", "user")).json["scopes"]
        assert {USE, "custom:marks!server=bob/"} <= set(scopes)
