"""Signing up, logging in, passwords and set-up links, through the real pages."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest import mock

import bcrypt
import pytest
from sqlalchemy import text

from appliance.config.schema import Config
from appliance.db.errors import StorageError
from appliance.hub.links import LIFETIME
from appliance.hub.sessions import IDLE
from tests.component.hub.conftest import PASSWORD, STUDENT_PASSWORD
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Browser, Machine


async def test_from_sign_up_to_a_server_that_knows_its_user(machine: Machine, ada: Browser) -> None:
    bob = machine.browser()
    assert "waiting" in (await bob.sign_up("Bob", STUDENT_PASSWORD)).location
    assert (await bob.log_in("bob", STUDENT_PASSWORD)).status == 403
    assert (await ada.api("POST", "appliance/users/bob/approve")).status == 200
    assert (await bob.log_in("bob", STUDENT_PASSWORD)).status == 302
    answer = await bob.get("/hub/spawn")
    assert answer.status == 302
    assert "bob" in answer.location
    assert [str(server) for server in machine.spawner.servers] == ["bob"]


async def test_cookies_have_the_names_paths_and_flags_that_clients_expect(
    machine: Machine, ada: Browser
) -> None:
    browser = machine.browser()
    await browser.get("/hub/login")
    before = browser.xsrf
    answer = await browser.post("/hub/login", {"username": "ada", "password": PASSWORD})
    cookies = {line.partition("=")[0]: line for line in answer.cookies}
    assert set(cookies) == {"jupyterhub-hub-login", "jupyterhub-session-id", "_xsrf"}
    assert "Path=/hub/" in cookies["jupyterhub-hub-login"]
    assert "HttpOnly" in cookies["jupyterhub-hub-login"]
    assert "SameSite=Lax" in cookies["jupyterhub-hub-login"]
    assert "Path=/;" in cookies["jupyterhub-session-id"] + ";"
    # Unlike JupyterHub's: any page of this host could read it in a frame of some file of ours.
    assert "HttpOnly" in cookies["_xsrf"]
    assert "Secure" not in cookies["jupyterhub-hub-login"]
    assert browser.xsrf != before
    secure = await browser.request(
        "POST", "/hub/login",
        f"_xsrf={browser.xsrf}&username=ada&password={PASSWORD}".encode(),
        X_Forwarded_Proto="https", Content_Type="application/x-www-form-urlencoded",
    )  # fmt: skip
    assert all("Secure" in line for line in secure.cookies)


async def test_a_wrong_password_and_an_unknown_user_get_the_same_answer_and_work(
    machine: Machine, bob: Browser
) -> None:
    answers = []
    for name in ("bob", "nobody-here", "../../etc", "x" * 300):
        browser = machine.browser()
        with mock.patch("bcrypt.checkpw", wraps=bcrypt.checkpw) as checked:
            answer = await browser.log_in(name, "wrong-password-of-somebody")
        assert checked.call_count == 1
        answers.append(
            (answer.status, answer.body.replace(name[:200], "").replace(browser.xsrf, ""))
        )
    assert [status for status, _ in answers] == [403] * 4
    assert len({_without_tokens(body) for _, body in answers}) == 1


def _without_tokens(page: str) -> str:
    return "\n".join(line for line in page.splitlines() if "_xsrf" not in line)


async def test_too_many_wrong_passwords_make_one_wait(
    machine: Machine, bob: Browser, clock: FakeClock
) -> None:
    thief = machine.browser()
    thief.address = "198.51.100.1"
    statuses = [(await thief.log_in("bob", f"wrong-guess-{n}")).status for n in range(14)]
    assert statuses[0] == 403
    assert statuses[-1] == 429
    assert (await machine.browser().log_in("bob", STUDENT_PASSWORD)).status == 302
    await machine.restart()
    assert (await thief.log_in("BOB", "another-wrong-guess")).status == 429
    clock.pass_time(700)
    assert (await thief.log_in("bob", STUDENT_PASSWORD)).status == 302


@pytest.mark.parametrize(
    ("config", "code", "status", "place"),
    [
        (Config.model_validate({"signup": {"mode": "open"}}), "", 302, "home"),
        (Config.model_validate({"signup": {"mode": "closed"}}), "", 403, ""),
        (
            Config.model_validate({"signup": {"mode": "code", "code": "Blue-Tree-42"}}),
            "blue-tree-42 ",
            302,
            "home",
        ),
        (
            Config.model_validate({"signup": {"mode": "code", "code": "Blue-Tree-42"}}),
            "blue-tree",
            403,
            "",
        ),
        (Config.model_validate({"signup": {"mode": "code", "code": "Blue-Tree-42"}}), "", 403, ""),
    ],
    ids=["open", "closed", "code", "wrong code", "no code"],
)
async def test_who_may_sign_up_is_a_setting(
    machine: Machine, code: str, status: int, place: str
) -> None:
    answer = await machine.browser().sign_up("carol", STUDENT_PASSWORD, code=code)
    assert answer.status == status
    assert place in answer.headers.get("location", "")
    assert (machine.hub.users.find("carol") is not None) is (status == 302)


@pytest.mark.parametrize(
    "name", ["", "a/b", "-dash", "x" * 200, "root", "..", "a b", "<b>", "ada", "ADA"]
)
async def test_names_that_cannot_be_are_refused_with_a_page(
    machine: Machine, ada: Browser, name: str
) -> None:
    answer = await machine.browser().sign_up(name, STUDENT_PASSWORD)
    assert 400 <= answer.status < 500
    assert "<form" in answer.body
    assert machine.hub.users.counts().total == 1


@pytest.mark.parametrize("password", ["short", "password123", "x" * 73, "carol-is-my-name"])
async def test_bad_passwords_are_refused_with_a_page(machine: Machine, password: str) -> None:
    answer = await machine.browser().sign_up("carol", password)
    assert answer.status == 400
    assert "<form" in answer.body
    assert machine.hub.users.find("carol") is None


async def test_two_who_sign_up_under_one_name_make_one_account(machine: Machine) -> None:
    answers = await asyncio.gather(
        *[machine.browser().sign_up("carol", f"{STUDENT_PASSWORD}-{n}") for n in range(5)]
    )
    assert sorted(answer.status for answer in answers) == [302, 409, 409, 409, 409]


async def test_a_full_disk_at_sign_up_is_said_on_a_page_and_leaves_nothing(
    machine: Machine,
) -> None:
    browser = machine.browser()
    await browser.get("/hub/signup")
    with mock.patch.object(machine.hub.authenticator._throttle, "attempt"):
        with machine.hub.db.session() as session:
            pages = session.execute(text("PRAGMA page_count")).scalar()
            session.connection().exec_driver_sql(f"PRAGMA max_page_count={pages}")
        statuses = []
        for number in range(300):
            answer = await browser.post(
                "/hub/signup", {"username": f"u{number}-" + "x" * 40, "password": STUDENT_PASSWORD}
            )
            statuses.append(answer.status)
            if answer.status != 302:
                break
    assert statuses[-1] == 507
    assert "disk is full" in answer.body
    assert machine.hub.users.find(f"u{number}-" + "x" * 40) is None
    assert machine.hub.users.counts().total == len(statuses) - 1


async def test_changing_the_password_ends_other_sessions_and_keeps_this_one(
    machine: Machine, bob: Browser
) -> None:
    other = machine.browser()
    await other.log_in("bob", STUDENT_PASSWORD)
    await bob.get("/hub/password")
    answer = await bob.post(
        "/hub/password", {"old": STUDENT_PASSWORD, "password": "quite another one"}
    )
    assert answer.status == 302
    assert (await bob.get("/hub/home")).status == 200
    assert "login" in (await other.get("/hub/home")).location
    assert (await machine.browser().log_in("bob", STUDENT_PASSWORD)).status == 403
    assert (await machine.browser().log_in("bob", "quite another one")).status == 302


async def test_a_generated_password_must_be_changed_before_anything_else(
    machine: Machine, ada: Browser
) -> None:
    answer = await ada.api("POST", "appliance/users", {"usernames": ["carol"], "generate": True})
    password = answer.json["created"][0]["password"]
    carol = machine.browser()
    assert (await carol.log_in("carol", password)).status == 302
    for page in ("/hub/home", "/hub/spawn", "/hub/api/oauth2/authorize?client_id=x"):
        assert (await carol.get(page)).location.startswith("/hub/password?next=")
    for path in ("users/carol/tokens", "users/carol/server"):
        assert (await carol.api("POST", path, {})).status == 403
    assert (await carol.api("GET", "user")).json["name"] == "carol"
    await carol.get("/hub/password")
    await carol.post("/hub/password", {"old": password, "password": STUDENT_PASSWORD})
    assert (await carol.get("/hub/home")).status == 200
    assert (await carol.api("POST", "users/carol/tokens", {})).status == 201


async def test_a_class_with_generated_passwords_is_hashed_once_a_log_in(
    machine: Machine, ada: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are good with a cheap hash and changed at once, so nobody waits for a better one."""
    monkeypatch.setattr(machine.hub.authenticator._hasher, "cost", 5)
    made = await ada.api("POST", "appliance/users", {"usernames": ["eve"], "generate": True})
    password = made.json["created"][0]["password"]
    eve = machine.browser()
    with mock.patch("bcrypt.hashpw", wraps=bcrypt.hashpw) as hashed:
        assert (await eve.log_in("eve", password)).status == 302
    hashed.assert_not_called()
    await eve.post("/hub/password", {"old": password, "password": STUDENT_PASSWORD})
    monkeypatch.setattr(machine.hub.authenticator._hasher, "cost", 6)
    with mock.patch("bcrypt.hashpw", wraps=bcrypt.hashpw) as hashed:
        assert (await eve.log_in("eve", STUDENT_PASSWORD)).status == 302
    hashed.assert_called_once()


