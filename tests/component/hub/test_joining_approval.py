"""Who waits to be let in: the queue, decisions of one or two teachers, names that are refused."""

from __future__ import annotations

import asyncio
from unittest import mock

import pytest

from appliance.config.schema import Config
from appliance.errors import SpawnError
from appliance.names import Username
from appliance.web.qr_codes import qr_svg
from tests.component.hub.conftest import STUDENT_PASSWORD
from tests.component.hub.joining_class import (
    TEACHER_PASSWORD,
    JoiningClass,
    joining_class,
    told,
)
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Browser, Machine


@pytest.fixture
async def bio(machine: Machine) -> JoiningClass:
    return await joining_class(machine)


async def _with_waiting(bio: JoiningClass, *names: str) -> str:
    code = await bio.make_code()
    for name in names:
        _, answer = await bio.sign_up(name, code)
        assert "waiting" in answer.location
    return code


async def test_many_are_approved_at_once_on_the_page(bio: JoiningClass) -> None:
    await _with_waiting(bio, "maya", "noah", "lena")
    page = await bio.frida.get("/hub/classes/bio/joining")
    assert "3 people wait to be let in" in page.body
    sent = [("do", "approve"), ("user", "maya"), ("user", "noah")]
    answer = await bio.frida.post("/hub/classes/bio/joining/waiting", sent)
    page = await bio.frida.get(answer.location)
    assert "2 people are approved." in page.body
    assert "1 person waits to be let in" in page.body
    await bio.frida.post("/hub/classes/bio/joining/waiting", {"do": "approve lena"})
    assert await bio.waiting() == []
    assert "Nobody waits to be let in" in (await bio.frida.get(answer.location)).body


async def test_turning_away_is_asked_once_more_and_frees_the_name(
    bio: JoiningClass, clock: FakeClock
) -> None:
    code = await _with_waiting(bio, "noah")
    maya, _ = await bio.sign_up("maya", code)
    answer = await bio.frida.post(
        "/hub/classes/bio/joining/waiting", [("do", "reject"), ("user", "maya")]
    )
    page = await bio.frida.get(answer.location)
    assert "Reject 1 sign-up?" in page.body
    assert await bio.waiting() == ["noah", "maya"]
    answer = await bio.frida.post("/hub/classes/bio/joining/reject", {"user": "maya"})
    assert "maya is rejected" in (await bio.frida.get(answer.location)).body
    assert await bio.waiting() == ["noah"]
    assert (await maya.get("/hub/signup/waiting/stage")).json == {"stage": "gone"}
    assert "maya has no account here" in (await maya.get("/hub/signup/waiting")).body
    clock.pass_time(1)
    again, answer = await bio.sign_up("maya", code)
    assert "waiting" in answer.location
    assert (await again.get("/hub/signup/waiting/stage")).json == {"stage": "waiting"}
    # The ticket of the account that is gone is no ticket of the new one.
    assert (await maya.get("/hub/signup/waiting/stage")).json == {"stage": "gone"}


async def test_of_two_teachers_the_second_learns_what_the_first_did(bio: JoiningClass) -> None:
    await _with_waiting(bio, "maya", "noah")
    bio.machine.hub.classroom.parts["classes"].add_teacher("bio", Username("otto"))
    assert (await bio.decide("approve", "maya")).json["done"] == ["maya"]
    assert (await bio.decide("reject", "noah")).json["done"] == ["noah"]
    second = await bio.decide("approve", "maya", "noah", browser=bio.otto)
    assert second.json == {
        "done": [],
        "failed": ["maya was approved already by frida", "noah was rejected already by frida"],
    }
    second = await bio.decide("reject", "maya", browser=bio.otto)
    assert second.json["failed"] == ["maya was approved already by frida"]
    assert await bio.members() == ["maya"]
    page = await bio.otto.post("/hub/classes/bio/joining/waiting", {"do": "approve maya"})
    body = (await bio.otto.get(page.location)).body
    assert "Maya was approved already by frida." in body


