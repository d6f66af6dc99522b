"""Named servers on the pages, by plain requests: made, started, stopped, forgotten, and refused."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

from appliance.config.schema import Config
from appliance.errors import SpawnFailed
from appliance.hub.states import ServerState
from appliance.names import ServerId, ServerName, Username
from tests.component.test_pages import logged_in, note, until
from tests.fakes.front_door import machine_with_people
from tests.fakes.hub_machine import Browser, Machine

EXAM = ServerId(Username("bob"), ServerName("exam"))


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    """Its users may have two named servers each."""
    config = Config.model_validate({"servers": {"named_limit": 2}})
    async with machine_with_people(config) as made:
        yield made


@pytest.fixture
async def bob(machine: Machine) -> Browser:
    browser = await logged_in(machine, "bob")
    await browser.get("/hub/home")
    return browser


async def add(browser: Browser, name: str, display_name: str = "") -> str:
    fields = {"name": name, "display_name": display_name}
    answer = await browser.post("/hub/home/servers", fields)
    assert answer.status == 302, answer.body
    return answer.location


async def test_a_named_server_is_made_started_stopped_and_forgotten(
    machine: Machine, bob: Browser
) -> None:
    assert await add(bob, "Exam", "Biology, term 2") == "/hub/spawn-pending/bob/exam"
    await until(machine, EXAM, ServerState.READY)
    assert (await bob.get("/hub/spawn-pending/bob/exam")).location == "/user/bob/exam/"
    page = (await bob.get("/hub/home")).body
    assert "<strong>Biology, term 2</strong> <code>exam</code>" in page
    assert "1 of 2" in page
    assert 'href="/user/bob/exam/lab"' in page
    running = await note(bob, await bob.post("/hub/home/forget", {"server": "exam"}))
    assert running == "bad: Cannot forget the server bob/exam: it is running. Stop it first."
    await bob.post("/hub/home/stop", {"server": "exam"})
    assert machine.hub.servers.view(EXAM).state is ServerState.STOPPED
    assert not machine.hub.servers.view(ServerId(Username("bob"))).active
    told = await note(bob, await bob.post("/hub/home/forget", {"server": "exam"}))
    assert told == "good: “Biology, term 2” is off the list. Your files are still there."
    assert not machine.hub.servers.known(EXAM)


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"name": ""}, "name"),
        ({"name": "9lives"}, "name"),
        ({"name": "a--b"}, "name"),
        ({"name": "x" * 31}, "name"),
        ({"name": "<b>"}, "name"),
        ({"name": "../../etc"}, "name"),
        ({"name": "exam", "display_name": "x" * 256}, "display_name"),
        ({"name": "exam", "display_name": "two\nlines"}, "display_name"),
        ({"name": "exam", "display_name": "two  blanks"}, "display_name"),
    ],
)
async def test_mistakes_are_told_at_the_field(
    machine: Machine, bob: Browser, fields: dict[str, str], place: str
) -> None:
    page = await bob.post("/hub/home/servers", fields)
    assert page.status == 400
    assert re.search(rf'<p class="wrong" id="{place}-error">[^<]+</p>', page.body)
    assert "<b>" not in page.body
    assert len(machine.hub.servers.of_user(Username("bob"))) == 1


async def test_the_same_name_twice_and_one_too_many_are_refused(
    machine: Machine, bob: Browser
) -> None:
    await add(bob, "exam")
    again = await bob.post("/hub/home/servers", {"name": "exam"})
    assert again.status == 409
    assert "There is such a server already." in again.body
    await add(bob, "two")
    full = await bob.get("/hub/home")
    assert "2 of 2" in full.body
    assert "Add a server" not in full.body
    third = await bob.post("/hub/home/servers", {"name": "three"})
    assert third.status == 400
    for answer in (
        await bob.get("/hub/spawn/bob/three"),
        await bob.post("/hub/spawn/bob/three", {}),
        await bob.api("POST", "users/bob/servers/three", {}),
    ):
        assert answer.status == 400
        assert "may have 2 named servers" in answer.body


async def test_nothing_is_said_of_named_servers_where_there_are_none(
    machine: Machine, bob: Browser
) -> None:
    assert "More servers" in (await bob.get("/hub/home")).body
    machine.hub.servers.named_limit = 0
    assert "More servers" not in (await bob.get("/hub/home")).body
    refused = await bob.get("/hub/spawn/bob/exam")
    assert refused.status == 400
    assert "Named servers are turned off." in refused.body


async def test_a_server_from_before_the_limit_stays_usable(machine: Machine, bob: Browser) -> None:
    await add(bob, "exam")
    await until(machine, EXAM, ServerState.READY)
    await bob.post("/hub/home/stop", {"server": "exam"})
    machine.hub.servers.named_limit = 0
    assert "<strong>exam</strong>" in (await bob.get("/hub/home")).body
    assert (await bob.post("/hub/spawn/bob/exam", {})).location == "/user/bob/exam/"


@pytest.mark.parametrize("server", ["nowhere", "Bad Name", "", "../x"])
async def test_only_servers_that_there_are_can_be_forgotten(bob: Browser, server: str) -> None:
    answer = await bob.post("/hub/home/forget", {"server": server})
    assert answer.status in {302, 400, 404}
    if answer.status == 302:
        assert (await note(bob, answer)).startswith("bad: Cannot forget your server")


# Admins


async def test_admins_see_and_work_peoples_named_servers(machine: Machine, bob: Browser) -> None:
    await add(bob, "exam", "<i>Biology</i>")
    await until(machine, EXAM, ServerState.READY)
    ada = await logged_in(machine, "ada")
    assert '<div class="named">exam' in (await ada.get("/hub/admin?show=running")).body
    page = await ada.get("/hub/admin/users/bob")
    assert "&lt;i&gt;Biology&lt;/i&gt;" in page.body
    assert "a line of the log" in (await ada.get("/hub/admin/users/bob/log?server=exam")).body
    path = "/hub/admin/users/bob"
    told = await note(ada, await ada.post(path, {"do": "forget", "server": "exam"}))
    assert told == "bad: Cannot forget the server bob/exam: it is running. Stop it first."
    told = await note(ada, await ada.post(path, {"do": "stop", "server": "exam"}))
    assert told == "good: The server bob/exam is stopping."
    await until(machine, EXAM, ServerState.STOPPED)
    await ada.post(path, {"do": "start", "server": "exam"})
    await until(machine, EXAM, ServerState.READY)
    await ada.post(path, {"do": "stop", "server": "exam"})
    told = await note(ada, await ada.post(path, {"do": "forget", "server": "exam"}))
    assert told == "good: The server bob/exam is off the list; files stay."


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"do": "explode", "server": "exam"}, 400),
        ({"do": "start", "server": "nowhere"}, 404),
        ({"do": "start", "server": "../x"}, 400),
    ],
)
async def test_admins_mistakes_with_named_servers_are_told(
    machine: Machine, bob: Browser, fields: dict[str, str], status: int
) -> None:
    await add(bob, "exam")
    ada = await logged_in(machine, "ada")
    await ada.get("/hub/admin/users/bob")
    assert (await ada.post("/hub/admin/users/bob", fields)).status == status
    assert (await bob.post("/hub/admin/users/bob", fields)).status == 403


# The start pages


async def test_a_link_starts_a_named_server_with_title_and_options_and_goes_on(
    machine: Machine, bob: Browser
) -> None:
    goal = "/user/bob/exam/lab/tree/x?y=1"
    query = f"display_name=Biology&opt-image=a&opt-image=b&size=1&next={quote(goal, safe='')}"
    answer = await bob.get(f"/hub/spawn/bob/exam?{query}")
    assert answer.location == goal
    view = machine.hub.servers.view(EXAM)
    assert view.display_name == "Biology"
    assert view.options == {"image": ["a", "b"]}


@pytest.mark.parametrize(
    ("query", "options"),
    [("size=1&kind=x", {"size": ["1"], "kind": ["x"]}), ("", {}), ("next=/hub/home", {})],
)
async def test_options_without_the_prefix_count_if_none_has_it(
    machine: Machine, bob: Browser, query: str, options: dict[str, list[str]]
) -> None:
    assert (await bob.get(f"/hub/spawn/bob/exam?{query}")).status == 302
    assert machine.hub.servers.view(EXAM).options == options


async def test_a_forms_options_and_files_are_kept(machine: Machine, bob: Browser) -> None:
    body = (
        f'--B\r\nContent-Disposition: form-data; name="_xsrf"\r\n\r\n{bob.xsrf}\r\n'
        '--B\r\nContent-Disposition: form-data; name="size"\r\n\r\n2\r\n'
        '--B\r\nContent-Disposition: form-data; name="notes"; filename="a.txt"\r\n'
        "Content-Type: text/plain\r\n\r\nhello\r\n--B--\r\n"
    )
    kind = "multipart/form-data; boundary=B"
    answer = await bob.request("POST", "/hub/spawn/bob/exam", body.encode(), Content_Type=kind)
    assert answer.status == 302, answer.body
    assert machine.hub.servers.view(EXAM).options == {
        "size": ["2"],
        "notes_file": [{"filename": "a.txt", "content_type": "text/plain", "body": "hello"}],
    }


async def test_options_for_a_server_that_runs_are_refused_and_not_lost(
    machine: Machine, bob: Browser
) -> None:
    await bob.get("/hub/spawn/bob/exam")
    await until(machine, EXAM, ServerState.READY)
    assert (await bob.post("/hub/spawn/bob/exam", {"opt-size": "2"})).status == 400
    assert (await bob.post("/hub/spawn/bob/exam", {})).location == "/user/bob/exam/"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("spawn/bob/Bad", 400),
        ("spawn/bob/-x", 400),
        ("spawn/bob/a%00b", 400),
        (f"spawn/bob/{'x' * 31}", 400),
        ("spawn/bob/exam?opt-=1", 422),
        ("spawn/bob/exam?display_name=a%0Ab", 400),
        (f"spawn/bob/exam?opt-x={'y' * 17000}", 400),
        ("spawn/nobody", 404),
        ("spawn/nobody/exam", 404),
        ("spawn/carol/exam", 404),
        ("spawn-pending/bob/exam", 404),
        ("spawn-pending/bob/Bad", 400),
        ("spawn-pending/carol/exam", 404),
    ],
)
async def test_what_cannot_be_started_says_so(
    machine: Machine, bob: Browser, path: str, status: int
) -> None:
    assert (await bob.get(f"/hub/{path}")).status == status
    if path.startswith("spawn/"):
        assert (await bob.post(f"/hub/{path}", {})).status == status
    assert machine.spawner.starts == 0


async def test_another_sites_link_makes_no_new_server_without_asking(
    machine: Machine, bob: Browser
) -> None:
    link = "/hub/spawn/bob/exam?opt-size=2&next=%2Fuser%2Fbob%2Fexam%2Flab"
    page = await bob.get(link, site="cross-site", Sec_Fetch_Dest="document")
    assert page.status == 200
    assert "Start your server “exam”?" in page.body
    assert machine.spawner.starts == 0
    [action] = re.findall(r'action="(/hub/spawn/bob/exam[^"]*)"', page.body)
    answer = await bob.post(action.replace("&amp;", "&"), {})
    assert answer.location == "/user/bob/exam/lab"
    assert machine.hub.servers.view(EXAM).options == {"size": ["2"]}


async def test_a_named_server_that_failed_says_why_where_it_is_listed(
    machine: Machine, bob: Browser
) -> None:
    machine.spawner.failure = SpawnFailed("cannot start it", why="the home folder is full")
    await add(bob, "exam")
    await until(machine, EXAM, ServerState.FAILED)
    page = await bob.get("/hub/spawn-pending/bob/exam")
    assert page.status == 500
    assert "Your server “exam” did not start" in page.body
    assert "The home folder is full." in (await bob.get("/hub/home")).body


async def test_a_stopped_named_server_is_offered_at_its_address(
    machine: Machine, bob: Browser
) -> None:
    await bob.get("/hub/spawn/bob/exam")
    await until(machine, EXAM, ServerState.READY)
    await bob.post("/hub/home/stop", {"server": "exam"})
    page = await bob.get("/hub/user/bob/exam/lab/tree/a.ipynb")
    assert page.status == 424
    assert "Your server “exam” is not running" in page.body
    [action] = re.findall(r'action="(/hub/spawn/bob/exam[^"]*)"', page.body)
    assert (await bob.post(action, {})).location == "/user/bob/exam/lab/tree/a.ipynb"
