"""One's own account: name, language, sessions; and how others help somebody in again."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from appliance.config.schema import Config
from appliance.names import ServerId, Username
from tests.component.hub.conftest import PASSWORD, STUDENT_PASSWORD
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Browser, Machine

ACCOUNT = "/hub/account"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"
)


async def log_in(machine: Machine, name: str, password: str, *, user_agent: str) -> Browser:
    """With a browser that says what it is, which its token is bound to."""
    browser = machine.browser()
    plain = browser.request

    async def as_itself(method: str, url: str, body: bytes = b"", **more: str) -> object:
        return await plain(method, url, body, **{"User_Agent": user_agent, **more})

    browser.request = as_itself  # type: ignore[method-assign, assignment]
    assert (await browser.log_in(name, password)).status == 302
    return browser


class TestProfile:
    async def test_name_and_language_are_kept(self, machine: Machine, bob: Browser) -> None:
        await bob.get(ACCOUNT)
        fields = {"do": "profile", "full_name": "  Bob   Łukasz\tÖzil ", "language": "fr"}
        assert (await bob.post(ACCOUNT, fields)).status == 302
        page = await bob.get(ACCOUNT)
        assert 'value="Bob Łukasz Özil"' in page.body
        assert '<html lang="fr">' in page.body
        await bob.post(ACCOUNT, {"do": "profile", "full_name": "", "language": ""})
        assert '<html lang="en">' in (await bob.get(ACCOUNT)).body

    @pytest.mark.parametrize(
        "fields",
        [
            {"full_name": "x" * 201, "language": ""},
            {"full_name": "Bob\u202eboB", "language": ""},
            {"full_name": "Bob", "language": "../../etc"},
            {"full_name": "Bob", "language": "xx"},
        ],
    )
    async def test_what_is_refused(
        self, machine: Machine, bob: Browser, fields: dict[str, str]
    ) -> None:
        await bob.get(ACCOUNT)
        answer = await bob.post(ACCOUNT, {"do": "profile", **fields})
        assert answer.status == 400
        profiles = machine.hub.classroom.parts["profiles"]
        profile = profiles.get(Username("bob"))
        assert (profile.full_name, profile.language) == ("", "")

    async def test_html_in_a_name_stays_text(self, machine: Machine, bob: Browser) -> None:
        await bob.get(ACCOUNT)
        await bob.post(ACCOUNT, {"do": "profile", "full_name": '"><b>x', "language": ""})
        assert "&#34;&gt;&lt;b&gt;x" in (await bob.get(ACCOUNT)).body


class TestSessions:
    async def test_each_is_listed_and_can_be_ended(self, machine: Machine, bob: Browser) -> None:
        office = await log_in(machine, "bob", STUDENT_PASSWORD, user_agent=WINDOWS)
        await log_in(machine, "bob", STUDENT_PASSWORD, user_agent=PHONE)
        page = await bob.get(ACCOUNT)
        assert "Firefox on Windows" in page.body
        assert "Safari on iPhone" in page.body
        assert page.body.count("This browser") == 1
        found = (await bob.api("GET", "appliance/users/bob/sessions")).json
        [one] = [one for one in found if one["device"] == "Firefox on Windows"]
        assert (await bob.post(ACCOUNT, {"do": f"end {one['id']}"})).status == 302
        assert (await office.get("/hub/home")).status == 302
        assert (await bob.get("/hub/home")).status == 200
        assert len((await bob.api("GET", "appliance/users/bob/sessions")).json) == 2

    async def test_all_others_end_at_once(self, machine: Machine, bob: Browser) -> None:
        others = [await log_in(machine, "bob", STUDENT_PASSWORD, user_agent=PHONE) for _ in "ab"]
        await bob.get(ACCOUNT)
        assert (await bob.post(ACCOUNT, {"do": "end-others"})).status == 302
        assert "2 other browsers" in (await bob.get(ACCOUNT)).body
        for other in others:
            assert (await other.get("/hub/home")).status == 302

    async def test_ending_one_ends_tokens_got_through_it(
        self, machine: Machine, bob: Browser
    ) -> None:
        await bob.get("/hub/spawn")
        secret = machine.spawner.tokens[ServerId(Username("bob"))]
        client = {"client_id": "jupyterhub-user-bob", "redirect_uri": "/user/bob/oauth_callback"}
        query = urlencode({**client, "response_type": "code", "state": "x"})
        granted = await bob.get(f"/hub/api/oauth2/authorize?{query}")
        code = parse_qs(urlsplit(granted.location).query)["code"][0]
        form = {**client, "client_secret": secret, "grant_type": "authorization_code", "code": code}
        taken = await machine.browser().request(
            "POST", "/hub/api/oauth2/token", urlencode(form).encode(),
            Content_Type="application/x-www-form-urlencoded",
        )  # fmt: skip
        token = taken.json["access_token"]
        assert (await machine.token_call(token, "GET", "user")).status == 200
        [one] = (await bob.api("GET", "appliance/users/bob/sessions")).json
        assert (await bob.api("DELETE", f"appliance/users/bob/sessions/{one['id']}")).status == 204
        assert (await machine.token_call(token, "GET", "user")).status == 403

    async def test_anothers_are_nobodys_business(
        self, machine: Machine, ada: Browser, bob: Browser
    ) -> None:
        [of_ada] = (await ada.api("GET", "appliance/users/ada/sessions")).json
        await bob.get(ACCOUNT)
        await bob.post(ACCOUNT, {"do": f"end {of_ada['id']}"})
        assert (
            await bob.api("DELETE", f"appliance/users/bob/sessions/{of_ada['id']}")
        ).status == 404
        assert (await bob.api("GET", "appliance/users/ada/sessions")).status == 404
        assert (await bob.api("DELETE", "appliance/users/ada/sessions")).status == 404
        assert (await ada.get("/hub/home")).status == 200
        for which in ("", "x", "-1", "9" * 30):
            assert (await bob.post(ACCOUNT, {"do": f"end {which}"})).status == 302

    async def test_a_log_in_begins_a_new_one(self, machine: Machine, bob: Browser) -> None:
        """Who plants a cookie in somebody's browser has nothing of the session that begins."""
        planted = machine.browser()
        planted.jar = {"jupyterhub-session-id": ("planted", "/")}
        await planted.log_in("bob", STUDENT_PASSWORD)
        assert planted.jar["jupyterhub-session-id"][0] != "planted"
        before = dict(bob.jar)
        await bob.get("/hub/login")
        await bob.post("/hub/login", {"username": "bob", "password": STUDENT_PASSWORD})
        for name in ("jupyterhub-hub-login", "jupyterhub-session-id", "_xsrf"):
            assert bob.jar[name] != before[name]
        old = machine.browser()
        old.jar = before
        assert (await old.get("/hub/home")).status == 302

    async def test_a_new_password_ends_the_others(self, machine: Machine, bob: Browser) -> None:
        other = await log_in(machine, "bob", STUDENT_PASSWORD, user_agent=PHONE)
        await bob.get("/hub/password")
        await bob.post("/hub/password", {"old": STUDENT_PASSWORD, "password": "a-lake-in-winter"})
        assert (await other.get("/hub/home")).status == 302
        assert len((await bob.api("GET", "appliance/users/bob/sessions")).json) == 1


