"""The pages, by plain requests: where they lead, who may see them, what their forms do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from appliance.config.schema import Config
from appliance.errors import SpawnFailed
from appliance.hub.states import ServerState
from appliance.names import ServerId, Username
from tests.fakes.front_door import PASSWORD, machine_with_people
from tests.fakes.hub_machine import Answer, Browser, Machine

BOB = ServerId(Username("bob"))


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    async with machine_with_people() as made:
        yield made


@pytest.fixture
async def ada(machine: Machine) -> Browser:
    return await logged_in(machine, "ada")


@pytest.fixture
async def bob(machine: Machine) -> Browser:
    return await logged_in(machine, "bob")


async def logged_in(machine: Machine, name: str) -> Browser:
    browser = machine.browser()
    answer = await browser.log_in(name, PASSWORD)
    assert answer.status == 302, answer.body
    return browser


async def note(browser: Browser, answer: Answer) -> str:
    """The note on the page that an action leads to."""
    assert answer.status == 302, answer.body
    page = await browser.get(answer.location)
    found = re.search(r'<div class="note (\w+)" role="status"><p>(.*?)</p>', page.body)
    return f"{found[1]}: {found[2]}" if found else ""


async def until(machine: Machine, server: ServerId, state: ServerState) -> None:
    async with asyncio.timeout(10):
        while machine.hub.servers.view(server).state is not state:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


# Ways in


async def test_visitors_are_led_to_log_in_and_back(machine: Machine) -> None:
    visitor = machine.browser()
    assert (await visitor.get("/")).location == "/hub/"
    assert (await visitor.get("/hub/home")).location == "/hub/login?next=%2Fhub%2Fhome"
    answer = await visitor.log_in("bob", PASSWORD, then="/hub/password")
    assert answer.location == "/hub/password"


async def test_users_go_on_to_their_server_and_admins_to_the_home_page(
    bob: Browser, ada: Browser
) -> None:
    assert (await bob.get("/hub/")).location == "/hub/spawn"
    assert (await ada.get("/hub/")).location == "/hub/home"


@pytest.mark.parametrize(
    "goal", ["//evil.example/", "https://evil.example/", "/\\evil.example", "/%2fevil.example"]
)
async def test_nobody_is_sent_to_another_site(machine: Machine, goal: str) -> None:
    answer = await machine.browser().log_in("bob", PASSWORD, then=goal)
    assert answer.location == "/hub/spawn"


async def test_unknown_names_and_wrong_passwords_look_the_same(machine: Machine) -> None:
    pages = []
    for name in ("bob", "nobody-here"):
        answer = await machine.browser().log_in(name, "wrong-lake-2000")
        assert answer.status == 403
        body = answer.body.replace(name, "NAME")
        pages.append(re.sub(r'name="_xsrf" value="[^"]+"', "", body))
    assert pages[0] == pages[1]


async def test_a_log_in_form_that_was_open_for_too_long_is_shown_again(machine: Machine) -> None:
    visitor = machine.browser()
    await visitor.get("/hub/login")
    answer = await visitor.post("/hub/login", {"_xsrf": "old", "username": "bob"})
    assert answer.status == 403
    assert "open for too long" in answer.body
    assert 'value="bob"' in answer.body


async def test_waiting_people_learn_what_happens_next(machine: Machine) -> None:
    visitor = machine.browser()
    answer = await visitor.sign_up("nina", PASSWORD)
    assert answer.location == "/hub/signup/waiting?username=nina"
    assert "Thank you, nina" in (await visitor.get(answer.location)).body
    refused = await visitor.log_in("nina", PASSWORD)
    assert "waits for" in refused.body


@pytest.mark.parametrize(
    ("name", "password", "place"),
    [
        ("Zoë", PASSWORD, "username-error"),
        ("root", PASSWORD, "username-error"),
        ("bob", PASSWORD, "username-error"),
        ("nina", "short", "password-error"),
        ("nina", "x" * 73, "password-error"),
        ("nina", "nina-nina-nina", "password-error"),
    ],
)
async def test_sign_up_says_at_the_field_what_is_wrong(
    machine: Machine, name: str, password: str, place: str
) -> None:
    answer = await machine.browser().sign_up(name, password)
    assert answer.status in {400, 409}
    text = re.search(rf'<p class="wrong" id="{place}"[^>]*>(.+?)</p>', answer.body)
    assert text
    assert text[1].strip()


async def test_closed_sign_up_says_whom_to_ask() -> None:
    config = Config.model_validate({"signup": {"mode": "closed"}})
    async with machine_with_people(config) as machine:
        visitor = machine.browser()
        assert "Sign-up is closed" in (await visitor.get("/hub/signup")).body
        assert "signup" not in (await visitor.get("/hub/login")).body
        assert (await visitor.sign_up("nina", PASSWORD)).status == 403
        assert machine.hub.users.find("nina") is None


async def test_a_join_code_lets_people_in_at_once() -> None:
    config = Config.model_validate({"signup": {"mode": "code", "code": "blue-tree-42"}})
    async with machine_with_people(config) as machine:
        visitor = machine.browser()
        wrong = await visitor.sign_up("nina", PASSWORD, code="red-tree")
        assert 'id="code-error"' in wrong.body
        right = await visitor.sign_up("nina", PASSWORD, code="BLUE-tree-42")
        assert await note(visitor, right) == "good: Welcome, nina. Your account is ready."


async def test_logging_out_needs_a_form_only_when_another_site_asks(bob: Browser) -> None:
    asked = await bob.get("/hub/logout", site="cross-site")
    assert asked.status == 200
    assert (await bob.get("/hub/home")).status == 200
    assert (await bob.get("/hub/logout")).location == "/hub/login"
    assert (await bob.get("/hub/home")).status == 302


async def test_changing_the_password_keeps_this_session_and_ends_the_others(
    machine: Machine, bob: Browser
) -> None:
    other = await logged_in(machine, "bob")
    await bob.get("/hub/password")
    wrong = await bob.post("/hub/password", {"old": "no", "password": "green-hill-2000"})
    assert wrong.status == 403
    done = await bob.post("/hub/password", {"old": PASSWORD, "password": "green-hill-2000"})
    assert await note(bob, done) == "good: Your password is changed."
    assert (await other.get("/hub/home")).status == 302


async def test_a_generated_password_must_be_changed_first(machine: Machine) -> None:
    password = await machine.hub.authenticator.generate_for(Username("carol"))
    carol = machine.browser()
    await carol.log_in("carol", password)
    led = await carol.get("/hub/home")
    assert led.location == "/hub/password?next=%2Fhub%2Fhome"
    form = await carol.get(led.location)
    assert "The password that was made for you has worked" in form.body
    done = await carol.post(led.location, {"old": password, "password": PASSWORD})
    assert done.location == "/hub/home"


async def test_a_set_up_link_works_once(machine: Machine) -> None:
    path = machine.hub.links.make(Username("carol")).path
    visitor = machine.browser()
    assert "carol" in (await visitor.get(path)).body
    token = path.partition("token=")[2]
    weak = await visitor.post("/hub/setup", {"token": token, "password": "carol"})
    assert weak.status == 400
    done = await visitor.post("/hub/setup", {"token": token, "password": "green-hill-2000"})
    assert await note(visitor, done) == "good: Welcome, carol. Your password is set."
    again = await machine.browser().get(path)
    assert again.status == 404
    assert "no longer works" in again.body


# Servers


async def test_a_deep_link_to_a_stopped_server_goes_on_to_where_it_pointed(
    machine: Machine, bob: Browser
) -> None:
    link = "/user/bob/lab/tree/week%201/a.ipynb?reset=1&x=%2F"
    assert (await bob.get(link)).location == f"/hub{link}"
    page = await bob.get(f"/hub{link}")
    assert page.status == 424
    [action] = re.findall(r'action="(/hub/spawn/bob[^"]+)"', page.body)
    assert (await bob.post(action, {})).location == link


async def test_scripts_hear_that_a_server_is_gone(machine: Machine, bob: Browser) -> None:
    for answer in (
        await bob.get("/hub/user/bob/api/kernels", mode="cors"),
        await bob.get("/hub/user/bob/x", mode="cors", Accept="application/json"),
        await bob.request("POST", "/user/bob/api/kernels", b"{}", mode="cors"),
        await machine.browser().get("/hub/user/bob/api/status", mode="cors"),
    ):
        assert answer.status == 424
        assert "no longer running" in answer.json["message"]


async def test_other_peoples_servers_and_unknown_ones_look_the_same(bob: Browser) -> None:
    pages = [await bob.get(f"/hub/user/{name}/lab") for name in ("carol", "nobody", "A%00b")]
    assert [page.status for page in pages] == [404, 404, 404]


@pytest.mark.parametrize("path", ["/user/bob", "/user/bob?x=1"])
async def test_a_missing_slash_is_added(bob: Browser, path: str) -> None:
    answer = await bob.get(path)
    assert answer.status == 301
    assert answer.location == path.replace("/user/bob", "/user/bob/")


@pytest.mark.parametrize("path", ["//evil.example/x", "/\\evil.example", "///evil.example"])
async def test_addresses_outside_never_lead_to_another_site(machine: Machine, path: str) -> None:
    answer = await machine.browser().get(path)
    assert answer.location.startswith("/hub/evil.example")


async def test_following_a_link_starts_ones_own_server_and_goes_on(
    machine: Machine, bob: Browser
) -> None:
    answer = await bob.get("/user/bob/lab")
    answer = await bob.get("/hub/user-redirect/lab/tree/x?y=1", site="cross-site")
    assert answer.location == "/hub/spawn/bob?next=%2Fuser%2Fbob%2Flab%2Ftree%2Fx%3Fy%3D1"
    answer = await bob.get(answer.location, site="cross-site", Sec_Fetch_Dest="document")
    assert answer.location == "/user/bob/lab/tree/x?y=1"
    assert machine.hub.servers.view(BOB).ready


async def test_an_image_starts_nothing(machine: Machine, bob: Browser) -> None:
    answer = await bob.get("/hub/spawn/bob", Sec_Fetch_Dest="image")
    assert answer.status == 200
    assert machine.spawner.starts == 0


async def test_admins_are_asked_before_a_link_starts_somebody_elses_server(
    machine: Machine, ada: Browser
) -> None:
    page = await ada.get("/hub/spawn/bob")
    assert "Start the server of bob?" in page.body
    assert machine.spawner.starts == 0
    assert (await ada.post("/hub/spawn/bob", {})).location == "/user/bob/"


async def test_users_cannot_start_somebody_elses_server(machine: Machine, bob: Browser) -> None:
    for answer in (await bob.get("/hub/spawn/carol"), await bob.post("/hub/spawn/carol", {})):
        assert answer.status == 404
    assert machine.spawner.starts == 0


async def test_the_pending_page_waits_with_the_user(machine: Machine, bob: Browser) -> None:
    machine.spawner.delay = 2.0
    answer = await bob.get("/hub/spawn?next=/user/bob/lab")
    assert answer.location == "/hub/spawn-pending/bob?next=%2Fuser%2Fbob%2Flab"
    page = await bob.get(answer.location)
    assert "Your server is starting" in page.body
    assert '<noscript><meta http-equiv="refresh"' in page.body
    [stream] = re.findall(r'data-progress="([^"]+)"', page.body)
    events = await bob.get(stream, mode="cors")
    assert '"ready": true' in events.body
    assert (await bob.get(answer.location)).location == "/user/bob/lab"


async def test_a_failed_start_says_why_and_shows_admins_the_log(
    machine: Machine, bob: Browser, ada: Browser
) -> None:
    machine.spawner.failure = SpawnFailed(
        "cannot start the server of 'bob'",
        why="the home <folder> is full",
        mend="delete some files",
        log=("secret line",),
    )
    answer = await bob.get("/hub/spawn")
    page = await bob.get(answer.location)
    assert page.status == 500
    assert "The home &lt;folder&gt; is full." in page.body
    assert "Delete some files." in page.body
    assert "secret line" not in page.body
    assert "secret line" in (await ada.get("/hub/spawn-pending/bob")).body
    assert "did not start" in (await bob.get("/hub/home")).body


async def test_stopping_ones_server_needs_the_form(machine: Machine, bob: Browser) -> None:
    await bob.get("/hub/spawn")
    await until(machine, BOB, ServerState.READY)
    refused = await bob.post("/hub/home/stop", {"_xsrf": "guessed"})
    assert refused.status == 403
    assert "open for too long" in refused.body
    assert (await bob.request("GET", "/hub/home/stop")).status == 405
    assert machine.hub.servers.view(BOB).ready
    await bob.post("/hub/home/stop", {})
    assert machine.hub.servers.view(BOB).state is ServerState.STOPPED


async def test_the_home_page_does_without_numbers_when_the_spawner_is_silent(
    machine: Machine, bob: Browser
) -> None:
    await bob.get("/hub/spawn")
    await until(machine, BOB, ServerState.READY)
    machine.spawner.unreachable = SpawnFailed("cannot reach the spawner")
    page = await bob.get("/hub/home")
    assert page.status == 200
    assert "Your server is running" in page.body


# Admin


@pytest.mark.parametrize(
    "path",
    ["admin", "admin/add", "admin/users/ada", "admin/users/ada/log", "admin/remove?user=ada"],
)
async def test_admin_pages_are_for_admins(bob: Browser, path: str) -> None:
    assert (await bob.get(f"/hub/{path}")).status == 403


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("admin/actions", {"do": "make-admin bob"}),
        ("admin/add", {"names": "mallory", "admin": "1"}),
        ("admin/users/bob", {"do": "make-admin"}),
        ("admin/users/ada", {"do": "link"}),
        ("admin/users/ada", {"do": "password"}),
        ("admin/remove", {"user": "carol"}),
    ],
)
async def test_users_cannot_do_what_admins_do(
    machine: Machine, bob: Browser, path: str, fields: dict[str, str]
) -> None:
    assert (await bob.post(f"/hub/{path}", fields)).status == 403
    assert not machine.hub.users.get("bob").admin
    assert machine.hub.users.find("mallory") is None
    assert machine.hub.users.find("carol")


async def test_several_people_are_approved_at_once(machine: Machine, ada: Browser) -> None:
    await machine.hub.users.create_many(["nina", "olaf"], approved=False)
    page = await ada.get("/hub/admin?show=waiting")
    assert page.body.count("Choose nina") == 1
    answer = await ada.post(
        "/hub/admin/actions?show=waiting", [("do", "approve"), ("user", "nina"), ("user", "olaf")]
    )
    assert await note(ada, answer) == "good: 2 users are approved and can log in now."
    assert answer.location == "/hub/admin?show=waiting"
    assert not machine.hub.users.counts().waiting


async def test_one_that_fails_does_not_keep_the_others(machine: Machine, ada: Browser) -> None:
    answer = await ada.post(
        "/hub/admin/actions", [("do", "start"), ("user", "nobody"), ("user", "bob")]
    )
    told = await note(ada, answer)
    assert told.startswith("bad: The server of bob is starting.")
    assert "nobody" in told
    await until(machine, BOB, ServerState.READY)


async def test_nothing_chosen_says_so(ada: Browser) -> None:
    answer = await ada.post("/hub/admin/actions", {"do": "approve"})
    assert await note(ada, answer) == "warn: Choose users in the list first."


async def test_a_link_to_choose_a_password_is_shown_once(machine: Machine, ada: Browser) -> None:
    answer = await ada.post("/hub/admin/users/bob", {"do": "link"})
    page = await ada.get(answer.location)
    [link] = re.findall(r'<p class="once"[^>]*>http://hub\.test(.+?)</p>', page.body)
    assert (await machine.browser().get(link)).status == 200
    assert "once" not in (await ada.get("/hub/admin/users/bob")).body.split("<main")[1]


async def test_removing_asks_once_more(machine: Machine, ada: Browser) -> None:
    answer = await ada.post(
        "/hub/admin/actions", [("do", "remove"), ("user", "bob"), ("user", "carol")]
    )
    page = await ada.get(answer.location)
    assert "Remove 2 users?" in page.body
    assert machine.hub.users.find("bob")
    done = await ada.post("/hub/admin/remove", [("user", "bob"), ("user", "carol")])
    assert await note(ada, done) == "good: 2 users are removed."
    assert machine.hub.users.find("bob") is None


async def test_admins_cannot_take_their_own_rights_away(machine: Machine, ada: Browser) -> None:
    for fields in ({"do": "unmake-admin"}, {"do": "remove"}):
        answer = await ada.post("/hub/admin/users/ada", fields)
        assert (await note(ada, answer)).startswith("bad: ")
    assert machine.hub.users.get("ada").admin


async def test_hundreds_of_users_come_in_pages_and_are_found_by_name(
    machine: Machine, ada: Browser
) -> None:
    await machine.hub.users.create_many([f"pupil{n:03}" for n in range(120)])
    first = await ada.get("/hub/admin")
    assert "1 to 50 of 123" in first.body
    last = await ada.get("/hub/admin?page=99")
    assert "101 to 123 of 123" in last.body
    found = await ada.get("/hub/admin?search=PUPIL07")
    assert "1 to 10 of 10" in found.body
    assert "No user has" in (await ada.get("/hub/admin?search=%3Cb%3E")).body


async def test_the_list_shows_who_runs(machine: Machine, ada: Browser, bob: Browser) -> None:
    assert "No server runs" in (await ada.get("/hub/admin?show=running")).body
    await bob.get("/hub/spawn")
    await until(machine, BOB, ServerState.READY)
    page = await ada.get("/hub/admin?show=running")
    assert "1 to 1 of 1" in page.body
    assert "Stop the server of bob" in page.body
    assert "a line of the log" in (await ada.get("/hub/admin/users/bob/log")).body


# Errors


async def test_error_pages_lead_on(bob: Browser) -> None:
    page = await bob.get("/hub/nowhere/%3Cscript%3E")
    assert page.status == 404
    assert "What you can do" in page.body
    assert "/hub/home" in page.body
    assert "<script>" not in page.body


@pytest.mark.parametrize("status", [400, 403, 404, 413, 429, 500, 502, 503, 504])
async def test_the_proxy_gets_bodies_for_its_errors(machine: Machine, status: int) -> None:
    page = await machine.browser().get(f"/hub/error/{status}")
    assert page.status == 200
    assert f">{status}<" in page.body


async def test_pages_allow_nothing_from_elsewhere_and_have_nothing_inline(
    machine: Machine, ada: Browser
) -> None:
    for path in ("home", "admin", "admin/add", "password", "admin/users/bob", "nowhere"):
        page = await ada.get(f"/hub/{path}")
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"
        assert not re.search(r"<script(?! type=\"module\" src=)|<style| style=| on\w+=", page.body)
        assert not re.search(r'(?:src|href|action)="(?!/hub/|#main"|")', page.body)
