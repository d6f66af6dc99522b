"""Messages: who may send them to whom, how browsers hear of them, and when a stream ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from appliance.access.tokens import hash_secret
from appliance.errors import BadRequest
from appliance.hub.classroom.lab_keys import key_of
from appliance.hub.classroom.messages import Offer
from appliance.hub.classroom.streams import OF_ONE_USER
from appliance.names import ServerId, Username
from tests.fakes.class_people import ClassPeople, class_people, events
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Browser, Machine


@pytest.fixture
async def people(machine: Machine) -> ClassPeople:
    return await class_people(machine)


async def _cards(browser: Browser) -> list[Any]:
    answer = await browser.api("GET", "appliance/messages")
    assert answer.status == 200, answer.body
    cards: list[Any] = answer.json["cards"]
    return cards


async def test_a_class_hears_what_its_teacher_says(people: ClassPeople) -> None:
    text = "Look up, please.\n<b>Now</b>"
    sent = await people.lovelace.api("POST", "appliance/classes/algebra/messages", {"text": text})
    assert sent.status == 204, sent.body
    for student in (people.emmy, people.sophie):
        [card] = await _cards(student)
        assert (card["kind"], card["title"], card["text"]) == ("message", "lovelace", text)
    assert await _cards(people.kurt) == []
    assert await _cards(people.lovelace) == []


async def test_a_message_is_there_until_it_is_read(people: ClassPeople) -> None:
    await people.lovelace.api("POST", "appliance/classes/algebra/messages", {"text": "Hello"})
    [card] = await _cards(people.emmy)
    [button] = card["buttons"]
    assert (await people.emmy.api("POST", button["path"], button["body"])).status == 204
    assert await _cards(people.emmy) == []
    assert len(await _cards(people.sophie)) == 1
    [sent] = (await people.lovelace.api("GET", "appliance/classes/algebra/messages")).json
    assert (sent["seen"], sent["of"], sent["user"]) == (1, 2, None)


async def test_a_message_to_some_of_a_class(people: ClassPeople) -> None:
    body = {"text": "Well done", "users": ["emmy"]}
    assert (
        await people.lovelace.api("POST", "appliance/classes/algebra/messages", body)
    ).status == 204
    assert len(await _cards(people.emmy)) == 1
    assert await _cards(people.sophie) == []
    body = {"text": "Hello", "users": ["kurt"]}
    refused = await people.lovelace.api("POST", "appliance/classes/algebra/messages", body)
    assert refused.status == 400
    assert await _cards(people.kurt) == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("appliance/classes/logic/messages", 404),
        ("appliance/users/kurt/messages", 404),
        ("appliance/messages", 403),
    ],
)
async def test_a_teacher_speaks_to_her_own_classes_alone(
    people: ClassPeople, path: str, status: int
) -> None:
    answer = await people.lovelace.api("POST", path, {"text": "Hello"})
    assert answer.status == status, answer.body
    assert await _cards(people.kurt) == []


@pytest.mark.parametrize(
    "path",
    ["appliance/classes/algebra/messages", "appliance/users/sophie/messages", "appliance/messages"],
)
async def test_students_send_nothing(people: ClassPeople, path: str) -> None:
    assert (await people.emmy.api("POST", path, {"text": "Hello"})).status in {403, 404}
    assert await _cards(people.sophie) == []


async def test_root_speaks_to_everybody(machine: Machine, people: ClassPeople) -> None:
    sent = await machine.root("POST", "appliance/messages", {"text": "Maintenance at noon"})
    assert sent.status == 204, sent.body
    for browser in (people.lovelace, people.kurt):
        [card] = await _cards(browser)
        assert (card["title"], card["text"]) == ("The administrator", "Maintenance at noon")


@pytest.mark.parametrize(
    "body",
    [
        {"text": ""},
        {"text": " \n "},
        {"text": "x" * 2001},
        {"text": "a\x1b[2Jb"},
        {"text": "Hello", "hours": 0},
        {"text": "Hello", "hours": 10_000},
        {"text": 5},
        {"text": "Hello", "sender": "noether"},
    ],
)
async def test_what_is_no_message_is_refused(people: ClassPeople, body: dict[str, Any]) -> None:
    answer = await people.lovelace.api("POST", "appliance/classes/algebra/messages", body)
    assert answer.status == 400, answer.body
    assert await _cards(people.emmy) == []


async def test_nobody_is_flooded(people: ClassPeople, clock: FakeClock) -> None:
    async def say() -> int:
        path = "appliance/users/emmy/messages"
        return (await people.lovelace.api("POST", path, {"text": "Hello"})).status

    statuses = [await say() for _ in range(31)]
    assert statuses == [204] * 30 + [429]
    clock.pass_time(601)
    assert await say() == 204


async def test_a_message_ends_with_its_time(
    machine: Machine, people: ClassPeople, clock: FakeClock
) -> None:
    await people.lovelace.api(
        "POST", "appliance/users/emmy/messages", {"text": "Hello", "hours": 1}
    )
    clock.pass_time(3601)
    assert await _cards(people.emmy) == []
    machine.hub.classroom.parts["messages"].purge()
    found = await people.lovelace.api("GET", "appliance/classes/algebra/messages")
    assert found.json == []


async def test_a_stream_tells_what_comes_and_what_goes(
    machine: Machine, people: ClassPeople
) -> None:
    async with events(machine, people.emmy, "appliance/messages/stream") as stream:
        assert (await stream.next())["cards"] == []
        await people.lovelace.api("POST", "appliance/users/emmy/messages", {"text": "Hello"})
        [card] = (await stream.next())["cards"]
        assert card["text"] == "Hello"
        await people.emmy.api("POST", card["buttons"][0]["path"], {})
        assert (await stream.next())["cards"] == []


async def test_a_browser_that_comes_again_misses_and_repeats_nothing(
    machine: Machine, people: ClassPeople
) -> None:
    async with events(machine, people.emmy, "appliance/messages/stream") as stream:
        last = await stream.next_id()
    await people.lovelace.api("POST", "appliance/users/emmy/messages", {"text": "Meanwhile"})
    again = events(machine, people.emmy, "appliance/messages/stream", Last_Event_ID=last)
    async with again as stream:
        last = await stream.next_id()
        [card] = (await stream.next())["cards"]
        assert card["text"] == "Meanwhile"
    again = events(machine, people.emmy, "appliance/messages/stream", Last_Event_ID=last)
    async with again as stream:
        with pytest.raises(TimeoutError):
            await stream.next(seconds=0.3)


async def test_a_stream_ends_at_log_out(machine: Machine, people: ClassPeople) -> None:
    async with events(machine, people.emmy, "appliance/messages/stream") as stream:
        await stream.next()
        await people.emmy.post("/hub/logout", {})
        assert await stream.next() is None


async def test_a_stream_ends_with_the_account(machine: Machine, people: ClassPeople) -> None:
    async with events(machine, people.emmy, "appliance/messages/stream") as stream:
        await stream.next()
        assert (await machine.root("DELETE", "users/emmy")).status == 204
        assert await stream.next() is None


async def test_a_stream_ends_when_the_account_is_locked(
    machine: Machine, people: ClassPeople
) -> None:
    async with events(machine, people.emmy, "appliance/messages/stream") as stream:
        await stream.next()
        assert (await machine.root("PUT", "appliance/users/emmy/lock")).status in {200, 204}
        assert await stream.next() is None


async def test_streams_of_one_user_are_bounded(machine: Machine, people: ClassPeople) -> None:
    streams = machine.hub.classroom.parts["streams"]
    opened = [streams.open("emmy", 1) for _ in range(OF_ONE_USER)]
    async with events(machine, people.emmy, "appliance/messages/stream") as stream:
        assert stream.status == 429
    streams.close(opened.pop())
    async with events(machine, people.emmy, "appliance/messages/stream") as stream:
        assert stream.status == 200


async def test_a_page_of_another_server_reads_nothing(
    machine: Machine, people: ClassPeople
) -> None:
    """It comes with the visitor's cookie, and hasn't got the key of the visitor's own server."""
    await people.kurt.post("/hub/spawn/kurt", {})
    kurts = key_of(hash_secret(machine.spawner.tokens[ServerId(Username("kurt"))]))
    for headers in ({}, {"X_Appliance_Lab_Key": "0" * 64}, {"X_Appliance_Lab_Key": kurts}):
        for mode in ("cors", "no-cors", "navigate", ""):
            answer = await people.emmy.request(
                "GET", "/hub/api/appliance/messages", mode=mode, **headers
            )
            assert answer.status == 403, (headers, mode)


