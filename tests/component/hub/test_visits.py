"""Visits: consent first, rights for as long as agreed, and everybody told."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

import pytest

from appliance.names import ServerId, Username
from tests.fakes.class_people import ClassPeople, class_people, events
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Answer, Browser, Machine

EMMY = ServerId(Username("emmy"))


@pytest.fixture
async def people(machine: Machine) -> ClassPeople:
    found = await class_people(machine)
    await found.emmy.post("/hub/spawn/emmy", {})
    return found


async def _ask(browser: Browser, user: str = "emmy") -> Answer:
    return await browser.api("POST", f"appliance/users/{user}/visits", {})


async def _asked(people: ClassPeople) -> int:
    answer = await _ask(people.lovelace)
    assert answer.status == 201, answer.body
    number: int = answer.json["id"]
    return number


async def _answer(browser: Browser, visit: int, do: str, **more: Any) -> Answer:
    return await browser.api("POST", f"appliance/visits/{visit}", {"do": do, **more})


async def _granted(people: ClassPeople, **more: Any) -> int:
    visit = await _asked(people)
    assert (await _answer(people.emmy, visit, "allow", **more)).status == 200
    return visit


async def _opens(browser: Browser, user: str = "emmy") -> bool:
    """Whether the hub sends this browser back to the server with a code."""
    query = {
        "client_id": f"jupyterhub-user-{user}", "redirect_uri": f"/user/{user}/oauth_callback",
        "response_type": "code", "state": "s",
    }  # fmt: skip
    answer = await browser.get(f"/hub/api/oauth2/authorize?{urlencode(query)}")
    if answer.status == 200:
        # Who comes to another's server is asked whether it may know who they are.
        scopes = [("scopes", one) for one in _scopes(answer.body)]
        answer = await browser.post(f"/hub/api/oauth2/authorize?{urlencode(query)}", scopes)
    # Where the server doesn't run there is nobody to send a code to.
    assert answer.status in {302, 400, 403}, answer.body
    return answer.status == 302 and "code=" in answer.location


def _scopes(page: str) -> list[str]:
    return re.findall(r'name="scopes" value="([^"]*)"', page)


async def _notices(browser: Browser) -> list[str]:
    cards = (await browser.api("GET", "appliance/messages")).json["cards"]
    return [one["text"] for one in cards if one["kind"] == "notice"]


def _sweep(machine: Machine) -> None:
    machine.hub.classroom.parts["visits"].sweep()


async def test_nobody_opens_a_server_without_consent(people: ClassPeople) -> None:
    assert not await _opens(people.lovelace)
    await _asked(people)
    assert not await _opens(people.lovelace)


async def test_with_consent_the_teacher_opens_it_and_the_owner_is_told(
    machine: Machine, people: ClassPeople
) -> None:
    await _granted(people)
    who = (await people.lovelace.api("GET", "user")).json
    assert "access:servers!server=emmy/" in who["scopes"]
    assert not await _opens(people.noether)
    assert await _opens(people.lovelace)
    assert await _notices(people.emmy) == ["lovelace opened your server."]
    log = (machine.places.hub_audit / "audit.jsonl").read_text()
    for action in ("visit.ask", "visit.allow", "server.open"):
        assert f'"{action}"' in log


async def test_a_refusal_gives_nothing(people: ClassPeople) -> None:
    visit = await _asked(people)
    assert (await _answer(people.emmy, visit, "refuse")).json["state"] == "refused"
    assert not await _opens(people.lovelace)
    assert (await _answer(people.emmy, visit, "allow")).status == 409


@pytest.mark.parametrize("do", ["allow", "refuse"])
async def test_the_owner_alone_answers(people: ClassPeople, do: str) -> None:
    visit = await _asked(people)
    for browser in (people.lovelace, people.sophie, people.noether):
        assert (await _answer(browser, visit, do)).status == 404
    assert not await _opens(people.lovelace)


async def test_other_classes_are_none_of_a_teachers_business(people: ClassPeople) -> None:
    assert (await _ask(people.noether)).status == 404
    assert (await _ask(people.lovelace, "kurt")).status == 404
    assert (await _ask(people.sophie)).status in {403, 404}


async def test_a_question_lapses(people: ClassPeople, clock: FakeClock) -> None:
    visit = await _asked(people)
    clock.pass_time(601)
    assert (await _answer(people.emmy, visit, "allow")).status == 409
    assert (await people.emmy.api("GET", "appliance/visits")).json == []


async def test_asking_twice_is_one_question_and_nobody_is_pestered(
    people: ClassPeople, clock: FakeClock
) -> None:
    assert await _asked(people) == await _asked(people)
    for _ in range(6):
        answer = await _ask(people.lovelace)
        assert answer.status == 201
        await _answer(people.emmy, answer.json["id"], "refuse")
    assert (await _ask(people.lovelace)).status == 429
    clock.pass_time(3601)
    assert (await _ask(people.lovelace)).status == 201


async def test_a_visit_ends_by_itself(
    machine: Machine, people: ClassPeople, clock: FakeClock
) -> None:
    await _granted(people, minutes=5)
    assert await _opens(people.lovelace)
    clock.pass_time(301)
    _sweep(machine)
    assert not await _opens(people.lovelace)
    assert "The visit of lovelace has ended." in await _notices(people.emmy)


@pytest.mark.parametrize("who", ["emmy", "lovelace"])
async def test_both_sides_end_it_at_once(people: ClassPeople, who: str) -> None:
    visit = await _granted(people)
    assert (await _answer(getattr(people, who), visit, "end")).json["state"] == "ended"
    assert not await _opens(people.lovelace)


async def test_what_the_visitor_got_ends_with_the_visit(
    machine: Machine, people: ClassPeople
) -> None:
    visit = await _granted(people)
    assert await _opens(people.lovelace)
    token = await people.lovelace.api("GET", "user")
    assert "access:servers!server=emmy/" in token.json["scopes"]
    await _answer(people.emmy, visit, "end")
    again = await people.lovelace.api("GET", "user")
    assert "access:servers!server=emmy/" not in again.json["scopes"]


async def test_it_ends_when_the_teacher_loses_the_class(
    machine: Machine, people: ClassPeople
) -> None:
    await _granted(people)
    machine.hub.classroom.parts["classes"].remove_teacher("algebra", Username("lovelace"))
    assert not await _opens(people.lovelace)
    _sweep(machine)
    machine.hub.classroom.parts["classes"].add_teacher("algebra", Username("lovelace"))
    assert not await _opens(people.lovelace)


async def test_it_ends_when_the_student_leaves_the_class(
    machine: Machine, people: ClassPeople
) -> None:
    await _granted(people)
    left = await machine.root("DELETE", "groups/algebra/users", {"users": ["emmy"]})
    assert left.status == 200
    assert not await _opens(people.lovelace)


async def test_it_ends_when_the_teacher_is_locked(machine: Machine, people: ClassPeople) -> None:
    await _granted(people)
    assert (await machine.root("PUT", "appliance/users/lovelace/lock")).status in {200, 204}
    _sweep(machine)
    await machine.root("DELETE", "appliance/users/lovelace/lock")
    assert (await people.emmy.api("GET", "appliance/visits")).json == []


async def test_an_admins_visit_is_announced_too(machine: Machine, people: ClassPeople) -> None:
    await machine.root("PATCH", "users/noether", {"admin": True})
    assert await _opens(people.noether)
    assert await _notices(people.emmy) == ["noether opened your server."]


async def test_ones_own_server_is_announced_to_nobody(people: ClassPeople) -> None:
    assert await _opens(people.emmy)
    assert await _notices(people.emmy) == []


async def test_the_question_comes_by_the_stream_and_on_the_page(
    machine: Machine, people: ClassPeople
) -> None:
    async with events(machine, people.emmy, "appliance/messages/stream") as stream:
        await stream.next()
        visit = await _asked(people)
        [card] = (await stream.next())["cards"]
        assert card["kind"] == "question"
        labels = [one["label"] for one in card["buttons"]]
        assert labels == ["Allow for 30 minutes", "Allow for 90 minutes", "Don't allow"]
        assert "lovelace asks to open your server" in (await people.emmy.get("/hub/home")).body
        done = await people.emmy.post("/hub/messages", {"do": f"allow {visit} 90"})
        assert done.status == 302
        [card] = (await stream.next())["cards"]
        assert (card["kind"], card["hide"]) == ("visit", "Hide")
    assert await _opens(people.lovelace)


@pytest.mark.parametrize(
    "body", [{"do": "allow", "minutes": 0}, {"do": "allow", "minutes": 10_000}, {"do": "come in"}]
)
async def test_what_is_no_answer_is_refused(people: ClassPeople, body: dict[str, Any]) -> None:
    visit = await _asked(people)
    answer = await people.emmy.api("POST", f"appliance/visits/{visit}", body)
    assert answer.status == 400
    assert not await _opens(people.lovelace)