async def test_two_teachers_at_the_same_moment(bio: JoiningClass) -> None:
    await _with_waiting(bio, "maya")
    bio.machine.hub.classroom.parts["classes"].add_teacher("bio", Username("otto"))
    answers = await asyncio.gather(
        bio.decide("reject", "maya"), bio.decide("approve", "maya", browser=bio.otto)
    )
    assert sorted(len(answer.json["done"]) for answer in answers) == [0, 1]
    assert await bio.waiting() == []


async def test_only_who_waits_can_be_rejected(bio: JoiningClass, bob: Browser) -> None:
    code = await bio.make_code()
    await bob.api("POST", "appliance/join", {"code": code})
    answer = await bio.decide("reject", "bob", "frida", "nobody")
    assert answer.json["done"] == []
    assert len(answer.json["failed"]) == 3
    assert (await bob.get("/hub/home")).status == 200


async def test_a_locked_account_is_not_let_in_by_approving(bio: JoiningClass, ada: Browser) -> None:
    await _with_waiting(bio, "maya")
    await bio.decide("approve", "maya")
    assert (await ada.api("PUT", "appliance/users/maya/lock")).status == 200
    answer = await bio.decide("approve", "maya")
    assert answer.json["done"] == []
    assert "the account is locked" in answer.json["failed"][0]
    assert (await ada.api("POST", "appliance/users/maya/approve")).status == 409


async def test_a_removal_that_fails_is_no_decision(bio: JoiningClass) -> None:
    await _with_waiting(bio, "maya")
    users = bio.machine.hub.users
    failing = mock.AsyncMock(side_effect=SpawnError("cannot remove", why="the disk is full"))
    with mock.patch.object(users, "remove", failing):
        answer = await bio.decide("reject", "maya")
    assert answer.json["done"] == []
    assert (await bio.decide("approve", "maya")).json["done"] == ["maya"]


async def test_what_strangers_and_other_classes_teachers_are_refused(
    bio: JoiningClass, bob: Browser
) -> None:
    code = await _with_waiting(bio, "maya")
    [invite] = (await bio.frida.api("GET", "appliance/classes/bio/invites")).json
    number = invite["id"]
    pages = [
        ("GET", "joining"), ("POST", "joining/codes"), ("POST", f"joining/codes/{number}/revoke"),
        ("GET", f"joining/codes/{number}/show"), ("GET", f"joining/codes/{number}/count"),
        ("POST", "joining/rules"), ("POST", "joining/waiting"), ("GET", "joining/reject?user=maya"),
        ("POST", "joining/reject"),
    ]  # fmt: skip
    names = {"usernames": ["maya"]}
    requests: list[tuple[str, str, object]] = [
        ("GET", "invites", None), ("POST", "invites", {}), ("GET", f"invites/{number}", None),
        ("DELETE", f"invites/{number}", None), ("GET", "waiting", None),
        ("POST", "waiting/approve", names), ("POST", "waiting/reject", names),
    ]  # fmt: skip
    fields = {"do": "approve", "user": "maya", "expires": "week"}
    for browser, status in ((bio.otto, 404), (bob, 403)):
        for verb, below in pages:
            url = f"/hub/classes/bio/{below}"
            got = await (browser.get(url) if verb == "GET" else browser.post(url, fields))
            assert got.status == status, (verb, below)
            assert code not in got.body
        for verb, below, body in requests:
            got = await browser.api(verb, f"appliance/classes/bio/{below}", body)
            assert got.status == status, (verb, below)
    # The number of another class's code, by way of one's own class.
    for verb in ("GET", "DELETE"):
        got = await bio.otto.api(verb, f"appliance/classes/art/invites/{number}")
        assert got.status == 404
    own = await bio.otto.api("POST", "appliance/classes/art/waiting/approve", names)
    assert own.json["done"] == []
    for url in ("appliance/users/maya/approve", "appliance/waiting/approve"):
        assert (await bio.otto.api("POST", url, names)).status in {403, 404}
    for browser in (bio.frida, bio.otto, bob):
        assert (await browser.get("/hub/admin/joining")).status == 403
        assert (await browser.api("GET", "appliance/invites")).status == 403
        assert (await browser.api("GET", "appliance/waiting")).status == 403
    assert await bio.waiting() == ["maya"]
    assert (await bio.frida.api("GET", f"appliance/classes/bio/invites/{number}")).status == 200