async def test_a_page_of_ones_own_server_reads_and_answers(
    machine: Machine, people: ClassPeople
) -> None:
    await people.emmy.post("/hub/spawn/emmy", {})
    key = key_of(hash_secret(machine.spawner.tokens[ServerId(Username("emmy"))]))
    await people.lovelace.api("POST", "appliance/users/emmy/messages", {"text": "Hello"})
    answer = await people.emmy.request(
        "GET", f"/hub/api/appliance/messages?lab_key={key}", mode="cors"
    )
    [card] = answer.json["cards"]
    seen = await people.emmy.request(
        "POST", f"/hub/api/{card['buttons'][0]['path']}", b"{}", mode="cors",
        X_Appliance_Lab_Key=key, Content_Type="application/json",
    )  # fmt: skip
    assert seen.status == 204, seen.body
    # With the key one speaks for oneself, not to everybody, though one be an admin.
    await machine.root("PATCH", "users/emmy", {"admin": True})
    refused = await people.emmy.request(
        "POST", "/hub/api/appliance/messages", b'{"text": "Hello"}', mode="cors",
        X_Appliance_Lab_Key=key, Content_Type="application/json",
    )  # fmt: skip
    assert refused.status == 403


async def test_the_key_alone_is_no_log_in_where_all_have_one_name(
    machine: Machine, people: ClassPeople
) -> None:
    await people.emmy.post("/hub/spawn/emmy", {})
    key = key_of(hash_secret(machine.spawner.tokens[ServerId(Username("emmy"))]))
    stranger = machine.browser()
    for mode in ("cors", ""):
        answer = await stranger.request(
            "GET", f"/hub/api/appliance/messages?lab_key={key}", mode=mode
        )
        assert answer.status == 403