async def test_logging_out_ends_the_session_at_the_hub(machine: Machine, bob: Browser) -> None:
    stolen = machine.browser()
    stolen.jar = dict(bob.jar)
    assert (await stolen.get("/hub/home")).status == 200
    answer = await bob.get("/hub/logout", site="none")
    assert answer.status == 302
    assert "jupyterhub-hub-login" not in bob.jar
    assert "login" in (await stolen.get("/hub/home")).location


async def test_a_session_ends_when_nobody_uses_it(
    machine: Machine, bob: Browser, clock: FakeClock
) -> None:
    for _ in range(4):
        clock.pass_time(IDLE.total_seconds() / 2)
        assert (await bob.get("/hub/home")).status == 200
    clock.pass_time(IDLE.total_seconds() + 1)
    assert (await bob.get("/hub/home")).status == 302
    assert machine.hub.sessions.purge()


async def test_a_removed_user_is_out_at_once(machine: Machine, ada: Browser, bob: Browser) -> None:
    await bob.get("/hub/spawn")
    assert (await ada.api("DELETE", "users/bob")).status == 204
    assert (await bob.get("/hub/home")).status == 302
    assert machine.spawner.servers == {}
    assert machine.spawner.forgotten == ["bob"]
    assert (await machine.browser().log_in("bob", STUDENT_PASSWORD)).status == 403