async def test_a_teacher_approves_by_the_requests_for_single_users(bio: JoiningClass) -> None:
    await _with_waiting(bio, "maya")
    for _ in range(2):
        answer = await bio.frida.api("POST", "appliance/users/maya/approve")
        assert answer.status == 200
        assert answer.json["appliance"]["state"] == "active"


async def test_whoever_decides_sees_how_many_wait_on_every_page(
    bio: JoiningClass, ada: Browser
) -> None:
    await _with_waiting(bio, "maya", "noah")
    await bio.machine.browser().sign_up("ina", STUDENT_PASSWORD)
    assert "(2 people wait)" in (await bio.frida.get("/hub/home")).body
    assert "2 people wait to be let in" in (await bio.frida.get("/hub/home")).body
    assert "people wait" not in (await bio.otto.get("/hub/home")).body
    admin = (await ada.get("/hub/home")).body
    assert "(2 people wait)" in admin
    assert "(1 person waits)" in admin
    await bio.decide("approve", "maya", "noah")
    assert "people wait" not in (await bio.frida.get("/hub/home")).body


# Names


@pytest.mark.parametrize(
    "name", ["fr1da", "frida.", "fri-da", "fr_ida", "FRIDA-", "fr1da@", "0tto"]
)
async def test_a_name_easily_taken_for_a_teacher_waits_with_a_warning(
    bio: JoiningClass, name: str
) -> None:
    await bio.rule(must_approve=False)
    _, answer = await bio.sign_up(name, await bio.make_code())
    assert "waiting" in answer.location
    [waiter] = (await bio.frida.api("GET", "appliance/classes/bio/waiting")).json
    assert waiter["taken_for"] in {"frida", "otto"}
    page = (await bio.frida.get("/hub/classes/bio/joining")).body
    assert f"Easily taken for {waiter['taken_for']}" in page


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("frida", 409), ("Frida", 409), (" frida ", 409), ("ｆｒｉｄａ", 409), ("admin", 400),  # noqa: RUF001
        ("frіda", 400), ("frida\u200b", 400), ("fr\u0131da", 400), ("f\u0308rida", 400),  # noqa: RUF001
        ("-frida", 400),
    ],
)  # fmt: skip
async def test_a_teachers_name_in_other_letters_is_taken_or_refused(
    bio: JoiningClass, name: str, status: int
) -> None:
    await bio.rule(must_approve=False)
    _, answer = await bio.sign_up(name, await bio.make_code())
    assert answer.status == status
    assert (await bio.frida.get("/hub/home")).status == 200


async def test_an_ordinary_name_needs_no_approval_where_the_class_asks_for_none(
    bio: JoiningClass,
) -> None:
    await bio.rule(must_approve=False)
    code = await bio.make_code()
    for name in ("fridolin", "frida2", "maya"):
        _, answer = await bio.sign_up(name, code)
        assert answer.location == "/hub/home", name


RULES = Config.model_validate(
    {
        "signup": {
            "mode": "approval",
            "allowed_names": ["*@school.example", "guest-??"],
            "refused_names": ["*.staff@school.example"],
            "approved_names": ["*.s@school.example"],
        }
    }
)