@pytest.fixture
async def carol(machine: Machine, ada: Browser, bob: Browser) -> Browser:
    """A teacher of bob's class, but not of eve's."""
    await machine.root("POST", "appliance/users", {"usernames": ["carol", "eve"]})
    await machine.root("PUT", "appliance/users/carol/password", {"password": PASSWORD})
    hub = machine.hub
    classes = hub.classroom.parts["classes"]
    classes.create("physics", title="Physics", teachers=[Username("carol")])
    await machine.root("POST", "groups/physics/users", {"users": ["bob"]})
    browser = machine.browser()
    assert (await browser.log_in("carol", PASSWORD)).status == 302
    return browser


class TestGettingInAgain:
    page = "/hub/users/bob/access"

    async def test_a_teacher_makes_a_link(self, machine: Machine, carol: Browser) -> None:
        await carol.get(self.page)
        made = await carol.post(self.page, {"do": "link", "hours": "1"})
        page = await carol.get(made.location)
        assert page.body.count('class="qr"') == 1
        path = page.body.partition("http://hub.test")[2].partition("<")[0]
        assert path.startswith("/hub/setup?token=")
        # It is shown to who made it, and to nobody else.
        assert "/hub/setup?token=" not in (await carol.get(self.page)).body
        browser = machine.browser()
        await browser.get(path)
        fields = {"token": path.partition("=")[2], "password": "a-lake-in-winter"}
        assert (await browser.post("/hub/setup", fields)).status == 302

    async def test_a_link_ends_when_it_says(
        self, machine: Machine, carol: Browser, clock: FakeClock
    ) -> None:
        url = "appliance/users/bob/setup-link"
        made = await carol.api("POST", url, {"expires_in": 3600})
        assert made.status == 201
        clock.pass_time(3601)
        assert (await machine.browser().get(made.json["path"])).status == 404
        for wrong in (0, 299, 604801, -1, "x", 1.5):
            assert (await carol.api("POST", url, {"expires_in": wrong})).status == 400
        assert (await carol.post(self.page, {"do": "link", "hours": "9999"})).status == 400

    async def test_a_teacher_allows_new_tries(self, machine: Machine, carol: Browser) -> None:
        thief = machine.browser()
        for _ in range(14):
            await thief.log_in("bob", "wrong-guess")
        assert (await thief.log_in("bob", STUDENT_PASSWORD)).status == 429
        assert "Has to wait" in (await carol.get(self.page)).body
        assert (await carol.api("GET", "appliance/users/bob/throttle")).json["wait_seconds"] > 0
        await carol.post(self.page, {"do": "tries"})
        assert "Has to wait" not in (await carol.get(self.page)).body
        assert (await thief.log_in("bob", STUDENT_PASSWORD)).status == 302

    async def test_a_teacher_locks_and_unlocks(
        self, machine: Machine, bob: Browser, carol: Browser
    ) -> None:
        await carol.post(self.page, {"do": "lock"})
        assert "Unlock" in (await carol.get(self.page)).body
        assert (await bob.get("/hub/account")).status == 302, "the session has ended"
        thief = machine.browser()
        assert (await thief.log_in("bob", STUDENT_PASSWORD)).status == 403
        await carol.post(self.page, {"do": "unlock"})
        assert (await thief.log_in("bob", STUDENT_PASSWORD)).status == 302
        assert (await carol.post("/hub/users/carol/access", {"do": "lock"})).status == 404

    @pytest.mark.parametrize(("name", "status"), [("eve", 404), ("nobody", 404), ("ada", 404)])
    async def test_others_are_no_concern_of_a_teachers(
        self, machine: Machine, carol: Browser, name: str, status: int
    ) -> None:
        page = f"/hub/users/{name}/access"
        assert (await carol.get(page)).status == status
        for verb in ("link", "factors", "tries", "sessions", "lock", "unlock"):
            assert (await carol.post(page, {"do": verb})).status == status
        api = f"appliance/users/{name}"
        assert (await carol.api("POST", f"{api}/setup-link", {})).status == 404
        assert (await carol.api("PUT", f"{api}/password", {"generate": True})).status == 404
        for thing in ("factors", "throttle"):
            assert (await carol.api("GET", f"{api}/{thing}")).status == 404
            assert (await carol.api("DELETE", f"{api}/{thing}")).status == 404

    async def test_another_teacher_of_the_class_is_off_limits(
        self, machine: Machine, carol: Browser
    ) -> None:
        await machine.root("POST", "groups/physics/users", {"users": ["ada"]})
        assert (await carol.get("/hub/users/ada/access")).status == 403
        assert (await carol.api("DELETE", "appliance/users/ada/factors")).status == 403
        assert (await carol.api("POST", "appliance/users/ada/setup-link", {})).status == 403

    async def test_students_have_no_such_page(self, machine: Machine, bob: Browser) -> None:
        assert (await bob.get("/hub/users/ada/access")).status == 404
        assert (await bob.get(self.page)).location == ACCOUNT
        assert (await bob.api("DELETE", "appliance/users/bob/factors")).status == 403

    async def test_an_admin_logs_somebody_out(
        self, machine: Machine, ada: Browser, bob: Browser
    ) -> None:
        await ada.get(self.page)
        assert (await ada.post(self.page, {"do": "sessions"})).status == 302
        assert (await bob.get("/hub/home")).status == 302


