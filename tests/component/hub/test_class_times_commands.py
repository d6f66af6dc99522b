"""`appliance class exam` and `appliance class keep` against a hub."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from appliance.cli.app import app
from appliance.cli.errors import UsageError
from appliance.clock import Clock
from tests.fakes.class_people import ClassPeople, class_people
from tests.fakes.hub_machine import Machine


@pytest.fixture
def clock() -> Clock:
    """The real one, as the command line has."""
    return Clock()


@pytest.fixture
async def people(machine: Machine) -> ClassPeople:
    return await class_people(machine)


async def _say(machine: Machine, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    monkeypatch.setattr("appliance.places.Places.current", lambda: machine.places)
    done = await asyncio.to_thread(CliRunner().invoke, app, ["class", *words])
    if done.exception:
        raise done.exception
    return done.stdout


async def test_an_exam_by_command(
    machine: Machine, people: ClassPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def say(*words: str) -> str:
        return await _say(machine, monkeypatch, *words)

    assert await say("exam", "algebra") == "There is no exam.\n"
    ends = (datetime.now().astimezone() + timedelta(hours=2)).replace(second=0, microsecond=0)
    told = await say("exam", "algebra", "--until", f"{ends:%Y-%m-%d %H:%M}")
    assert told == f"An exam is under way until {ends:%Y-%m-%d %H:%M}.\n"
    found: dict[str, Any] = json.loads(await say("exam", "algebra", "--json"))
    assert datetime.fromisoformat(found["ends"]) == ends
    assert await say("exam", "algebra", "--end") == "There is no exam.\n"
    begins = ends - timedelta(hours=1)
    told = await say(
        "exam", "algebra", "--from", f"{begins:%Y-%m-%d %H:%M}", "--until", f"{ends:%Y-%m-%dT%H:%M}"
    )
    assert told.startswith("An exam is set, from ")


async def test_keeping_by_command(
    machine: Machine, people: ClassPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def say(*words: str) -> str:
        return await _say(machine, monkeypatch, *words)

    until = datetime.now().astimezone() + timedelta(hours=3)
    told = await say("keep", "algebra", "--until", f"{until:%H:%M}")
    assert told == f"The servers are kept running until {until:%Y-%m-%d %H:%M}.\n"
    assert await say("keep", "algebra", "--end") == "They are not kept.\n"


@pytest.mark.parametrize(
    "words",
    [
        ("exam", "algebra", "--from", "10:00"),
        ("exam", "algebra", "--until", "noon"),
        ("exam", "algebra", "--until", "12:00", "--end"),
        ("keep", "algebra", "--until", "25:00"),
    ],
)
async def test_what_cannot_be_read_is_refused(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    with pytest.raises(UsageError):
        await _say(machine, monkeypatch, *words)
