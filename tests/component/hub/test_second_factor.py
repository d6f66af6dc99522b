"""The second step of a log-in: setting it up, taking it, and everything that must not get past."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from unittest import mock

import pyotp
import pytest

from appliance.config.schema import Config
from appliance.names import Username
from appliance.native_auth.half_way import LIFETIME_SECONDS
from tests.component.hub.conftest import PASSWORD, STUDENT_PASSWORD
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Answer, Browser, Machine

PAGE = "/hub/account/second-factor"
REQUIRED = Config.model_validate({"passwords": {"second_factor_roles": ["admin", "teacher"]}})


class App:
    """An authenticator app on somebody's phone."""

    def __init__(self, secret: str, clock: FakeClock) -> None:
        self._totp = pyotp.TOTP(secret)
        self._clock = clock

    def code(self, *, steps: int = 0) -> str:
        return self._totp.generate_otp(int(self._clock.now().timestamp()) // 30 + steps)

    def wrong(self) -> str:
        right = {self.code(steps=steps) for steps in (-1, 0, 1)}
        return next(code for code in ("000000", "111111", "222222", "333333") if code not in right)


async def set_up(browser: Browser, clock: FakeClock) -> tuple[App, list[str]]:
    """An app for who has just logged in, and the recovery codes."""
    await browser.get(PAGE)
    assert (await browser.post(PAGE, {"do": "begin"})).status == 302
    page = await browser.get(PAGE)
    found = re.search(r'id="secret">([A-Z2-7 ]+)<', page.body)
    assert found
    assert page.body.count('class="qr"') == 1
    app = App(found[1].replace(" ", ""), clock)
    answer = await browser.post(PAGE, {"do": "confirm", "code": app.code()})
    codes = re.findall(r"<li>([a-z0-9-]+)</li>", answer.body)
    assert (answer.status, len(codes)) == (200, 10)
    clock.pass_time(30)
    return app, codes


async def first_step(machine: Machine, *, then: str = "") -> Browser:
    browser = machine.browser()
    answer = await browser.log_in("bob", STUDENT_PASSWORD, then=then)
    assert (answer.status, answer.location.partition("?")[0]) == (302, "/hub/login/second")
    assert "jupyterhub-hub-login" not in browser.jar
    return browser


async def second(browser: Browser, **fields: str) -> Answer:
    await browser.get("/hub/login/second")
    return await browser.post("/hub/login/second", fields)


async def test_after_the_password_comes_the_code(
    machine: Machine, bob: Browser, clock: FakeClock
) -> None:
    app, _ = await set_up(bob, clock)
    browser = await first_step(machine, then="/hub/token")
    page = await browser.get("/hub/login/second?next=%2Fhub%2Ftoken")
    assert "Code of your app" in page.body
    wrong = await browser.post("/hub/login/second", {"code": app.wrong()})
    assert (wrong.status, "The code is wrong" in wrong.body) == (403, True)
    answer = await browser.post("/hub/login/second", {"code": app.code(), "next": "/hub/token"})
    assert (answer.status, answer.location) == (302, "/hub/token")
    assert (await browser.get("/hub/token")).status == 200
    assert "appliance-second-step" not in browser.jar


async def test_half_way_nothing_is_open(machine: Machine, bob: Browser, clock: FakeClock) -> None:
    await set_up(bob, clock)
    browser = await first_step(machine)
    for path in ("/hub/home", "/hub/token", "/hub/account", PAGE, "/hub/spawn"):
        answer = await browser.get(path)
        assert (answer.status, answer.location.partition("?")[0]) == (302, "/hub/login"), path
    assert (await browser.api("GET", "user")).status == 403
    assert (await browser.api("POST", "users/bob/tokens", {})).status == 403
    assert (await browser.api("POST", "users/bob/server", {})).status == 403
    assert machine.spawner.servers == {}
    for place in ("jupyterhub-hub-login", "jupyterhub-session-id"):
        thief = machine.browser()
        thief.jar = {place: (browser.jar["appliance-second-step"][0], "/")}
        assert (await thief.get("/hub/home")).status == 302


async def test_a_password_makes_no_token_either(
    machine: Machine, bob: Browser, clock: FakeClock
) -> None:
    auth = {"auth": {"username": "bob", "password": STUDENT_PASSWORD}}
    assert (await machine.browser().api("POST", "users/bob/tokens", auth)).status == 201
    await set_up(bob, clock)
    answer = await machine.browser().api("POST", "users/bob/tokens", auth)
    assert (answer.status, "not enough" in answer.json["message"]) == (403, True)


@pytest.mark.parametrize("goal", ["https://evil.example/", "//evil.example/x", "/\\evil.example"])
async def test_the_second_step_leads_nowhere_else(
    machine: Machine, bob: Browser, clock: FakeClock, goal: str
) -> None:
    app, _ = await set_up(bob, clock)
    browser = await first_step(machine, then=goal)
    answer = await second(browser, code=app.code(), next=goal)
    assert answer.status == 302
    assert answer.location.startswith("/hub/")


class TestCodes:
    async def test_each_works_once(self, machine: Machine, bob: Browser, clock: FakeClock) -> None:
        app, _ = await set_up(bob, clock)
        code = app.code()
        assert (await second(await first_step(machine), code=code)).status == 302
        assert (await second(await first_step(machine), code=code)).status == 403
        # Nor one of a step before.
        assert (await second(await first_step(machine), code=app.code(steps=-1))).status == 403
        clock.pass_time(30)
        assert (await second(await first_step(machine), code=app.code())).status == 302

    async def test_of_many_at_once_one_gets_in(
        self, machine: Machine, bob: Browser, clock: FakeClock
    ) -> None:
        app, _ = await set_up(bob, clock)
        browsers = [await first_step(machine) for _ in range(4)]
        answers = await asyncio.gather(*[second(one, code=app.code()) for one in browsers])
        assert sorted(answer.status for answer in answers) == [302, 403, 403, 403]

    @pytest.mark.parametrize(("steps", "status"), [(-2, 403), (-1, 302), (1, 302), (2, 403)])
    async def test_clocks_may_differ_a_little(
        self, machine: Machine, bob: Browser, clock: FakeClock, steps: int, status: int
    ) -> None:
        app, _ = await set_up(bob, clock)
        clock.pass_time(60)
        assert (
            await second(await first_step(machine), code=app.code(steps=steps))
        ).status == status

    @pytest.mark.parametrize(
        "code", ["", "12345", "1234567", "abcdef", "١٢٣٤٥٦", "0x1234", "-12345"]
    )
    async def test_what_is_no_code(
        self, machine: Machine, bob: Browser, clock: FakeClock, code: str
    ) -> None:
        await set_up(bob, clock)
        assert (await second(await first_step(machine), code=code)).status == 403

    async def test_guessing_is_slow_from_everywhere(
        self, machine: Machine, bob: Browser, clock: FakeClock
    ) -> None:
        app, codes = await set_up(bob, clock)
        statuses = []
        for number in range(12):
            thief = machine.browser()
            thief.address = f"198.51.100.{number}"
            await thief.log_in("bob", STUDENT_PASSWORD)
            statuses.append((await second(thief, code=app.wrong())).status)
        assert statuses[:5] == [403] * 5
        assert statuses[-1] == 429
        # The owner waits as well, for the code; a printed one works at once.
        owner = await first_step(machine)
        throttled = await second(owner, code=app.code())
        assert (throttled.status, "retry-after" in throttled.headers) == (429, True)
        assert (await second(owner, recovery=codes[0])).status == 302
        assert (await machine.root("DELETE", "appliance/users/bob/throttle")).status == 204
        assert (await second(await first_step(machine), code=app.code())).status == 302

    async def test_setting_up_needs_a_right_first_code(
        self, machine: Machine, bob: Browser
    ) -> None:
        await bob.get(PAGE)
        await bob.post(PAGE, {"do": "begin"})
        assert (await bob.post(PAGE, {"do": "confirm", "code": "000000"})).status == 403
        assert (await machine.browser().log_in("bob", STUDENT_PASSWORD)).status == 302
        assert "second" not in (await machine.browser().log_in("bob", STUDENT_PASSWORD)).location

    async def test_the_secret_is_sealed_and_not_shown_again(
        self, machine: Machine, bob: Browser, clock: FakeClock
    ) -> None:
        app, _ = await set_up(bob, clock)
        assert 'id="secret"' not in (await bob.get(PAGE)).body
        assert (await bob.post(PAGE, {"do": "begin"})).status == 409
        stored = (machine.places.hub_state / "hub.sqlite").read_bytes()
        stored += b"".join(one.read_bytes() for one in machine.places.hub_state.glob("*-wal"))
        assert b"gAAAAA" in stored
        assert app._totp.secret.encode() not in stored
        # Without the key file no code is right, and nothing breaks.
        (machine.places.hub_state / "factors.secret").write_bytes(b"x" * 32)
        await machine.restart()
        assert (await second(await first_step(machine), code=app.code())).status == 403


class TestRecoveryCodes:
    async def test_each_works_once_however_typed(
        self, machine: Machine, bob: Browser, clock: FakeClock
    ) -> None:
        _, codes = await set_up(bob, clock)
        assert (await second(await first_step(machine), recovery=codes[0])).status == 302
        assert (await second(await first_step(machine), recovery=codes[0])).status == 403
        typed = codes[1].upper().replace("-", " ")
        assert (await second(await first_step(machine), recovery=typed)).status == 302
        assert "8 codes are left" in (await bob.get(PAGE)).body

    async def test_of_two_at_once_one_gets_in(
        self, machine: Machine, bob: Browser, clock: FakeClock
    ) -> None:
        _, codes = await set_up(bob, clock)
        browsers = [await first_step(machine) for _ in range(2)]
        answers = await asyncio.gather(*[second(one, recovery=codes[0]) for one in browsers])
        assert sorted(answer.status for answer in answers) == [302, 403]

    async def test_new_ones_end_the_old_and_need_the_password(
        self, machine: Machine, bob: Browser, clock: FakeClock
    ) -> None:
        _, codes = await set_up(bob, clock)
        assert (await bob.post(PAGE, {"do": "codes"})).status == 403
        answer = await bob.post(PAGE, {"do": "codes", "codes_proof": STUDENT_PASSWORD})
        assert answer.status == 200
        assert codes[0] not in answer.body
        assert (await second(await first_step(machine), recovery=codes[0])).status == 403

    async def test_another_users_code_is_none(
        self, machine: Machine, ada: Browser, bob: Browser, clock: FakeClock
    ) -> None:
        _, of_ada = await set_up(ada, clock)
        await set_up(bob, clock)
        assert (await second(await first_step(machine), recovery=of_ada[0])).status == 403
        browser = machine.browser()
        await browser.log_in("ada", PASSWORD)
        assert (await second(browser, recovery=of_ada[0])).status == 302


class TestTickets:
    async def test_it_is_its_users_alone(
        self, machine: Machine, ada: Browser, bob: Browser, clock: FakeClock
    ) -> None:
        """With bob's ticket and ada's code one is neither of them."""
        of_ada, _ = await set_up(ada, clock)
        await set_up(bob, clock)
        browser = await first_step(machine)
        assert (await second(browser, code=of_ada.code())).status == 403
        assert "jupyterhub-hub-login" not in browser.jar

    async def test_it_ends(self, machine: Machine, bob: Browser, clock: FakeClock) -> None:
        app, _ = await set_up(bob, clock)
        browser = await first_step(machine)
        clock.pass_time(LIFETIME_SECONDS + 1)
        answer = await second(browser, code=app.code())
        assert (answer.status, answer.location) == (302, "/hub/login")

    async def test_it_ends_with_the_password(
        self, machine: Machine, bob: Browser, clock: FakeClock
    ) -> None:
        app, _ = await set_up(bob, clock)
        browser = await first_step(machine)
        await machine.root("PUT", "appliance/users/bob/password", {"password": "set-by-root-now"})
        assert (await second(browser, code=app.code())).location == "/hub/login"

    async def test_it_ends_after_some_tries_and_when_used(
        self, machine: Machine, bob: Browser, clock: FakeClock
    ) -> None:
        app, codes = await set_up(bob, clock)
        browser = await first_step(machine)
        copied = machine.browser()
        copied.jar = dict(browser.jar)
        assert (await second(browser, recovery=codes[0])).status == 302
        assert (await second(copied, recovery=codes[1])).location == "/hub/login"
        again = await first_step(machine)
        with mock.patch.object(machine.hub.classroom.parts["second_factor"]._throttle, "attempt"):
            for _ in range(10):
                assert (await second(again, code=app.wrong())).status == 403
            assert (await second(again, code=app.code())).location == "/hub/login"

    async def test_without_one_there_is_no_second_step(self, machine: Machine) -> None:
        browser = machine.browser()
        assert (await browser.get("/hub/login/second")).location == "/hub/login"
        await browser.get("/hub/login")
        for forged in ("x", "a" * 43, "a" * 5000):
            browser.jar["appliance-second-step"] = (forged, "/hub/login")
            assert (await second(browser, code="123456")).location == "/hub/login"


class TestLinks:
    async def test_a_new_password_by_a_link_needs_the_second_step(
        self, machine: Machine, bob: Browser, clock: FakeClock
    ) -> None:
        app, _ = await set_up(bob, clock)
        made = await machine.root("POST", "appliance/users/bob/setup-link")
        browser = machine.browser()
        await browser.get(made.json["path"])
        token = made.json["path"].partition("=")[2]
        answer = await browser.post("/hub/setup", {"token": token, "password": "a-lake-in-winter"})
        assert answer.location == "/hub/login/second"
        assert "jupyterhub-hub-login" not in browser.jar
        assert (await second(browser, code=app.code())).status == 302
        assert (await browser.get("/hub/home")).status == 200


class TestSwitchingOff:
    async def test_it_needs_the_password(
        self, machine: Machine, bob: Browser, clock: FakeClock
    ) -> None:
        await set_up(bob, clock)
        for wrong in ("", "not-the-password"):
            assert (await bob.post(PAGE, {"do": "off", "off_proof": wrong})).status == 403
        assert (await bob.post(PAGE, {"do": "off", "off_proof": STUDENT_PASSWORD})).status == 302
        answer = await machine.browser().log_in("bob", STUDENT_PASSWORD)
        assert "second" not in answer.location

    async def test_root_and_admins_reset_it(
        self, machine: Machine, ada: Browser, bob: Browser, clock: FakeClock
    ) -> None:
        await set_up(bob, clock)
        found = await ada.api("GET", "appliance/users/bob/factors")
        assert found.json == {"app": True, "passkeys": 0, "recovery_codes": 10, "required": False}
        browser = await first_step(machine)
        assert (await ada.api("DELETE", "appliance/users/bob/factors")).status == 204
        assert (await second(browser, code="123456")).location == "/hub/login"
        answer = await machine.browser().log_in("bob", STUDENT_PASSWORD)
        assert "second" not in answer.location


@pytest.mark.parametrize("config", [REQUIRED])
class TestRequiredByRole:
    async def test_who_has_none_can_do_nothing_else(self, machine: Machine, ada: Browser) -> None:
        for path in ("/hub/home", "/hub/admin", "/hub/token", "/hub/account"):
            answer = await ada.get(path)
            assert (answer.status, answer.location.partition("?")[0]) == (302, PAGE), path
        assert (await ada.api("GET", "users")).status == 403
        refused = await ada.api("POST", "users/ada/tokens", {})
        assert (refused.status, "second factor" in refused.json["message"]) == (403, True)
        auth = {"auth": {"username": "ada", "password": PASSWORD}}
        assert (await machine.browser().api("POST", "users/ada/tokens", auth)).status == 403
        assert (await ada.api("POST", "users/ada/server", {})).status == 403
        assert (await ada.get(PAGE)).status == 200
        assert (await ada.get("/hub/password")).status == 200

    async def test_with_one_everything_is_open(
        self, machine: Machine, ada: Browser, clock: FakeClock
    ) -> None:
        app, _ = await set_up(ada, clock)
        assert (await ada.get("/hub/admin")).status == 200
        browser = machine.browser()
        assert "login/second" in (await browser.log_in("ada", PASSWORD)).location
        assert (await second(browser, code=app.code())).status == 302
        await ada.post(PAGE, {"do": "off", "off_proof": PASSWORD})
        assert (await ada.get("/hub/admin")).location.startswith(PAGE)

    async def test_it_holds_from_the_moment_of_a_promotion(self, machine: Machine) -> None:
        await machine.root("POST", "appliance/users", {"usernames": ["eve"]})
        await machine.hub.authenticator.set_password(Username("eve"), STUDENT_PASSWORD)
        eve = machine.browser()
        await eve.log_in("eve", STUDENT_PASSWORD)
        assert (await eve.get("/hub/home")).status == 200
        await machine.root("PATCH", "users/eve", {"admin": True})
        assert (await eve.get("/hub/home")).location.startswith(PAGE)


def test_the_hub_begins_without_the_libraries_for_it() -> None:
    """They take 20 MB, and most hubs never need them."""
    program = (
        "import sys, appliance.hub.app;"
        "print(*[m for m in ('cryptography', 'fido2', 'pyotp', 'segno') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == ""
