"""What a log-in begins, and where it leads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.config.schema import Config
from appliance.errors import SpawnError
from appliance.hub.arrival import PATIENCE_SECONDS
from appliance.hub.states import ServerState
from appliance.names import ServerId, ServerName, Username
from tests.component.hub.conftest import PASSWORD, STUDENT_PASSWORD
from tests.fakes.hub_machine import Browser, Machine

BOB = ServerId(Username("bob"))
EXAM = ServerId(Username("bob"), ServerName("exam"))


@pytest.fixture
async def machine(tmp_path: Path, starts_at_login: bool) -> AsyncIterator[Machine]:
    async with Machine(tmp_path, starts_at_login=starts_at_login) as machine:
        yield machine


@pytest.fixture
def starts_at_login() -> bool:
    return Config().servers.start_at_login


async def _stop(machine: Machine, server: ServerId = BOB) -> None:
    await machine.hub.servers.stop(server)
    assert machine.hub.servers.view(server).state is ServerState.STOPPED


async def _runs(machine: Machine, server: ServerId = BOB) -> bool:
    async with asyncio.timeout(5):
        while machine.hub.servers.view(server).pending:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return server in machine.spawner.servers


@pytest.mark.parametrize(
    "then",
    [
        "",
        "/hub/",
        "/",
        "/hub/spawn",
        "/hub/spawn?next=%2Fuser%2Fbob%2Flab%2Ftree%2Fx",
        "/hub/spawn/bob",
        "/hub/spawn-pending/bob",
        "/hub/user/bob/lab",
        "/user/bob/",
        "/user/bob/lab/tree/exam?a=b",
        "/hub/user-redirect/git-pull?repo=x",
    ],
)
async def test_the_server_starts_while_the_browser_is_on_its_way(
    machine: Machine, bob: Browser, then: str
) -> None:
    await _stop(machine)
    answer = await bob.log_in("bob", STUDENT_PASSWORD, then=then)
    goal = then if then not in {"", "/", "/hub/", "/hub/spawn"} else "/user/bob/"
    assert (answer.status, answer.location) == (302, goal)
    assert machine.hub.servers.view(BOB).active
    assert await _runs(machine)
    assert machine.spawner.starts == 2, "one by the first log-in, one by this"


@pytest.mark.parametrize(
    "then",
    [
        "/hub/home",
        "/hub/token",
        "/hub/admin",
        "/services/notes/",
        "/hub/spawn?profile=big",
        "/hub/spawn/ada",
        "/hub/spawn/bob/unknown",
        "/user/ada/lab",
        "/hub/accept-share?code=x",
        "/user/%ff/",
    ],
)
async def test_a_way_to_elsewhere_starts_nothing(machine: Machine, bob: Browser, then: str) -> None:
    await _stop(machine)
    answer = await bob.log_in("bob", STUDENT_PASSWORD, then=then)
    assert answer.status == 302
    assert not machine.hub.servers.active()


async def test_a_named_server_starts_if_it_is_meant(machine: Machine, bob: Browser) -> None:
    await _stop(machine)
    machine.hub.servers.create(EXAM)
    await bob.log_in("bob", STUDENT_PASSWORD, then="/user/bob/exam/lab")
    assert await _runs(machine, EXAM)
    assert not await _runs(machine)


async def test_an_admin_goes_to_the_pages_and_needs_no_server(
    machine: Machine, ada: Browser
) -> None:
    answer = await ada.log_in("ada", PASSWORD)
    assert answer.location == "/hub/home"
    assert not machine.hub.servers.active()
    await ada.log_in("ada", PASSWORD, then="/user/ada/lab")
    assert await _runs(machine, ServerId(Username("ada")))


async def test_a_server_that_runs_is_left_alone(machine: Machine, bob: Browser) -> None:
    assert await _runs(machine)
    starts = machine.spawner.starts
    assert (await bob.log_in("bob", STUDENT_PASSWORD)).location == "/user/bob/"
    assert machine.spawner.starts == starts


async def test_a_log_in_leads_to_the_server_if_it_is_there_in_a_moment(
    machine: Machine, bob: Browser
) -> None:
    await _stop(machine)
    machine.spawner.delay = 0.1
    assert (await bob.log_in("bob", STUDENT_PASSWORD)).location == "/user/bob/"


async def test_a_log_in_leads_to_the_page_that_waits_for_a_slow_server(
    machine: Machine, bob: Browser
) -> None:
    await _stop(machine)
    machine.spawner.delay = 30
    assert (await bob.log_in("bob", STUDENT_PASSWORD)).location == "/hub/spawn-pending/bob"
    assert (await bob.get("/hub/spawn-pending/bob")).status == 200


async def test_the_time_of_a_log_in_ends_before_the_wait_for_a_server(
    machine: Machine, bob: Browser
) -> None:
    await _stop(machine)
    machine.spawner.delay = 30
    began = time.monotonic()
    await bob.log_in("bob", STUDENT_PASSWORD)
    taken = time.monotonic() - began
    numbers = (await machine.root("GET", "metrics")).body
    name = 'jupyterhub_login_duration_seconds_sum{status="success"}'
    (counted,) = (float(one.split()[1]) for one in numbers.splitlines() if one.startswith(name))
    assert taken >= PATIENCE_SECONDS
    assert counted < taken - PATIENCE_SECONDS / 2


async def test_a_page_that_starts_waits_for_what_the_log_in_began(
    machine: Machine, bob: Browser
) -> None:
    await _stop(machine)
    machine.spawner.delay = 0.1
    goal = "/hub/spawn?next=/user/bob/lab/tree/x"
    assert (await bob.log_in("bob", STUDENT_PASSWORD, then=goal)).location == goal
    assert machine.hub.servers.view(BOB).state is ServerState.STARTING
    assert (await bob.get(goal)).location == "/user/bob/lab/tree/x"
    assert machine.spawner.starts == 2


async def test_a_log_in_succeeds_although_the_server_does_not(
    machine: Machine, bob: Browser
) -> None:
    await _stop(machine)
    machine.spawner.failure = SpawnError("cannot start it", why="there is no room")
    starts = machine.spawner.starts
    answer = await bob.log_in("bob", STUDENT_PASSWORD)
    assert answer.location == "/hub/spawn-pending/bob"
    answer = await bob.get(answer.location)
    assert machine.spawner.starts == starts + 1
    assert "here is no room" in answer.body


async def test_a_user_who_must_choose_a_password_gets_the_server_with_it(
    machine: Machine, ada: Browser
) -> None:
    made = await ada.api("POST", "appliance/users", {"usernames": ["eve"], "generate": True})
    eve, server = machine.browser(), ServerId(Username("eve"))
    password = made.json["created"][0]["password"]
    await eve.log_in("eve", password)
    assert not machine.hub.servers.active()
    answer = await eve.post("/hub/password", {"old": password, "password": STUDENT_PASSWORD})
    assert answer.status == 302
    assert await _runs(machine, server)


async def test_a_student_behind_a_link_to_set_a_password_finds_a_server(
    machine: Machine, ada: Browser
) -> None:
    await ada.api("POST", "appliance/users", {"usernames": ["eve"]})
    link = (await ada.api("POST", "appliance/users/eve/setup-link")).json["path"]
    assert not machine.hub.servers.active(), "Ada is an admin and used a link, too"
    eve = machine.browser()
    await eve.get(link)
    token = link.partition("=")[2]
    await eve.post("/hub/setup", {"token": token, "password": STUDENT_PASSWORD})
    assert await _runs(machine, ServerId(Username("eve")))


class TestTurnedOff:
    """servers.start_at_login: false."""

    @pytest.fixture
    def starts_at_login(self) -> bool:
        return False

    async def test_logging_in_starts_nothing(self, machine: Machine, bob: Browser) -> None:
        answer = await bob.log_in("bob", STUDENT_PASSWORD)
        assert answer.location == "/hub/spawn"
        assert not machine.hub.servers.active()