async def test_a_servers_token_reads_nothing(machine: Machine, people: ClassPeople) -> None:
    await people.emmy.post("/hub/spawn/emmy", {})
    token = machine.spawner.tokens[ServerId(Username("emmy"))]
    assert (await machine.token_call(token, "GET", "appliance/messages")).status == 403


async def test_messages_stand_on_the_page_of_ones_server(people: ClassPeople) -> None:
    await people.lovelace.api(
        "POST", "appliance/users/emmy/messages", {"text": "<i>Hello</i> & welcome"}
    )
    page = (await people.emmy.get("/hub/home")).body
    assert "&lt;i&gt;Hello&lt;/i&gt; &amp; welcome" in page
    [card] = await _cards(people.emmy)
    done = await people.emmy.post("/hub/messages", {"do": f"seen {card['key'][1:]}"})
    assert done.status == 302
    assert "welcome" not in (await people.emmy.get("/hub/home")).body
    assert await _cards(people.emmy) == []


async def test_nobody_marks_anothers_message(people: ClassPeople) -> None:
    await people.lovelace.api("POST", "appliance/users/emmy/messages", {"text": "Hello"})
    [card] = await _cards(people.emmy)
    assert (await people.sophie.api("POST", card["buttons"][0]["path"], {})).status == 404
    assert len(await _cards(people.emmy)) == 1


