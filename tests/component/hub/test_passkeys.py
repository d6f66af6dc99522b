"""Passkeys against who would cheat: other sites, old answers, copied keys, other people's keys."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from appliance.config.schema import Config
from appliance.native_auth.half_way import LIFETIME_SECONDS
from tests.component.hub.conftest import STUDENT_PASSWORD
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Answer, Browser, Machine
from tests.fakes.passkey import PRESENT, VERIFIED, Device

BEGIN, FINISH = "/hub/login/passkey", "/hub/login/passkey/finish"
ADD, ADDED = "/hub/account/passkeys/begin", "/hub/account/passkeys/finish"
REQUIRED = Config.model_validate(
    {
        "roles": {"assistants": {"scopes": ["list:users"], "users": ["bob", "eve"]}},
        "passwords": {"second_factor_roles": ["assistants"]},
    }
)


async def ask(browser: Browser, url: str, body: object = None, *, proto: str = "https") -> Answer:
    return await browser.request(
        "POST", url, json.dumps(body or {}).encode(), mode="cors", X_XSRFToken=browser.xsrf,
        X_Forwarded_Proto=proto, Content_Type="application/json",
    )  # fmt: skip


async def visitor(machine: Machine) -> Browser:
    browser = machine.browser()
    await browser.get("/hub/login")
    return browser


async def register(browser: Browser, device: Device) -> Answer:
    begun = (await ask(browser, ADD)).json
    answer = device.make(begun["options"])
    return await ask(browser, ADDED, {"key": begun["key"], "answer": answer, "name": "Phone"})


async def use(browser: Browser, device: Device, **body: Any) -> Answer:
    begun = (await ask(browser, BEGIN, body)).json
    answer = device.use(begun["options"])
    return await ask(browser, FINISH, {**body, "key": begun["key"], "answer": answer})


@pytest.fixture
async def phone(bob: Browser) -> Device:
    """Bob's, known to the hub."""
    await bob.get("/hub/account")
    device = Device()
    assert (await register(bob, device)).status == 200
    return device


async def test_a_passkey_logs_its_user_in(machine: Machine, phone: Device) -> None:
    browser = await visitor(machine)
    answer = await use(browser, phone)
    assert (answer.status, answer.json["location"]) == (200, "/hub/spawn")
    page = await browser.get("/hub/account")
    assert "<strong>bob</strong>" in page.body


@pytest.mark.parametrize(
    "lie",
    [
        {"origin": "https://evil.test"},
        {"origin": "https://hub.test.evil.test"},
        {"origin": "https://sub.hub.test"},
        {"origin": "https://hub.test:8443"},
        {"origin": "http://hub.test"},
        {"rp": "evil.test"},
        {"rp": "test"},
        {"flags": VERIFIED},
        {"flags": PRESENT},
        {"more": {"crossOrigin": True}},
        {"more": {"type": "webauthn.create"}},
        {"more": {"challenge": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}},
        {"handle": b"somebody else's"},
        {"credential": b"x" * 32},
    ],
    ids=str,
)
async def test_what_differs_from_what_was_asked_is_refused(
    machine: Machine, phone: Device, lie: dict[str, Any]
) -> None:
    for name, value in lie.items():
        setattr(phone, name, value)
    browser = await visitor(machine)
    answer = await use(browser, phone)
    assert (answer.status, set(answer.json)) == (403, {"error"})
    assert "jupyterhub-hub-login" not in browser.jar


async def test_another_key_under_the_same_id_is_refused(machine: Machine, phone: Device) -> None:
    forged = Device(credential=phone.credential, handle=phone.handle)
    assert (await use(await visitor(machine), forged)).status == 403


async def test_an_answer_works_once(machine: Machine, phone: Device) -> None:
    browser = await visitor(machine)
    begun = (await ask(browser, BEGIN)).json
    body = {"key": begun["key"], "answer": phone.use(begun["options"])}
    copies = [await visitor(machine) for _ in range(3)]
    answers = await asyncio.gather(*[ask(one, FINISH, body) for one in copies])
    assert sorted(answer.status for answer in answers) == [200, 403, 403]
    fresh = (await ask(browser, BEGIN)).json
    assert (await ask(browser, FINISH, {**body, "key": fresh["key"]})).status == 403


async def test_a_challenge_ends(machine: Machine, phone: Device, clock: FakeClock) -> None:
    browser = await visitor(machine)
    begun = (await ask(browser, BEGIN)).json
    clock.pass_time(LIFETIME_SECONDS + 1)
    body = {"key": begun["key"], "answer": phone.use(begun["options"])}
    answer = await ask(browser, FINISH, body)
    assert (answer.status, "took too long" in answer.json["error"]) == (403, True)


async def test_a_copied_key_is_found_out_by_its_counter(machine: Machine, phone: Device) -> None:
    copy = Device(credential=phone.credential, handle=phone.handle, key=phone.key, count=0)
    assert (await use(await visitor(machine), phone)).status == 200
    assert (await use(await visitor(machine), phone)).status == 200
    answer = await use(await visitor(machine), copy)
    assert (answer.status, "copied" in answer.json["error"]) == (403, True)


