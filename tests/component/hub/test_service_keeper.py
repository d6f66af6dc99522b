"""Services with a command are started, left alone, started anew and stopped as they should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from appliance.config.schema import Config
from appliance.hub.service_keeper import GIVEN_UP_SECONDS
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Machine
from tests.fakes.service_runner import FakeServiceRunner

PAGES = {"command": ["true"], "url": "http://127.0.0.1:1"}


def _config(**services: dict[str, Any]) -> Config:
    return Config.model_validate({"services": {"culler": {"command": ["true"]}, **services}})


@pytest.fixture
def runner() -> FakeServiceRunner:
    return FakeServiceRunner()


async def _machine(folder: Path, runner: FakeServiceRunner, clock: FakeClock) -> Machine:
    machine = Machine(folder, config=_config(), clock=clock)
    machine.service_runner = runner
    return machine


async def _status(machine: Machine) -> dict[str, tuple[str, str]]:
    answer = await machine.root("GET", "appliance/status")
    return {one["name"]: (one["state"], one["why"]) for one in answer.json["services"]}


async def test_a_service_is_started_with_a_token_that_works(
    tmp_path: Path, runner: FakeServiceRunner, clock: FakeClock
) -> None:
    async with await _machine(tmp_path, runner, clock) as machine:
        await machine.hub.keeper.once()
        assert runner.took() == ["start culler"]
        user = await machine.token_call(runner.tokens["culler"], "GET", "user")
        assert (user.json["kind"], user.json["name"]) == ("service", "culler")
        assert (await machine.root("GET", "services/culler")).json["pid"] == 99
        assert await _status(machine) == {"culler": ("running", "")}


async def test_a_restart_of_the_hub_leaves_it_alone(
    tmp_path: Path, runner: FakeServiceRunner, clock: FakeClock
) -> None:
    async with await _machine(tmp_path, runner, clock) as machine:
        await machine.hub.keeper.once()
        runner.took()
        await machine.restart()
        await machine.hub.keeper.once()
        assert runner.took() == []
        assert (await machine.token_call(runner.tokens["culler"], "GET", "user")).status == 200


async def test_a_new_start_ends_the_old_token(
    tmp_path: Path, runner: FakeServiceRunner, clock: FakeClock
) -> None:
    async with await _machine(tmp_path, runner, clock) as machine:
        await machine.hub.keeper.once()
        old = runner.tokens["culler"]
        runner.outdate("culler")
        runner.took()
        await machine.hub.keeper.once()
        assert runner.took() == ["stop culler", "start culler"]
        assert (await machine.token_call(old, "GET", "user")).status == 403
        assert (await machine.token_call(runner.tokens["culler"], "GET", "user")).status == 200


async def test_settings_make_it_come_go_and_come_anew(
    tmp_path: Path, runner: FakeServiceRunner, clock: FakeClock
) -> None:
    async with await _machine(tmp_path, runner, clock) as machine:
        await machine.hub.keeper.once()
        machine.config = _config(pages=PAGES)
        await machine.restart()
        await machine.hub.keeper.once()
        assert runner.took() == ["start culler", "start pages"]
        # A token of its own, which the running one doesn't have.
        machine.config = _config(pages=PAGES | {"api_token": "given-to-the-pages"})
        await machine.restart()
        await machine.hub.keeper.once()
        assert runner.took() == ["stop pages", "start pages"]
        assert runner.tokens["pages"] == "given-to-the-pages"
        machine.config = Config()
        await machine.restart()
        await machine.hub.keeper.once()
        assert sorted(runner.took()) == ["stop culler", "stop pages"]
        assert (await machine.token_call("given-to-the-pages", "GET", "user")).status == 403


async def test_one_that_fails_is_told_and_tried_again_later(
    tmp_path: Path, runner: FakeServiceRunner, clock: FakeClock
) -> None:
    runner.refusal = "there is no program 'x'"
    async with await _machine(tmp_path, runner, clock) as machine:
        await machine.hub.keeper.once()
        await machine.hub.keeper.once()
        assert runner.took() == ["start culler"]
        assert await _status(machine) == {"culler": ("failed", "there is no program 'x'")}
        clock.pass_time(GIVEN_UP_SECONDS + 1)
        runner.refusal = ""
        await machine.hub.keeper.once()
        assert runner.took() == ["start culler"]
        assert await _status(machine) == {"culler": ("running", "")}


async def test_one_that_was_given_up_gets_another_chance(
    tmp_path: Path, runner: FakeServiceRunner, clock: FakeClock
) -> None:
    async with await _machine(tmp_path, runner, clock) as machine:
        await machine.hub.keeper.once()
        runner.change("culler", state="failed", why="it ended again and again")
        runner.took()
        await machine.hub.keeper.once()
        assert runner.took() == []
        assert await _status(machine) == {"culler": ("failed", "it ended again and again")}
        clock.pass_time(GIVEN_UP_SECONDS + 1)
        await machine.hub.keeper.once()
        assert runner.took() == ["stop culler", "start culler"]


async def test_without_the_runner_all_else_goes_on(
    tmp_path: Path, runner: FakeServiceRunner, clock: FakeClock
) -> None:
    runner.unreachable = True
    async with await _machine(tmp_path, runner, clock) as machine:
        assert (await _status(machine))["culler"][0] == "unknown"
        assert (await machine.root("GET", "services")).status == 200
        runner.unreachable = False
        await machine.hub.keeper.once()
        assert (await _status(machine))["culler"][0] == "running"