@pytest.mark.parametrize(
    "config", [Config.model_validate({"passwords": {"second_factor_roles": ["teacher"]}})]
)
async def test_a_role_can_demand_a_second_factor_of_teachers(
    machine: Machine, carol: Browser, ada: Browser
) -> None:
    for path in ("/hub/home", "/hub/users/bob/access", "/hub/classes"):
        assert (await carol.get(path)).location.startswith("/hub/account/second-factor"), path
    assert (await carol.api("POST", "appliance/users/bob/setup-link", {})).status == 403
    assert (await ada.get("/hub/home")).status == 200


@pytest.mark.parametrize(
    ("password", "refusal"),
    [
        ("password123", "It is one of the most common passwords."),
        ("my-zoe-horse", "The user name is in it."),
        ("short", "It has 5 characters, and 8 is the least."),
        ("a-lake-in-winter", ""),
    ],
)
async def test_while_typing_one_hears_what_would_be_refused(
    machine: Machine, password: str, refusal: str
) -> None:
    visitor = machine.browser()
    await visitor.get("/hub/login")
    body = json.dumps({"password": password, "username": "Zoe"}).encode()
    more = {"mode": "cors", "Content_Type": "application/json"}
    asked = await visitor.request(
        "POST", "/hub/password/judge", body, X_XSRFToken=visitor.xsrf, **more
    )
    assert asked.json == {"refusal": refusal}
    assert (await visitor.request("POST", "/hub/password/judge", body, **more)).status == 403
    for odd in (b"", b"[]", b"{}", b'{"password": 1, "username": "x"}', b"\xff", b"[" * 9999):
        found = await visitor.request(
            "POST", "/hub/password/judge", odd, X_XSRFToken=visitor.xsrf, **more
        )
        assert found.status == 400