async def test_a_locked_user_has_no_use_of_it(
    machine: Machine, ada: Browser, phone: Device
) -> None:
    assert (await ada.api("PUT", "appliance/users/bob/lock")).status == 200
    assert (await use(await visitor(machine), phone)).status == 403


@pytest.mark.parametrize(
    "answer",
    [
        None, [], "x", {}, {"id": "x"}, {"id": 1, "rawId": 2, "type": "public-key", "response": 3},
        {"id": "AA", "rawId": "AA", "type": "public-key", "response": {
            "clientDataJSON": "e30", "authenticatorData": "", "signature": ""}},
        {"id": "AA", "rawId": "AB", "type": "public-key", "response": {
            "clientDataJSON": "bnVsbA", "authenticatorData": "AA", "signature": "AA"}},
        {"id": "A", "rawId": "A", "type": "public-key", "response": {
            "clientDataJSON": "A", "authenticatorData": "A", "signature": "A"}},
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
async def test_nonsense_is_refused(machine: Machine, phone: Device, answer: object) -> None:
    browser = await visitor(machine)
    begun = (await ask(browser, BEGIN)).json
    found = await ask(browser, FINISH, {"key": begun["key"], "answer": answer})
    assert (found.status, set(found.json)) == (403, {"error"})


async def test_over_plain_http_there_are_none(machine: Machine, bob: Browser) -> None:
    await bob.get("/hub/account")
    for url in (BEGIN, ADD):
        assert (await ask(bob, url, proto="http")).status == 403


async def test_without_a_token_of_the_page_nothing_is_begun(machine: Machine, bob: Browser) -> None:
    for url in (BEGIN, FINISH, ADD, ADDED):
        answer = await bob.request(
            "POST", url, b"{}", mode="cors", X_Forwarded_Proto="https",
            Content_Type="application/json",
        )  # fmt: skip
        assert answer.status == 403


async def test_a_session_that_isnt_fresh_needs_the_password_to_add_one(
    machine: Machine, bob: Browser, clock: FakeClock
) -> None:
    clock.pass_time(700)
    await bob.get("/hub/account")
    assert (await ask(bob, ADD)).status == 403
    assert (await ask(bob, ADD, {"password": "wrong"})).status == 403
    assert (await ask(bob, ADD, {"password": STUDENT_PASSWORD})).status == 200


async def test_a_key_is_added_once_and_to_who_asked(
    machine: Machine, ada: Browser, bob: Browser, phone: Device
) -> None:
    await ada.get("/hub/account")
    again = await register(ada, phone)
    assert (again.status, "known already" in again.json["error"]) == (400, True)
    begun = (await ask(bob, ADD)).json
    stolen = {"key": begun["key"], "answer": Device().make(begun["options"]), "name": "x"}
    assert (await ask(ada, ADDED, stolen)).status == 403


async def test_nobody_changes_anothers(machine: Machine, ada: Browser, phone: Device) -> None:
    await ada.get("/hub/account")
    answer = await ada.post("/hub/account/passkeys", {"do": "rename 1", "name_1": "Mine"})
    assert answer.status == 302
    assert (await use(await visitor(machine), phone)).status == 200


@pytest.mark.parametrize("config", [REQUIRED])
class TestAsSecondFactor:
    async def _half_way(self, machine: Machine, name: str, password: str) -> Browser:
        browser = machine.browser()
        answer = await browser.log_in(name, password)
        assert answer.location.startswith("/hub/login/second")
        await browser.get("/hub/login/second")
        return browser

    async def test_it_is_asked_after_the_password(self, machine: Machine, phone: Device) -> None:
        browser = await self._half_way(machine, "bob", STUDENT_PASSWORD)
        phone.flags = PRESENT  # the password was the other factor
        answer = await use(browser, phone, second=True)
        assert answer.status == 200
        assert (await browser.get("/hub/account")).status == 200

    async def test_anothers_key_is_refused(self, machine: Machine, phone: Device) -> None:
        await machine.root("POST", "appliance/users", {"usernames": ["eve"]})
        await machine.root("PUT", "appliance/users/eve/password", {"password": "a-very-long-one"})
        eve, key = machine.browser(), Device()
        await eve.log_in("eve", "a-very-long-one")
        await eve.get("/hub/account/second-factor")
        assert (await register(eve, key)).status == 200
        browser = await self._half_way(machine, "bob", STUDENT_PASSWORD)
        assert (await use(browser, key, second=True)).status == 403
        assert "jupyterhub-hub-login" not in browser.jar

    async def test_a_challenge_for_one_step_is_none_for_the_other(
        self, machine: Machine, phone: Device
    ) -> None:
        """A key that only showed that somebody is there is no log-in of its own."""
        browser = await self._half_way(machine, "bob", STUDENT_PASSWORD)
        begun = (await ask(browser, BEGIN, {"second": True})).json
        phone.flags = PRESENT
        body = {"key": begun["key"], "answer": phone.use(begun["options"])}
        assert (await ask(browser, FINISH, body)).status == 403

    async def test_without_a_ticket_there_is_no_second_step(
        self, machine: Machine, phone: Device
    ) -> None:
        browser = await visitor(machine)
        assert (await ask(browser, BEGIN, {"second": True})).status == 403
