"""Joining a class by a code: newcomers, people with accounts, and codes that don't work."""

from __future__ import annotations

import asyncio

import pytest

from appliance.config.schema import Config
from tests.component.hub.conftest import STUDENT_PASSWORD
from tests.component.hub.joining_class import JoiningClass, joining_class, told
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Browser, Machine


@pytest.fixture
async def bio(machine: Machine) -> JoiningClass:
    return await joining_class(machine)


async def test_a_newcomer_waits_is_let_in_and_enters_without_logging_in(bio: JoiningClass) -> None:
    code = await bio.make_code()
    maya, answer = await bio.sign_up("maya", code, full_name="  Maya   Holm ")
    assert answer.location == "/hub/signup/waiting?username=maya"
    assert "Thank you, maya" in (await maya.get(answer.location)).body
    assert (await maya.get("/hub/signup/waiting/stage")).json == {"stage": "waiting"}
    assert (await maya.get("/hub/home")).status == 302
    [waiter] = (await bio.frida.api("GET", "appliance/classes/bio/waiting")).json
    assert (waiter["name"], waiter["full_name"], waiter["taken_for"]) == (
        "maya", "Maya Holm", None,
    )  # fmt: skip
    assert (await bio.decide("approve", "maya")).json == {"done": ["maya"], "failed": []}
    assert (await maya.get("/hub/signup/waiting/stage")).json == {"stage": "approved"}
    entered = await maya.post("/hub/signup/waiting", {})
    assert entered.location == "/hub/home"
    assert (await maya.get("/hub/home")).status == 200
    assert await bio.members() == ["maya"]
    assert (await maya.get("/hub/signup/waiting/stage")).json == {"stage": None}


async def test_where_nobody_must_wait_a_code_is_enough(bio: JoiningClass) -> None:
    await bio.rule(must_approve=False)
    maya, answer = await bio.sign_up("maya", await bio.make_code())
    assert answer.location == "/hub/home"
    assert "Hello maya" in (await maya.get("/hub/home")).body
    assert await bio.members() == ["maya"]


async def test_the_form_names_the_class_and_keeps_what_was_typed(bio: JoiningClass) -> None:
    code = await bio.make_code()
    browser = bio.machine.browser()
    assert "Join Biology" in (await browser.get(f"/hub/join/{code.upper()}")).body
    fields = {"username": "Maya", "password": "short", "full_name": "Maya H."}
    answer = await browser.post(f"/hub/join/{code}", fields)
    assert answer.status == 400
    assert 'value="Maya"' in answer.body
    assert 'value="Maya H."' in answer.body
    assert await bio.waiting() == []
    assert (await bio.frida.api("GET", "appliance/classes/bio/invites")).json[0]["uses"] == 0


async def test_a_typed_code_leads_to_its_form(bio: JoiningClass) -> None:
    code = await bio.make_code()
    browser = bio.machine.browser()
    assert "Join code" in (await browser.get("/hub/join")).body
    typed = code.upper().replace("-", " ")
    answer = await browser.get(f"/hub/join?code={typed.replace(' ', '+')}")
    assert answer.status == 302
    assert "Join Biology" in (await browser.get(answer.location)).body


@pytest.mark.parametrize(
    "config", [Config.model_validate({"signup": {"mode": mode}}) for mode in ("closed", "open")]
)
async def test_a_code_works_whatever_the_mode(bio: JoiningClass) -> None:
    code = await bio.make_code()
    _, answer = await bio.sign_up("maya", code)
    assert "waiting" in answer.location
    assert await bio.waiting() == ["maya"]


@pytest.mark.parametrize("config", [Config.model_validate({"signup": {"mode": "closed"}})])
async def test_the_closed_page_mentions_codes_while_there_are_any(bio: JoiningClass) -> None:
    visitor = bio.machine.browser()
    assert "/hub/join" not in (await visitor.get("/hub/signup")).body
    assert "/hub/join" not in (await visitor.get("/hub/login")).body
    await bio.make_code(uses=1)
    assert "/hub/join" in (await visitor.get("/hub/signup")).body
    assert "/hub/join" in (await visitor.get("/hub/login")).body