@pytest.mark.parametrize("config", [RULES])
@pytest.mark.parametrize(
    ("name", "status", "place"),
    [
        ("ina.s@school.example", 302, "home"),
        ("INA.S@School.Example", 302, "home"),
        ("ina@school.example", 302, "waiting"),
        ("guest-17", 302, "waiting"),
        ("guest-1", 403, ""),
        ("guest-170", 403, ""),
        ("ina@school.example.org", 403, ""),
        ("ina@otherschool.example", 403, ""),
        ("ina@school-example", 403, ""),
        ("ina.staff@school.example", 403, ""),
    ],
)
async def test_rules_for_names_hold_on_every_way_in(
    bio: JoiningClass, name: str, status: int, place: str
) -> None:
    answer = await bio.machine.browser().sign_up(name, STUDENT_PASSWORD)
    assert answer.status == status
    assert place in answer.headers.get("location", "")
    if status == 403:
        assert "names like this one can" in told(answer.body).lower()
        _, answer = await bio.sign_up(name, await bio.make_code())
        assert answer.status == 403
        assert await bio.waiting() == []


@pytest.mark.parametrize("config", [RULES])
async def test_approved_names_enter_a_class_at_once_but_not_those_with_rights(
    bio: JoiningClass,
) -> None:
    code = await bio.make_code()
    _, answer = await bio.sign_up("ina.s@school.example", code)
    assert answer.location == "/hub/home"
    await bio.machine.root("POST", "appliance/users", {"usernames": ["eva.s@school.example"]})
    bio.machine.hub.classroom.parts["classes"].add_teacher("art", Username("eva.s@school.example"))
    _, answer = await bio.sign_up("eva-s@school.example", code)
    assert "waiting" in answer.location


ROLES = Config.model_validate(
    {
        "signup": {"mode": "open", "approved_names": ["maya", "gretel"]},
        "roles": {
            "helpers": {"scopes": ["servers"], "groups": ["bio"]},
            "graders": {"scopes": ["list:users"], "users": ["gretel"]},
        },
    }
)


@pytest.mark.parametrize("config", [ROLES])
async def test_nobody_gets_a_roles_rights_by_a_code(bio: JoiningClass, ada: Browser) -> None:
    refused = await bio.frida.api("POST", "appliance/classes/bio/invites", {})
    assert refused.status == 403
    assert "code-form" not in (await bio.frida.get("/hub/classes/bio/joining")).body
    await ada.api("PATCH", "appliance/classes/bio", {"must_approve": False})
    made = await ada.api("POST", "appliance/classes/bio/invites", {})
    code = made.json["code"]
    _, answer = await bio.sign_up("maya", code)
    assert "waiting" in answer.location
    assert (await bio.decide("approve", "maya")).json["done"] == []
    assert await bio.waiting() == ["maya"]
    carol = bio.machine.browser()
    await carol.sign_up("carol", STUDENT_PASSWORD)
    joined = await carol.api("POST", "appliance/join", {"code": code})
    assert joined.status == 403
    assert "rights that only admins may give" in joined.json["message"]
    assert (await bio.decide("approve", "maya", browser=ada)).json["done"] == ["maya"]


@pytest.mark.parametrize("config", [ROLES])
async def test_a_name_with_a_role_waits_for_an_admin(bio: JoiningClass, ada: Browser) -> None:
    await bio.otto.api("PATCH", "appliance/classes/art", {"must_approve": False})
    _, answer = await bio.sign_up("gretel", await bio.make_code("art"))
    assert "waiting" in answer.location
    names = {"usernames": ["gretel"]}
    refused = await bio.otto.api("POST", "appliance/classes/art/waiting/approve", names)
    assert refused.json["done"] == []
    done = await ada.api("POST", "appliance/waiting/approve", names)
    assert done.json["done"] == ["gretel"]


# Accounts in no class


