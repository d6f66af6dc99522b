"""The class page: who is here, what their servers do, and what a teacher does with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from appliance.config.schema import Config
from appliance.names import ServerId, Username
from tests.fakes.class_people import ClassPeople, class_people, events
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Machine

EMMY, SOPHIE, KURT = (ServerId(Username(name)) for name in ("emmy", "sophie", "kurt"))
LIVE = "appliance/classes/algebra/live"
MEGABYTE = 2**20


@pytest.fixture
def config() -> Config:
    return Config.model_validate({"limits": {"cpu": 2}})


@pytest.fixture
async def people(machine: Machine) -> ClassPeople:
    return await class_people(machine)


async def _students(people: ClassPeople) -> dict[str, Any]:
    answer = await people.lovelace.api("GET", LIVE)
    assert answer.status == 200, answer.body
    return {one["name"]: one for one in answer.json["students"]}


def _uses(machine: Machine, server: ServerId, *, memory: int, cpu: float = 0.0) -> None:
    running = machine.spawner.servers[server]
    machine.spawner.servers[server] = replace(
        running, memory_bytes=memory * MEGABYTE, memory_limit_bytes=1000 * MEGABYTE,
        cpu_seconds=cpu, cpu_limit=2.0,
    )  # fmt: skip


async def test_only_the_students_of_the_class_are_shown(people: ClassPeople) -> None:
    page = await people.lovelace.get("/hub/classes/algebra")
    assert page.status == 200
    assert "emmy" in page.body
    assert "kurt" not in page.body
    assert set(await _students(people)) == {"emmy", "sophie"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", LIVE, None),
        ("GET", f"{LIVE}/stream", None),
        ("POST", "appliance/classes/algebra/servers", {"do": "start"}),
        ("GET", "appliance/classes/algebra/messages", None),
    ],
)
async def test_other_teachers_and_students_learn_nothing(
    people: ClassPeople, method: str, path: str, body: object
) -> None:
    assert (await people.noether.api(method, path, body)).status == 404
    assert (await people.emmy.api(method, path, body)).status in {403, 404}
    for verb in ("start-all", "freeze", "message"):
        done = await people.noether.post("/hub/classes/algebra/do", {"do": verb, "text": "Hi"})
        assert done.status == 404
    assert (await people.noether.get("/hub/classes/algebra")).status == 404
    assert (await people.emmy.get("/hub/classes/algebra")).status == 403


async def test_what_servers_use_and_what_is_near_its_limit(
    machine: Machine, people: ClassPeople, clock: FakeClock
) -> None:
    for name in ("emmy", "sophie"):
        await getattr(people, name).post(f"/hub/spawn/{name}", {})
    _uses(machine, EMMY, memory=900, cpu=10.0)
    _uses(machine, SOPHIE, memory=100, cpu=10.0)
    await _students(people)
    clock.pass_time(10)
    _uses(machine, SOPHIE, memory=100, cpu=30.0)
    found = await _students(people)
    assert (found["emmy"]["state"], found["emmy"]["memory_percent"]) == ("ready", 90)
    assert (found["emmy"]["near"], found["emmy"]["cores"]) == ("memory", 0.0)
    assert (found["sophie"]["near"], found["sophie"]["cpu_percent"]) == ("cpu", 100)
    page = (await people.lovelace.get("/hub/classes/algebra?show=near&sort=memory")).body
    assert "900 MB of 1000 MB" in page
    assert page.index("emmy") < page.index("sophie")


async def test_who_was_active_is_here_for_two_minutes(
    machine: Machine, people: ClassPeople, clock: FakeClock
) -> None:
    assert (await _students(people))["emmy"]["here"]
    clock.pass_time(121)
    assert not (await _students(people))["emmy"]["here"]
    async with events(machine, people.emmy, "appliance/messages/stream") as stream:
        await stream.next()
        clock.pass_time(600)
        assert (await _students(people))["emmy"]["here"]


async def test_a_server_that_a_teacher_starts_brings_nobody_here(
    machine: Machine, people: ClassPeople, clock: FakeClock
) -> None:
    clock.pass_time(3600)
    await machine.root("POST", "users/emmy/server")
    await machine.token_call(
        machine.spawner.tokens[EMMY], "POST", "users/emmy/activity",
        {"last_activity": f"{clock.now():%Y-%m-%dT%H:%M:%SZ}"},
    )  # fmt: skip
    found = (await _students(people))["emmy"]
    assert (found["state"], found["here"]) == ("ready", False)


async def test_unused_servers_are_told(people: ClassPeople, clock: FakeClock) -> None:
    await people.emmy.post("/hub/spawn/emmy", {})
    assert (await _students(people))["emmy"]["idle_minutes"] is None
    clock.pass_time(12 * 60)
    assert (await _students(people))["emmy"]["idle_minutes"] == 12


async def test_the_stream_tells_what_changes_and_no_more(
    machine: Machine, people: ClassPeople
) -> None:
    async with events(machine, people.lovelace, f"{LIVE}/stream") as stream:
        first = await stream.next()
        assert {one["name"] for one in first["changed"]} == {"emmy", "sophie"}
        await people.emmy.post("/hub/spawn/emmy", {})
        machine.hub.classroom.parts["live"]._looks.clear()
        event = await stream.next()
        assert [(one["name"], one["state"]) for one in event["changed"]] == [("emmy", "ready")]
        assert event["counts"]["running"] == 1


async def test_the_stream_ends_for_who_teaches_the_class_no_more(
    machine: Machine, people: ClassPeople
) -> None:
    async with events(machine, people.lovelace, f"{LIVE}/stream") as stream:
        await stream.next()
        machine.hub.classroom.parts["classes"].remove_teacher("algebra", Username("lovelace"))
        assert await stream.next() is None


async def test_nobody_takes_the_streams_of_all(
    machine: Machine, people: ClassPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.hub.api.class_live._VIEWERS_OF_ONE", 1)
    async with events(machine, people.lovelace, f"{LIVE}/stream") as stream:
        await stream.next()
        assert (await people.lovelace.api("GET", f"{LIVE}/stream")).status == 429
        others = f"{LIVE.replace('algebra', 'logic')}/stream"
        async with events(machine, people.noether, others) as other:
            assert await other.next()


async def test_viewers_share_one_look(machine: Machine, people: ClassPeople) -> None:
    asked = 0
    running = machine.spawner.running

    async def counted() -> Any:
        nonlocal asked
        asked += 1
        return await running()

    machine.spawner.running = counted  # type: ignore[method-assign]
    for _ in range(5):
        await _students(people)
    assert asked == 1


async def test_start_and_stop_all(machine: Machine, people: ClassPeople) -> None:
    done = await people.lovelace.post("/hub/classes/algebra/do", {"do": "start-all"})
    assert done.status == 302
    states = {one["state"] for one in (await _students(people)).values()}
    assert states <= {"starting", "ready"}
    assert KURT not in machine.spawner.servers
    sure = await people.lovelace.post("/hub/classes/algebra/do", {"do": "stop-all"})
    assert sure.status == 200
    assert "Stop them all" in sure.body
    assert set(machine.spawner.servers) == {EMMY, SOPHIE}
    await people.lovelace.post("/hub/classes/algebra/do", {"do": "stop-all", "sure": "1"})
    done = await people.lovelace.api("GET", LIVE)
    assert done.json["counts"]["running"] == 0


async def test_start_and_stop_some_by_the_api(machine: Machine, people: ClassPeople) -> None:
    path = "appliance/classes/algebra/servers"
    done = await people.lovelace.api("POST", path, {"do": "start", "users": ["sophie"]})
    assert done.json == {"done": ["sophie"], "failed": []}
    refused = await people.lovelace.api("POST", path, {"do": "start", "users": ["sophie", "kurt"]})
    assert refused.status == 400
    assert KURT not in machine.spawner.servers
    done = await people.lovelace.api("POST", path, {"do": "stop"})
    assert done.json == {"done": ["sophie"], "failed": []}


async def test_freezing_is_one_button(people: ClassPeople) -> None:
    await people.lovelace.post("/hub/classes/algebra/do", {"do": "freeze"})
    assert (await people.lovelace.api("GET", LIVE)).json["frozen"]
    assert "Let people join again" in (await people.lovelace.get("/hub/classes/algebra")).body
    await people.lovelace.post("/hub/classes/algebra/do", {"do": "unfreeze"})
    assert not (await people.lovelace.api("GET", LIVE)).json["frozen"]


async def test_a_message_that_is_too_long_is_shown_again(people: ClassPeople) -> None:
    text = "x" * 2001
    shown = await people.lovelace.post(
        "/hub/classes/algebra/do", {"do": "message", "to": "class", "text": text}
    )
    assert shown.status == 400
    assert text in shown.body
    assert "2001 characters" in shown.body


async def test_messages_and_questions_from_the_page(people: ClassPeople) -> None:
    fields = [("do", "message"), ("to", "chosen"), ("text", "Well done"), ("user", "emmy")]
    assert (await people.lovelace.post("/hub/classes/algebra/do", fields)).status == 302
    page = (await people.lovelace.get("/hub/classes/algebra")).body
    assert "The message is sent to 1 student." in page
    assert "read by 0 of 1" in page
    await people.lovelace.post("/hub/classes/algebra/do", {"do": "ask sophie"})
    page = (await people.sophie.get("/hub/home")).body
    assert "lovelace asks to open your server" in page
    stranger = [("do", "message"), ("to", "chosen"), ("text", "Hi"), ("user", "kurt")]
    assert (await people.lovelace.post("/hub/classes/algebra/do", stranger)).status == 400


async def test_nothing_chosen_is_told(people: ClassPeople) -> None:
    await people.lovelace.post("/hub/classes/algebra/do", {"do": "start"})
    assert "nobody is chosen" in (await people.lovelace.get("/hub/classes/algebra")).body.lower()