@pytest.mark.parametrize(
    "config", [Config.model_validate({"signup": {"mode": "code", "code": "Green-Door-7"}})]
)
async def test_the_code_of_the_configuration_and_those_of_classes_go_together(
    bio: JoiningClass,
) -> None:
    code = await bio.make_code()
    for number, typed in enumerate(("green door 7", "GREEN-DOOR-7")):
        answer = await bio.machine.browser().sign_up(f"ina{number}", STUDENT_PASSWORD, code=typed)
        assert answer.location == "/hub/home"
    answer = await bio.machine.browser().sign_up("maya", STUDENT_PASSWORD, code=code)
    assert "waiting" in answer.location
    assert await bio.waiting() == ["maya"]
    _, answer = await bio.sign_up("ida", "green-door-7")
    assert answer.location == "/hub/home"
    for wrong in ("", "-", "green-door-8", "greendoo"):
        answer = await bio.machine.browser().sign_up("eve", STUDENT_PASSWORD, code=wrong)
        assert answer.status == 403
        assert "no such code" in answer.body


async def test_somebody_with_an_account_confirms_and_is_in(bio: JoiningClass, bob: Browser) -> None:
    code = await bio.make_code(uses=1)
    page = await bob.get(f"/hub/join/{code}")
    assert "Join “Biology”?" in page.body
    assert await bio.members() == []
    assert (await bob.post(f"/hub/join/{code}", {})).location == "/hub/home"
    assert await bio.members() == ["bob"]
    assert "You are in “Biology” now." in (await bob.get("/hub/home")).body
    [invite] = (await bio.frida.api("GET", "appliance/classes/bio/invites")).json
    assert (invite["uses"], invite["works"]) == (1, False)


async def test_who_is_in_already_uses_nothing_up(bio: JoiningClass, bob: Browser) -> None:
    code = await bio.make_code(uses=2)
    for already in (False, True):
        answer = await bob.api("POST", "appliance/join", {"code": code})
        assert answer.json == {"class": "bio", "title": "Biology", "already": already}
    assert "You are in already" in (await bob.get(f"/hub/join/{code}")).body
    assert "You teach “Biology”" in told((await bio.frida.get(f"/hub/join/{code}")).body)
    await bio.frida.post(f"/hub/join/{code}", {})
    assert await bio.members() == ["bob"]
    [invite] = (await bio.frida.api("GET", "appliance/classes/bio/invites")).json
    assert invite["uses"] == 1


async def test_a_link_alone_puts_nobody_into_a_class(bio: JoiningClass, bob: Browser) -> None:
    code = await bio.make_code()
    await bob.get(f"/hub/join/{code}", site="cross-site")
    forged = await bob.post(f"/hub/join/{code}", {"_xsrf": "forged"})
    assert forged.status == 403
    other_site = await bob.post(f"/hub/join/{code}", {}, site="cross-site")
    assert other_site.status == 403
    assert await bio.members() == []


async def test_an_admin_is_told_why_a_code_is_not_for_admins(
    bio: JoiningClass, ada: Browser
) -> None:
    code = await bio.make_code()
    page = await ada.get(f"/hub/join/{code}")
    assert page.status == 403
    assert "you are an admin" in page.body
    assert (await ada.api("POST", "appliance/join", {"code": code})).status == 403
    assert await bio.members() == []


async def test_a_token_joins_only_with_the_right_to_change_its_user(
    bio: JoiningClass, bob: Browser
) -> None:
    code = await bio.make_code()
    small = await bob.api("POST", "users/bob/tokens", {"scopes": ["read:users!user"]})
    answer = await bio.machine.token_call(
        small.json["token"], "POST", "appliance/join", {"code": code}
    )
    assert answer.status == 403
    whole = await bob.api("POST", "users/bob/tokens", {})
    answer = await bio.machine.token_call(
        whole.json["token"], "POST", "appliance/join", {"code": code}
    )
    assert answer.status == 200
    assert await bio.members() == ["bob"]


# Codes that don't work


async def test_codes_that_are_over_say_so_and_name_no_class(
    bio: JoiningClass, clock: FakeClock, bob: Browser
) -> None:
    over = {
        "it has expired": await bio.make_code(expires="hour"),
        "as many people as it was made for": await bio.make_code(uses=1),
        "there is no such code": await bio.make_code(expires="never"),
    }
    _, used = await bio.sign_up("maya", over["as many people as it was made for"])
    assert used.status == 302
    invites = (await bio.frida.api("GET", "appliance/classes/bio/invites")).json
    taken_back = next(i for i in invites if i["code"] == over["there is no such code"])
    gone = await bio.frida.api("DELETE", f"appliance/classes/bio/invites/{taken_back['id']}")
    assert gone.status == 204
    clock.pass_time(3600)
    for why, code in over.items():
        visitor = bio.machine.browser()
        for answer in (
            await visitor.get(f"/hub/join/{code}"),
            (await bio.sign_up("noah", code))[1],
            await bob.get(f"/hub/join/{code}"),
            await bob.post(f"/hub/join/{code}", {}),
        ):
            assert answer.status == 403
            assert why.lower() in told(answer.body).lower()
            assert "biology" not in answer.body.lower()
    assert await bio.members() == ["maya"]