async def test_an_admins_code_makes_accounts_in_no_class(
    bio: JoiningClass, ada: Browser, bob: Browser
) -> None:
    answer = await ada.post("/hub/admin/joining/codes", {"expires": "today", "uses": "2"})
    assert answer.location == "/hub/admin/joining"
    [invite] = (await ada.api("GET", "appliance/invites")).json
    assert (invite["class"], invite["most_uses"]) == (None, 2)
    assert invite["code"] in (await ada.get("/hub/admin/joining")).body
    _, made = await bio.sign_up("ina", invite["code"])
    assert made.location == "/hub/home"
    assert (await bio.machine.root("GET", "users/ina")).json["groups"] == []
    assert "You have an account already" in (await bob.get(f"/hub/join/{invite['code']}")).body
    assert (await bob.api("POST", "appliance/join", {"code": invite["code"]})).status == 409
    shown = await ada.get(f"/hub/admin/joining/codes/{invite['id']}/show")
    assert shown.status == 200
    count = await ada.get(f"/hub/admin/joining/codes/{invite['id']}/count")
    assert count.json == {"uses": 1, "works": True}
    gone = await ada.post(f"/hub/admin/joining/codes/{invite['id']}/revoke", {})
    assert gone.status == 302
    assert (await ada.api("GET", "appliance/invites")).json == []


async def test_admins_decide_on_who_waits_without_a_class(bio: JoiningClass, ada: Browser) -> None:
    await _with_waiting(bio, "maya")
    for name in ("ina", "jan"):
        await bio.machine.browser().sign_up(name, STUDENT_PASSWORD)
    waiting = (await ada.api("GET", "appliance/waiting")).json
    assert [one["name"] for one in waiting] == ["ina", "jan"]
    await ada.post("/hub/admin/joining/waiting", [("do", "approve"), ("user", "ina")])
    await ada.post("/hub/admin/joining/reject", {"user": "jan"})
    assert (await ada.api("GET", "appliance/waiting")).json == []
    assert (await bio.machine.root("GET", "users/jan")).status == 404
    # By name they decide on anybody.
    done = await ada.api("POST", "appliance/waiting/approve", {"usernames": ["maya"]})
    assert done.json["done"] == ["maya"]


# The page of the class


async def test_a_code_is_made_shown_counted_and_taken_back_on_the_page(bio: JoiningClass) -> None:
    fields = {"expires": "term", "uses": "30", "note": "Monday"}
    answer = await bio.frida.post("/hub/classes/bio/joining/codes", fields)
    assert answer.location == "/hub/classes/bio/joining"
    [invite] = (await bio.frida.api("GET", "appliance/classes/bio/invites")).json
    assert (invite["note"], invite["most_uses"], invite["created_by"]) == ("Monday", 30, "frida")
    page = (await bio.frida.get(answer.location)).body
    assert invite["code"] in page
    assert "0 of 30 people have used it." in page
    below = f"/hub/classes/bio/joining/codes/{invite['id']}"
    shown = (await bio.frida.get(f"{below}/show")).body
    assert invite["code"] in shown
    assert "http://hub.test/hub/join" in shown
    assert qr_svg(f"http://hub.test/hub/join/{invite['code']}") in shown
    await bio.sign_up("maya", invite["code"])
    assert (await bio.frida.get(f"{below}/count")).json == {"uses": 1, "works": True}
    await bio.rule(frozen=True)
    assert (await bio.frida.get(f"{below}/count")).json == {"uses": 1, "works": False}
    assert (await bio.frida.post(f"{below}/revoke", {})).status == 302
    assert (await bio.frida.get(f"{below}/show")).status == 404


@pytest.mark.parametrize(
    "fields",
    [
        {"expires": "later", "uses": ""}, {"expires": "week", "uses": "0"},
        {"expires": "week", "uses": "many"}, {"expires": "week", "uses": "99999"},
        {"expires": "week", "uses": "-1"}, {"expires": "week", "note": "x" * 300},
    ],
)  # fmt: skip
async def test_a_mistake_in_the_form_makes_no_code(
    bio: JoiningClass, fields: dict[str, str]
) -> None:
    answer = await bio.frida.post("/hub/classes/bio/joining/codes", fields)
    assert answer.status == 400
    assert 'id="code-form-error"' in answer.body
    assert (await bio.frida.api("GET", "appliance/classes/bio/invites")).json == []


