"""A class that comes at once: everybody gets a server or a place in line, and nobody an error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from appliance.config.schema import Config, Servers
from appliance.hub.states import ServerState
from appliance.names import ServerId, Username
from tests.component.hub.conftest import PASSWORD
from tests.fakes.hub_machine import Answer, Browser, Machine

STUDENTS: Final = 30
AT_ONCE: Final = 3


def _server(number: int) -> ServerId:
    return ServerId(Username(f"student{number}"))


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    config = Config(servers=Servers(concurrent_starts=AT_ONCE))
    async with Machine(tmp_path, config=config, starts_at_login=True) as machine:
        yield machine


@pytest.fixture
async def students(machine: Machine) -> list[Browser]:
    names = [_server(number).user for number in range(STUDENTS)]
    await machine.root("POST", "appliance/users", {"usernames": names})
    for name in names:
        await machine.hub.authenticator.set_password(name, PASSWORD)
    return [machine.browser() for _ in names]


async def _arrive(machine: Machine, browser: Browser, number: int) -> list[Answer]:
    """What one student gets to see, from the log-in page to the server."""
    answers = [await browser.log_in(_server(number).user, PASSWORD)]
    while not (goal := answers[-1].headers.get("location", "")).startswith("/user/"):
        if not goal:
            await asyncio.sleep(0.05)
        answers.append(await browser.get(goal or "/hub/spawn"))
    return answers


async def test_everybody_gets_a_server_and_nobody_an_error(
    machine: Machine, students: list[Browser]
) -> None:
    machine.spawner.delay = 0.2
    arrivals = [_arrive(machine, one, number) for number, one in enumerate(students)]
    seen = await asyncio.gather(*arrivals)
    assert {answer.status for answers in seen for answer in answers} == {200, 302}
    assert all(machine.hub.servers.view(_server(n)).ready for n in range(STUDENTS))
    assert (machine.spawner.most_at_once, machine.spawner.starts) == (AT_ONCE, STUDENTS)
    waited = [a.body for answers in seen for a in answers if "Waiting in line" in a.body]
    assert waited, "somebody saw a place in line"


async def _line_up(machine: Machine, students: list[Browser]) -> None:
    """All log in and go away; the first few of them are starting for as long as the test takes."""
    machine.spawner.delay = 60
    for number, browser in enumerate(students[:6]):
        await browser.log_in(_server(number).user, PASSWORD, then="/hub/spawn?next=/user/")


def _places(machine: Machine) -> list[int | None]:
    return [machine.hub.servers.view(_server(number)).queue_position for number in range(6)]


async def test_a_place_is_kept_shown_and_given_up(
    machine: Machine, students: list[Browser]
) -> None:
    await _line_up(machine, students)
    assert _places(machine) == [None, None, None, 1, 2, 3]
    model = await students[5].api("GET", "users/student5/server")
    assert model.json["appliance"]["queue_position"] == 3
    page = await students[5].get("/hub/spawn-pending/student5")
    assert "Waiting in line: number 3" in page.body

    following = asyncio.create_task(students[5].api("GET", "users/student5/server/progress"))
    await asyncio.sleep(0.05)
    assert (await students[4].post("/hub/home/stop", {"server": ""})).status == 302
    assert machine.hub.servers.view(_server(4)).state is ServerState.STOPPED
    assert _places(machine) == [None, None, None, 1, None, 2]
    assert (await students[0].post("/hub/home/stop", {"server": ""})).status == 302
    assert _places(machine) == [None, None, None, None, None, 1]

    await machine.hub.servers.stop(_server(5))
    told = [
        json.loads(line.removeprefix("data: "))
        for line in (await following).body.splitlines()
        if line.startswith("data: ")
    ]
    assert [event["queue_position"] for event in told if "queue_position" in event] == [3, 2, 1]


async def test_a_teacher_who_starts_the_class_keeps_no_student_waiting(
    machine: Machine, students: list[Browser]
) -> None:
    await machine.root("POST", "appliance/users", {"usernames": ["ada"], "admin": True})
    await machine.hub.authenticator.set_password(Username("ada"), PASSWORD)
    ada = machine.browser()
    await ada.log_in("ada", PASSWORD)
    machine.spawner.delay = 60
    wanted = [_server(number).user for number in range(10, 20)]
    starts = [asyncio.create_task(ada.api("POST", f"users/{n}/server", {})) for n in wanted]
    async with asyncio.timeout(20):
        while machine.hub.servers.in_line < len(wanted) - AT_ONCE:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await students[0].log_in("student0", PASSWORD, then="/hub/spawn-pending/student0")
    assert machine.hub.servers.view(_server(0)).queue_position == 1
    # One of the batch comes by himself: he stands where he would without it.
    assert (machine.hub.servers.view(_server(19)).queue_position or 0) > 2
    await students[19].log_in("student19", PASSWORD, then="/hub/spawn-pending/student19")
    assert machine.hub.servers.view(_server(19)).queue_position == 2
    for name in wanted:
        await machine.hub.servers.stop(ServerId(name), wait=0)
    await asyncio.gather(*starts)


async def test_a_restart_of_the_hub_costs_nobody_the_place(
    machine: Machine, students: list[Browser]
) -> None:
    await _line_up(machine, students)
    before = set(machine.spawner.servers)
    machine.spawner.delay = 0
    await machine.restart()
    async with asyncio.timeout(5):
        while not all(machine.hub.servers.view(_server(n)).ready for n in (3, 4, 5)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    # The first ones go on as they were, which the hub now only watches.
    assert before == {_server(n) for n in range(AT_ONCE)}
    assert machine.spawner.starts == 6
    answer = await students[5].get("/hub/spawn-pending/student5")
    assert answer.location == "/user/student5/"