async def test_freezing_stops_all_codes_of_the_class_and_no_others(
    bio: JoiningClass, bob: Browser
) -> None:
    code, other = await bio.make_code(), await bio.make_code("art")
    await bio.rule(frozen=True)
    _, answer = await bio.sign_up("maya", code)
    assert answer.status == 403
    assert "nobody can join at the moment" in told(answer.body).lower()
    assert (await bob.api("POST", "appliance/join", {"code": code})).status == 403
    assert (await bob.api("POST", "appliance/join", {"code": other})).status == 200
    await bio.rule(frozen=False)
    assert (await bob.api("POST", "appliance/join", {"code": code})).status == 200


async def test_freezing_while_somebody_fills_in_the_form(bio: JoiningClass) -> None:
    code = await bio.make_code()
    browser = bio.machine.browser()
    await browser.get(f"/hub/join/{code}")
    await bio.rule(frozen=True)
    fields = {"username": "maya", "password": STUDENT_PASSWORD}
    assert (await browser.post(f"/hub/join/{code}", fields)).status == 403
    assert (await bio.machine.root("GET", "users/maya")).status == 404


async def test_of_two_who_bring_the_last_use_one_gets_in(bio: JoiningClass) -> None:
    code = await bio.make_code(uses=1)
    names = ["maya", "noah", "lena"]
    answers = await asyncio.gather(*(bio.sign_up(name, code) for name in names))
    statuses = sorted(answer.status for _, answer in answers)
    assert statuses == [302, 403, 403]
    [invite] = (await bio.frida.api("GET", "appliance/classes/bio/invites")).json
    assert invite["uses"] == 1
    assert len(await bio.waiting()) == 1
    users = [one["name"] for one in (await bio.machine.root("GET", "users")).json]
    assert len(set(names) & set(users)) == 1


async def test_of_two_who_want_the_same_name_one_gets_it(bio: JoiningClass) -> None:
    code = await bio.make_code(uses=2)
    answers = await asyncio.gather(*(bio.sign_up("maya", code) for _ in range(2)))
    assert sorted(answer.status for _, answer in answers) == [302, 409]
    refused = next(answer for _, answer in answers if answer.status == 409)
    assert "the name is taken" in told(refused.body).lower()
    [invite] = (await bio.frida.api("GET", "appliance/classes/bio/invites")).json
    assert invite["uses"] == 1


async def test_guesses_are_slowed_down_by_network_and_by_user(
    bio: JoiningClass, bob: Browser, clock: FakeClock
) -> None:
    code = await bio.make_code()
    guesser = bio.machine.browser()
    guesser.address = "198.51.100.66"
    statuses = [(await guesser.get(f"/hub/join/guess-{n}")).status for n in range(70)]
    assert statuses[0] == 403
    assert statuses[-1] == 429
    # A right code is no better now, or the guesser would learn that it is right.
    slowed = await guesser.get(f"/hub/join/{code}")
    assert slowed.status == 429
    assert int(slowed.headers["retry-after"]) > 0
    fields = {"username": "maya", "password": STUDENT_PASSWORD}
    assert (await guesser.post(f"/hub/join/{code}", fields)).status == 429
    # Others, and people who are logged in, go on; from the same address, too.
    assert (await bio.machine.browser().get(f"/hub/join/{code}")).status == 200
    bob.address = guesser.address
    assert (await bob.get(f"/hub/join/{code}")).status == 200
    for number in range(70):
        answer = await bob.api("POST", "appliance/join", {"code": f"guess-{number}"})
    assert answer.status == 429
    clock.pass_time(120)
    assert (await guesser.get(f"/hub/join/{code}")).status == 200


async def test_right_codes_wear_nobody_out(bio: JoiningClass) -> None:
    code = await bio.make_code()
    visitor = bio.machine.browser()
    assert {(await visitor.get(f"/hub/join/{code}")).status for _ in range(100)} == {200}


@pytest.mark.parametrize(
    "code", ["%00", "..%2f..", "%F0%9F%98%80", "a" * 3000, "%E2%80%AE", "'%20OR%201=1", "<script>"]
)
async def test_odd_codes_are_refused_and_shown_safely(bio: JoiningClass, code: str) -> None:
    visitor = bio.machine.browser()
    answer = await visitor.get(f"/hub/join/{code.replace('<', '%3C').replace('>', '%3E')}")
    assert answer.status in {403, 404}
    assert "<script>" not in answer.body.replace('<script type="module"', "")
