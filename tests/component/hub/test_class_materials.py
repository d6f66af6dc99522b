"""Materials of a class: what is in the shared folder, handed out and collected, by page and API."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest

from appliance.errors import SpawnRefused
from appliance.interfaces import HandedOut, Rule
from appliance.names import Username
from tests.component.hub.conftest import PASSWORD
from tests.fakes.hub_machine import Answer, Browser, Machine

PAGE = "/hub/classes/bio/materials"
API = "appliance/classes/bio"


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


async def person(machine: Machine, name: str) -> Browser:
    """Somebody with an account who is logged in."""
    await machine.root("POST", "appliance/users", {"usernames": [name]})
    link = await machine.root("POST", f"appliance/users/{name}/setup-link")
    browser = machine.browser()
    await browser.get(link.json["path"])
    token = link.json["path"].partition("=")[2]
    answer = await browser.post("/hub/setup", {"token": token, "password": PASSWORD})
    assert answer.status == 302
    return browser


@pytest.fixture
async def tess(machine: Machine) -> Browser:
    """The teacher of a class with two students, and files in its shared folder."""
    browser = await person(machine, "tess")
    for name in ("eve", "finn"):
        await machine.root("POST", "appliance/users", {"usernames": [name]})
    classes = machine.hub.classroom.parts["classes"]
    classes.create("bio", title="Biology")
    classes.add_teacher("bio", Username("tess"))
    await add(machine, "eve", "finn")
    machine.spawner.common["bio", "shared/week1/a.ipynb"] = b"notebook"
    machine.spawner.common["bio", "shared/week1/data/b.csv"] = b"1,2"
    return browser


async def add(machine: Machine, *names: str) -> None:
    await machine.root("POST", "groups/bio/users", {"users": list(names)})
    people = machine.hub.classroom.parts["people"]
    await people.changed("bio", joined=[Username(name) for name in names])


def copies(machine: Machine) -> set[str]:
    """Who has the first notebook of the hand-out."""
    return {user for user, path in machine.spawner.homes if path == "bio/week1/a.ipynb"}


def note(answer: Answer) -> str:
    found = re.search(r'class="note[^"]*"[^>]*>(.*?)</div>', answer.body, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", found[1]).split()) if found else ""


async def hand_out(tess: Browser, folder: str = "week1", **fields: str) -> Answer:
    fields = {"do": "hand-out", "folder": folder, "rule": "keep", "latecomers": "1", **fields}
    answer = await tess.post(PAGE, fields)
    assert answer.status == 302
    return await tess.get(answer.location)


async def test_a_folder_is_handed_out_to_everybody(machine: Machine, tess: Browser) -> None:
    page = await tess.get(f"{PAGE}?folder=week1")
    assert "Hand out “week1”" in page.body
    assert "a.ipynb" in page.body
    answer = await hand_out(tess)
    assert "“week1” is on its way to 2 students." in note(answer)
    await until(lambda: copies(machine) == {"eve", "finn"})
    page = await tess.get(PAGE)
    assert "2 of 2 students have it." in page.body
    assert "data-moving" not in page.body


async def test_a_full_home_is_told_and_tried_again(machine: Machine, tess: Browser) -> None:
    machine.spawner.full_homes.add("eve")
    await hand_out(tess)
    await until(lambda: copies(machine) == {"finn"})
    page = await tess.get(PAGE)
    assert "Failed for 1" in page.body
    [number] = set(re.findall(r'href="[^"]*hand-outs/(\d+)"', page.body))
    page = await tess.get(f"{PAGE}/hand-outs/{number}")
    assert "The home is full." in page.body
    machine.spawner.full_homes.clear()
    await tess.post(PAGE, {"do": f"again {number}"})
    await until(lambda: copies(machine) == {"eve", "finn"})


async def test_the_next_start_of_a_server_tries_again(machine: Machine, tess: Browser) -> None:
    machine.spawner.full_homes.add("eve")
    await hand_out(tess)
    await until(lambda: copies(machine) == {"finn"})
    machine.spawner.full_homes.clear()
    await machine.root("POST", "users/eve/server")
    await until(lambda: copies(machine) == {"eve", "finn"})


async def test_who_joins_later_gets_it_too(machine: Machine, tess: Browser) -> None:
    await hand_out(tess)
    await until(lambda: copies(machine) == {"eve", "finn"})
    await machine.root("POST", "appliance/users", {"usernames": ["gil"]})
    await add(machine, "gil")
    await until(lambda: copies(machine) == {"eve", "finn", "gil"})


async def test_who_waits_gets_nothing_before_being_let_in(machine: Machine, tess: Browser) -> None:
    await hand_out(tess)
    await machine.browser().sign_up("hana", PASSWORD)
    await machine.root("POST", "groups/bio/users", {"users": ["hana"]})
    # A hub that begins looks for everybody who was missed.
    await machine.restart()
    await until(lambda: copies(machine) == {"eve", "finn"})
    await machine.root("POST", "appliance/users/hana/approve")
    await add(machine, "hana")
    await until(lambda: copies(machine) == {"eve", "finn", "hana"})


async def test_a_later_hand_out_takes_the_place_for_newcomers(
    machine: Machine, tess: Browser
) -> None:
    await hand_out(tess)
    await hand_out(tess, rule="replace")
    await until(lambda: copies(machine) == {"eve", "finn"})
    listed = (await machine.root("GET", f"{API}/materials")).json["handouts"]
    assert [(one["rule"], one["latecomers"]) for one in listed] == [
        ("replace", True),
        ("keep", False),
    ]


async def test_a_hub_that_restarts_goes_on_where_it_was(machine: Machine, tess: Browser) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()
    whole = machine.spawner.hand_out

    async def slow(name: str, user: Username, folder: str, rule: Rule) -> HandedOut:
        began.set()
        await go_on.wait()
        return await whole(name, user, folder, rule)

    machine.spawner.hand_out = slow  # type: ignore[method-assign]
    await hand_out(tess)
    await began.wait()
    machine.spawner.hand_out = whole  # type: ignore[method-assign]
    await machine.restart()
    await until(lambda: copies(machine) == {"eve", "finn"})
    [listed] = (await machine.root("GET", f"{API}/materials")).json["handouts"]
    assert (listed["done"], listed["waiting"], listed["failed"]) == (2, 0, 0)


async def test_a_student_who_is_removed_meanwhile_leaves_no_trace(
    machine: Machine, tess: Browser
) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()
    whole = machine.spawner.hand_out

    async def slow(name: str, user: Username, folder: str, rule: Rule) -> HandedOut:
        began.set()
        await go_on.wait()
        return await whole(name, user, folder, rule)

    machine.spawner.hand_out = slow  # type: ignore[method-assign]
    await hand_out(tess)
    await began.wait()
    await machine.root("DELETE", "users/eve")
    go_on.set()
    await until(lambda: "finn" in copies(machine))
    [listed] = (await machine.root("GET", f"{API}/materials")).json["handouts"]
    assert (listed["done"], listed["waiting"], listed["failed"]) == (1, 0, 0)


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("", "It has 0 characters"),
        ("..", "begins with a dot"),
        ("week1/../../etc", "begins with a dot"),
        ("shared", "stand for the class"),
        ("week2", "empty"),
        ("a\\b", "backslash"),
    ],
)
async def test_bad_folders_are_refused(tess: Browser, folder: str, why: str) -> None:
    assert why in note(await hand_out(tess, folder))


async def test_another_classs_teacher_is_refused(machine: Machine, tess: Browser) -> None:
    rival = await person(machine, "rita")
    classes = machine.hub.classroom.parts["classes"]
    classes.create("chem")
    classes.add_teacher("chem", Username("rita"))
    answers = [
        await rival.get(PAGE),
        await rival.post(PAGE, {"do": "hand-out", "folder": "week1"}),
        await rival.get(f"{PAGE}/links"),
        await rival.api("GET", f"{API}/materials"),
        await rival.api("POST", f"{API}/handouts", {"folder": "week1"}),
        await rival.api("POST", f"{API}/collections", {"folder": "week1"}),
    ]
    assert [one.status for one in answers] == [404] * 6
    student = await machine.root("GET", "users/eve")
    assert student.json["groups"] == ["bio"]
    assert copies(machine) == set()


async def test_collections_are_dated_and_tell_of_everybody(machine: Machine, tess: Browser) -> None:
    machine.spawner.homes["eve", "bio/week1/a.ipynb"] = b"solved"
    answer = await tess.post(PAGE, {"do": "collect", "folder": "week1", "note": "first try"})
    assert answer.status == 302

    def collected() -> list[str]:
        return [path for _, path in machine.spawner.common if path.startswith("collected/")]

    await until(lambda: bool(collected()))
    [path] = collected()
    assert re.fullmatch(r"collected/week1-\d{4}-\d\d-\d\d-\d{4}/eve/a\.ipynb", path)
    [listed] = (await machine.root("GET", f"{API}/materials")).json["collections"]
    page = await tess.get(f"{PAGE}/collections/{listed['id']}")
    assert "There is no such folder." in page.body
    assert "user-redirect/lab/tree/bio/collected/week1-" in page.body
    assert listed["note"] == "first try"


async def test_a_collection_goes_on_after_a_restart(machine: Machine, tess: Browser) -> None:
    machine.spawner.homes["finn", "bio/week1/a.ipynb"] = b"solved"
    began = asyncio.Event()
    whole = machine.spawner.collect

    async def stuck(*_: object, **__: object) -> dict[Username, object]:
        began.set()
        await asyncio.Event().wait()
        return {}

    machine.spawner.collect = stuck  # type: ignore[method-assign,assignment]
    await machine.root("POST", f"{API}/collections", {"folder": "week1"})
    await began.wait()
    again = await machine.root("POST", f"{API}/collections", {"folder": "week1"})
    assert again.status == 409
    machine.spawner.collect = whole  # type: ignore[method-assign]
    await machine.restart()
    await until(lambda: any(path.endswith("finn/a.ipynb") for _, path in machine.spawner.common))


async def test_files_are_uploaded_in_a_form(machine: Machine, tess: Browser) -> None:
    await tess.get(PAGE)
    body = form(
        ("_xsrf", None, tess.xsrf.encode()),
        ("folder", None, b"week3/"),
        ("file", "größe.txt", b"one\r\n--not the boundary"),
        ("file", "empty.txt", b""),
    )
    answer = await send_form(tess, body)
    assert answer.status == 302
    assert answer.location == f"{PAGE}?folder=week3"
    stored = {p: c for (_, p), c in machine.spawner.common.items() if "week3" in p}
    assert stored == {
        "shared/week3/größe.txt": b"one\r\n--not the boundary",
        "shared/week3/empty.txt": b"",
    }
    assert "2 files are in the shared folder now." in note(await tess.get(answer.location))


async def test_a_form_without_its_token_stores_nothing(machine: Machine, tess: Browser) -> None:
    await tess.get(PAGE)
    before = dict(machine.spawner.common)
    for body in (
        form(("folder", None, b"x"), ("file", "a.txt", b"a"), ("_xsrf", None, tess.xsrf.encode())),
        form(("_xsrf", None, b"nonsense"), ("file", "a.txt", b"a")),
        form(("folder", None, b"x")),
    ):
        assert (await send_form(tess, body)).status == 403
    assert machine.spawner.common == before


async def test_one_file_comes_from_a_script(machine: Machine, tess: Browser) -> None:
    await tess.get(PAGE)

    async def send(query: str, body: bytes) -> Answer:
        return await tess.request(
            "POST", f"{PAGE}/upload?{query}", body, mode="cors",
            Content_Type="application/octet-stream", X_XSRFToken=tess.xsrf,
        )  # fmt: skip

    content = bytes(range(256)) * 20_000
    answer = await send("folder=week1&name=big.bin", content)
    assert (answer.status, answer.json) == (201, {"stored": ["week1/big.bin"]})
    assert machine.spawner.common["bio", "shared/week1/big.bin"] == content
    refused = await send("folder=week1&name=.bashrc", b"x")
    assert refused.status == 400
    assert "begins with a dot" in refused.json["message"]
    machine.spawner.files_failure = SpawnRefused("cannot store the file", why="the disk is full")
    refused = await send("folder=week1&name=a.txt", b"x")
    assert (refused.status, refused.json["message"]) == (
        409,
        "cannot store the file: the disk is full",
    )


async def test_files_come_by_the_api(machine: Machine, tess: Browser) -> None:
    made = await tess.api("POST", "users/tess/tokens", {"scopes": ["classroom!group=bio"]})
    url = f"{API}/files/week4/a.txt"
    answer = await machine.token_call(made.json["token"], "PUT", url, {"a": 1})
    assert (answer.status, answer.json) == (201, {"path": "week4/a.txt", "size": 8})
    listed = await machine.token_call(made.json["token"], "GET", f"{API}/files?folder=week4")
    assert [(one["name"], one["kind"]) for one in listed.json] == [("a.txt", "file")]
    stranger = await machine.root("POST", "users/eve/tokens", {})
    refused = await machine.token_call(stranger.json["token"], "PUT", url, {"b": 1})
    assert refused.status == 403
    assert machine.spawner.common["bio", "shared/week4/a.txt"] == b'{"a": 1}'


async def test_a_class_without_a_teacher_says_so_to_an_admin(
    machine: Machine, ada: Browser
) -> None:
    machine.hub.classroom.parts["classes"].create("lone")
    page = await ada.get("/hub/classes/lone/materials")
    assert page.status == 200
    assert "It has no teacher" in page.body


async def test_nbgrader_is_switched_on_where_it_is_installed(
    machine: Machine, tess: Browser
) -> None:
    refused = await tess.api("PUT", f"{API}/nbgrader", {"on": True})
    assert (refused.status, refused.json["message"].rpartition(": ")[2]) == (
        409,
        "it is not installed",
    )
    page = await tess.get(PAGE)
    assert "appliance env install nbgrader" in page.body
    packages = machine.places.software / "user/lib/python3.11/site-packages"
    (packages / "nbgrader-0.9.6.dist-info").mkdir(parents=True)
    assert (await tess.post(PAGE, {"do": "nbgrader-on"})).status == 302
    assert machine.spawner.courses == {"bio"}
    page = await tess.get(PAGE)
    assert "/hub/user-redirect/formgrader?path=bio/nbgrader" in page.body
    state = await tess.api("PUT", f"{API}/nbgrader", {"on": False})
    assert state.json == {"on": False, "version": "0.9.6", "course": "bio"}
    assert machine.spawner.courses == set()


async def test_links_to_repositories(tess: Browser) -> None:
    query = "repository=https%3A%2F%2Fgit.example%2Fa%2Fcourse.git&branch=main&path=w1&app=lab"
    page = await tess.get(f"{PAGE}/links?{query}")
    assert "urlpath=lab%2Ftree%2Fcourse%2Fw1" in page.body
    assert 'class="qr"' in page.body
    assert (await tess.post(f"{PAGE}/links?{query}", {})).status == 302
    refused = await tess.get(f"{PAGE}/links?repository=ext::sh")
    assert refused.status == 400
    assert "begin with https://" in refused.body


def form(*parts: tuple[str, str | None, bytes]) -> bytes:
    body = b""
    for name, filename, content in parts:
        file = f'; filename="{filename}"' if filename is not None else ""
        head = f'--XyZ\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    return body + b"--XyZ--\r\n"


async def send_form(browser: Browser, body: bytes) -> Answer:
    return await browser.request(
        "POST", f"{PAGE}/upload", body, Content_Type="multipart/form-data; boundary=XyZ"
    )