@pytest.mark.parametrize(
    ("verb", "name", "value"),
    [
        ("freeze", "frozen", True), ("unfreeze", "frozen", False),
        ("enter", "must_approve", False), ("wait", "must_approve", True),
    ],
)  # fmt: skip
async def test_rules_are_changed_on_the_page(
    bio: JoiningClass,
    verb: str,
    name: str,
    value: bool,
) -> None:
    await bio.rule(**{name: not value})
    answer = await bio.frida.post("/hub/classes/bio/joining/rules", {"do": verb})
    assert answer.status == 302
    assert (await bio.frida.api("GET", "appliance/classes/bio")).json[name] is value
    assert (await bio.frida.get(answer.location)).status == 200


async def test_nothing_chosen_and_unknown_actions(bio: JoiningClass) -> None:
    url = "/hub/classes/bio/joining/waiting"
    answer = await bio.frida.post(url, {"do": "approve"})
    assert "Choose people in the list first." in (await bio.frida.get(answer.location)).body
    assert (await bio.frida.post(url, {"do": "praise maya"})).status == 400
    rules = await bio.frida.post("/hub/classes/bio/joining/rules", {"do": "praise"})
    assert rules.status == 400


# Waiting


async def test_a_ticket_enters_once_and_no_more_after_the_first_log_in(
    bio: JoiningClass, clock: FakeClock
) -> None:
    code = await bio.make_code()
    maya, _ = await bio.sign_up("maya", code)
    ticket = maya.jar["appliance-waiting"]
    await bio.decide("approve", "maya")
    other = bio.machine.browser()
    assert (await other.log_in("maya", STUDENT_PASSWORD)).status == 302
    clock.pass_time(300)
    await other.get("/hub/home")
    thief = bio.machine.browser()
    thief.jar["appliance-waiting"] = ticket
    await thief.get("/hub/login")
    answer = await thief.post("/hub/signup/waiting", {})
    assert answer.location == "/hub/login?username=maya"
    assert (await thief.get("/hub/home")).status == 302


@pytest.mark.parametrize("change", ["password", "age", "forged", "name"])
async def test_a_ticket_that_is_not_valid_lets_nobody_in(
    bio: JoiningClass, clock: FakeClock, change: str
) -> None:
    maya, _ = await bio.sign_up("maya", await bio.make_code())
    await bio.decide("approve", "maya")
    ticket, path = maya.jar["appliance-waiting"]
    if change == "password":
        url = "appliance/users/maya/password"
        await bio.machine.root("PUT", url, {"password": TEACHER_PASSWORD})
    elif change == "age":
        clock.pass_time(8 * 86400)
    elif change == "forged":
        maya.jar["appliance-waiting"] = (ticket[:-1] + ("0" if ticket[-1] != "0" else "1"), path)
    else:
        maya.jar["appliance-waiting"] = (ticket.replace("maya", "frida", 1), path)
    await maya.get("/hub/login")
    assert (await maya.get("/hub/signup/waiting/stage")).json == {"stage": None}
    answer = await maya.post("/hub/signup/waiting?username=maya", {})
    assert answer.status == 200
    assert (await maya.get("/hub/home")).status == 302


async def test_the_waiting_page_without_a_ticket_tells_nothing(bio: JoiningClass) -> None:
    await bio.sign_up("maya", await bio.make_code())
    visitor = bio.machine.browser()
    pages = [
        (await visitor.get(f"/hub/signup/waiting?username={name}")).body.replace(name, "")
        for name in ("maya", "nessuno", "frida")
    ]
    assert len({told(page) for page in pages}) == 1
    assert (await visitor.get("/hub/signup/waiting/stage")).json == {"stage": None}