async def test_who_sends_is_audited_and_the_words_are_not(
    machine: Machine, people: ClassPeople
) -> None:
    await people.lovelace.api("POST", "appliance/users/emmy/messages", {"text": "Between us"})
    log = (machine.places.hub_audit / "audit.jsonl").read_text()
    assert '"message.send"' in log
    assert "Between us" not in log


async def test_a_notice_takes_the_place_of_the_one_before(
    machine: Machine, people: ClassPeople, clock: FakeClock
) -> None:
    messages = machine.hub.classroom.parts["messages"]
    for text in ("It will be stopped.", "It will be stopped.", "It will be stopped soon."):
        messages.tell("emmy", text, topic="idle")
    messages.tell("emmy", "Your home is full.", topic="disk", title="Your files")
    idle, disk = await _cards(people.emmy)
    assert (idle["kind"], idle["title"], idle["text"]) == (
        "notice", "Your server", "It will be stopped soon.",
    )  # fmt: skip
    assert (disk["title"], disk["text"]) == ("Your files", "Your home is full.")
    for button in disk["buttons"]:
        assert (await people.emmy.api("POST", button["path"], button["body"])).status == 204
    # What she has read isn't told again, as long as it is the same.
    messages.tell("emmy", "Your home is full.", topic="disk", title="Your files")
    assert [card["text"] for card in await _cards(people.emmy)] == ["It will be stopped soon."]
    messages.withdraw("emmy", "idle")
    messages.withdraw("emmy", "idle")
    assert await _cards(people.emmy) == []
    messages.tell("emmy", "Gone in an hour.", topic="idle", lasts=timedelta(hours=1))
    clock.pass_time(3601)
    assert await _cards(people.emmy) == []
    messages.tell("emmy", "Gone in an hour.", topic="idle", lasts=timedelta(hours=1))
    assert len(await _cards(people.emmy)) == 1
    messages.tell("nobody-of-that-name", "Hello", topic="idle")


async def test_the_button_of_a_notice_does_what_it_offers(
    machine: Machine, people: ClassPeople
) -> None:
    done: list[tuple[str, str]] = []

    def keep(user: str, server: str) -> None:
        if done:
            raise BadRequest("cannot keep it running", why="it is kept already")
        done.append((user, server))

    messages = machine.hub.classroom.parts["messages"]
    messages.on_action("keep", keep)
    offer = Offer("Keep it running", action="keep", value="second")
    messages.tell("emmy", "It will be stopped.", topic="idle", offer=offer)
    [card] = await _cards(people.emmy)
    button, seen = card["buttons"]
    assert (button["label"], button["main"], seen["label"], seen["main"]) == (
        "Keep it running", True, "Got it", False,
    )  # fmt: skip
    for other in (people.sophie, people.lovelace):
        assert (await other.api("POST", button["path"], {})).status == 404
    assert done == []
    assert (await people.emmy.api("POST", button["path"], button["body"])).status == 204
    assert done == [("emmy", "second")]
    assert await _cards(people.emmy) == []
    messages.tell("emmy", "Again.", topic="idle", offer=offer)
    home = await people.emmy.get("/hub/home")
    assert "Keep it running" in home.body
    [card] = await _cards(people.emmy)
    refused = await people.emmy.api("POST", card["buttons"][0]["path"], {})
    assert refused.status == 400
    assert "it is kept already" in refused.json["message"]
    assert len(await _cards(people.emmy)) == 1


async def test_a_notice_may_lead_to_a_page(machine: Machine, people: ClassPeople) -> None:
    machine.hub.classroom.parts["messages"].tell(
        "emmy", "Your home is full.", topic="disk", offer=Offer("See why", page="account")
    )
    [card] = await _cards(people.emmy)
    assert card["buttons"][0]["page"] == "account"
    assert (await people.emmy.api("POST", card["buttons"][0]["path"], {})).status == 404
    assert 'href="/hub/account">See why</a>' in (await people.emmy.get("/hub/home")).body