async def test_a_demoted_admin_has_no_rights_at_once(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    await ada.api("PATCH", "users/bob", {"admin": True})
    assert (await bob.api("GET", "users")).status == 200
    await ada.api("PATCH", "users/bob", {"admin": False})
    assert (await bob.api("GET", "users")).status == 403


async def test_the_last_admin_stays(machine: Machine, ada: Browser, bob: Browser) -> None:
    assert (await machine.root("PATCH", "users/ada", {"admin": False})).status == 409
    assert (await machine.root("DELETE", "users/ada")).status == 409
    assert (await ada.api("DELETE", "users/ada")).status == 400


class TestOneTimeLinks:
    async def _link(self, machine: Machine, user: str) -> str:
        answer = await machine.root("POST", f"appliance/users/{user}/setup-link")
        assert answer.status == 201
        return str(answer.json["path"])

    async def _use(self, browser: Browser, path: str, password: str) -> int:
        await browser.get(path)
        token = path.partition("=")[2]
        return (await browser.post("/hub/setup", {"token": token, "password": password})).status

    async def test_it_works_once(self, machine: Machine, ada: Browser) -> None:
        path = await self._link(machine, "ada")
        assert (
            await self._use(machine.browser(), path, "a new password for ada".replace("ada", "her"))
            == 302
        )
        assert await self._use(machine.browser(), path, "yet another of mine") == 404

    async def test_looking_at_it_and_a_bad_password_use_nothing_up(
        self, machine: Machine, ada: Browser
    ) -> None:
        path = await self._link(machine, "ada")
        for _ in range(3):
            assert (await machine.browser().get(path)).status == 200
        assert await self._use(machine.browser(), path, "short") == 400
        assert await self._use(machine.browser(), path, "a longer one this time") == 302

    async def test_it_ends_after_a_day(
        self, machine: Machine, ada: Browser, clock: FakeClock
    ) -> None:
        path = await self._link(machine, "ada")
        clock.pass_time(LIFETIME.total_seconds() + 1)
        assert await self._use(machine.browser(), path, "a longer one this time") == 404

    async def test_a_newer_one_and_a_password_end_it(self, machine: Machine, ada: Browser) -> None:
        first = await self._link(machine, "ada")
        second = await self._link(machine, "ada")
        assert await self._use(machine.browser(), first, "a longer one this time") == 404
        await machine.root(
            "PUT", "appliance/users/ada/password", {"password": "set-by-root-itself"}
        )
        assert await self._use(machine.browser(), second, "a longer one this time") == 404

    async def test_of_many_at_once_one_wins(self, machine: Machine, ada: Browser) -> None:
        path = await self._link(machine, "ada")
        statuses = await asyncio.gather(
            *[self._use(machine.browser(), path, f"one of many words {n}") for n in range(5)]
        )
        assert sorted(statuses) == [302, 404, 404, 404, 404]

    async def test_it_lets_a_waiting_user_in(self, machine: Machine) -> None:
        await machine.root("POST", "appliance/users", {"usernames": ["dora"], "approved": False})
        path = await self._link(machine, "dora")
        assert await self._use(machine.browser(), path, "a longer one this time") == 302
        assert machine.hub.users.get("dora").state == "active"


async def test_acknowledged_sign_ups_survive_a_hub_that_is_killed(tmp_path: Path) -> None:
    """The database is copied as it lies on the disk, without any closing, and opened again."""
    config = Config.model_validate({"signup": {"mode": "open"}})
    acknowledged = []
    async with Machine(tmp_path / "first", config=config) as machine:
        for number in range(5):
            answer = await machine.browser().sign_up(f"student{number}", STUDENT_PASSWORD)
            assert answer.status == 302
            acknowledged.append(f"student{number}")
        second = tmp_path / "second" / "state" / "hub"
        second.mkdir(parents=True)
        for file in machine.places.hub_state.glob("*.s*"):
            (second / file.name).write_bytes(file.read_bytes())
    async with Machine(tmp_path / "second", config=config) as again:
        assert [person.name for person in again.hub.users.list_page().items] == acknowledged
        for name in acknowledged:
            assert (await again.browser().log_in(name, STUDENT_PASSWORD)).status == 302


@pytest.mark.parametrize("config", [Config.model_validate({"signup": {"mode": "open"}})])
async def test_who_cannot_be_logged_in_after_signing_up_is_not_told_that_nothing_happened(
    machine: Machine,
) -> None:
    bob = machine.browser()
    full = StorageError("cannot save", why="the disk is full")
    with mock.patch.object(machine.hub.sessions, "open", side_effect=full):
        answer = await bob.sign_up("bob", STUDENT_PASSWORD)
    assert (answer.status, answer.location) == (302, "/hub/login")
    page = await bob.get("/hub/login")
    assert "Your account is ready. Log in with your password." in page.body
    assert (await bob.log_in("bob", STUDENT_PASSWORD)).status == 302
