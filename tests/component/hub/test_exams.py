"""Exams: who has no network, from when to when, whatever becomes of the hub meanwhile."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from appliance.hub.classroom.exams import Exams
from appliance.interfaces import OfflineReport
from appliance.names import Username
from tests.fakes.class_people import ClassPeople, class_people
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Browser, Machine

PATH = "appliance/classes/algebra/exam"
EMMY, SOPHIE, KURT = (Username(name) for name in ("emmy", "sophie", "kurt"))


@pytest.fixture
async def people(machine: Machine) -> ClassPeople:
    """lovelace teaches algebra, where emmy and sophie are."""
    return await class_people(machine)


async def _look(machine: Machine) -> None:
    exams: Exams = machine.hub.classroom.parts["exams"]
    await exams.once()


def _in(clock: FakeClock, **length: int) -> str:
    return (clock.now() + timedelta(**length)).isoformat()


async def _cards(browser: Browser) -> list[str]:
    answer = await browser.api("GET", "appliance/messages")
    return [one["text"] for one in answer.json["cards"]]


async def test_the_students_have_no_network_from_beginning_to_end(
    machine: Machine, people: ClassPeople, clock: FakeClock
) -> None:
    body = {"begins": _in(clock, minutes=30), "ends": _in(clock, hours=2)}
    answer = await people.lovelace.api("PUT", PATH, body)
    assert (answer.status, answer.json["is_now"]) == (200, False)
    await _look(machine)
    assert not machine.spawner.offline
    clock.pass_time(1801)
    await _look(machine)
    assert machine.spawner.offline == {EMMY, SOPHIE}
    assert (await people.lovelace.api("GET", PATH)).json["is_now"] is True
    ends = datetime.fromisoformat(body["ends"]).astimezone()
    (told,) = await _cards(people.emmy)
    assert told == f"An exam is under way: your server has no network until {ends:%H:%M}."
    assert await _cards(people.lovelace) == []
    clock.pass_time(5400)
    await _look(machine)
    assert machine.spawner.offline == set()
    assert await _cards(people.emmy) == ["The exam is over: your server has a network again."]
    assert (await people.lovelace.api("GET", PATH)).json["ends"] is None


async def test_it_begins_and_ends_at_once_when_told(
    machine: Machine, people: ClassPeople, clock: FakeClock
) -> None:
    await people.lovelace.api("PUT", PATH, {"ends": _in(clock, hours=1)})
    await _look(machine)
    assert machine.spawner.offline == {EMMY, SOPHIE}
    assert (await people.lovelace.api("DELETE", PATH)).status == 204
    await _look(machine)
    assert machine.spawner.offline == set()


async def test_who_comes_into_the_class_is_in_it_too(
    machine: Machine, people: ClassPeople, clock: FakeClock
) -> None:
    await people.lovelace.api("PUT", PATH, {"ends": _in(clock, hours=1)})
    await machine.root("POST", "groups/algebra/users", {"users": ["kurt"]})
    await _look(machine)
    assert machine.spawner.offline == {EMMY, SOPHIE, KURT}


async def test_a_hub_that_was_down_goes_on(
    machine: Machine, people: ClassPeople, clock: FakeClock
) -> None:
    await people.lovelace.api("PUT", PATH, {"ends": _in(clock, hours=1)})
    await _look(machine)
    await machine.restart()
    await _look(machine)
    assert machine.spawner.offline == {EMMY, SOPHIE}
    clock.pass_time(3601)
    await machine.restart()
    assert machine.spawner.offline == {EMMY, SOPHIE} or not machine.spawner.offline
    await _look(machine)
    assert machine.spawner.offline == set(), "an end that passed meanwhile is made up"


async def test_a_teacher_sees_for_whom_it_is_not_in_force(
    machine: Machine, people: ClassPeople, clock: FakeClock
) -> None:
    machine.spawner.offline_report = OfflineReport(open=(EMMY,))
    await people.lovelace.api("PUT", PATH, {"ends": _in(clock, hours=1)})
    await _look(machine)
    assert (await people.lovelace.api("GET", PATH)).json["waits_for"] == ["emmy"]
    page = await people.lovelace.get("/hub/classes/algebra")
    assert "must start their server anew" in page.body
    assert await _cards(people.emmy) == ["The exam has begun: stop your server and start it again."]
    machine.spawner.offline_report = OfflineReport()
    await _look(machine)
    assert (await people.lovelace.api("GET", PATH)).json["waits_for"] == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"ends": "2026-09-01T08:00:00Z"}, "would end before it begins"),
        ({"ends": "2026-09-03T09:00:00Z"}, "a day at the most"),
        ({"begins": "2028-09-01T08:00:00Z", "ends": "2028-09-01T09:00:00Z"}, "more than a year"),
        ({"ends": "noon"}, "no ISO 8601 time"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    people: ClassPeople, body: dict[str, Any], why: str
) -> None:
    answer = await people.lovelace.api("PUT", PATH, body)
    assert answer.status == 400
    assert why in answer.json["message"]


async def test_the_class_page_sets_an_exam_and_keeps_servers(
    machine: Machine, people: ClassPeople, clock: FakeClock
) -> None:
    await machine.root("POST", "users/emmy/server", {})
    form = "/hub/classes/algebra/do"
    local = (clock.now() + timedelta(hours=3)).astimezone()
    fields = {"do": "exam", "exam-begins": "", "exam-ends": f"{local:%Y-%m-%dT%H:%M}"}
    assert (await people.lovelace.post(form, fields)).status == 302
    page = await people.lovelace.get("/hub/classes/algebra")
    assert "An exam is under way until" in page.body
    await people.lovelace.post(form, {"do": "exam-end"})
    assert (await people.lovelace.api("GET", PATH)).json["ends"] is None
    await people.lovelace.post(form, {"do": "keep", "keep-until": f"{local:%H:%M}"})
    kept = (await people.lovelace.api("GET", "appliance/classes/algebra/keep")).json
    assert datetime.fromisoformat(kept["kept_until"]) == local.replace(second=0, microsecond=0)
    await people.lovelace.post(form, {"do": "unkeep"})
    kept = (await people.lovelace.api("GET", "appliance/classes/algebra/keep")).json
    assert kept["kept_until"] is None
    answer = await people.lovelace.post(form, {"do": "exam", "exam-ends": "soon"})
    assert answer.status == 302
    assert "a day and a time" in (await people.lovelace.get("/hub/classes/algebra")).body
