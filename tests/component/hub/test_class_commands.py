"""`appliance class …` against a hub: what is printed, and what is true afterwards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from appliance.cli import class_work, people
from appliance.cli.output import Output
from appliance.errors import NotFound
from tests.fakes.class_people import ClassPeople, class_people
from tests.fakes.hub_machine import Machine

Say = Callable[..., Any]


@pytest.fixture
async def students(machine: Machine) -> ClassPeople:
    return await class_people(machine)


@pytest.fixture
def say(machine: Machine, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run what a command runs, beside the hub; returns what it printed, JSON as such."""

    async def run(work: Callable[..., None], *args: Any, as_json: bool = False, **more: Any) -> Any:
        capsys.readouterr()
        await asyncio.to_thread(work, machine.places, Output(as_json), *args, **more)
        printed = capsys.readouterr().out
        return json.loads(printed) if as_json else printed

    return run


async def test_a_class_from_beginning_to_end(
    machine: Machine, students: ClassPeople, say: Say
) -> None:
    made = await say(class_work.add, "Physics 7a", name="", teacher="marie")
    assert made.startswith("Physics 7a: made; commands call it physics-7a\nmarie ")
    listed = await say(class_work.list_classes, as_json=True)
    assert [one["name"] for one in listed] == ["algebra", "logic", "physics-7a"]
    assert "marie" in await say(class_work.list_classes)
    await say(class_work.change, "physics-7a", {"frozen": True})
    assert "joining frozen" in await say(class_work.show, "physics-7a")
    told = await say(class_work.teacher, "physics-7a", "kurt", remove=False, as_json=True)
    assert told == {"name": "kurt", "password": None}
    assert "kurt" in await say(class_work.show, "physics-7a")
    await say(class_work.teacher, "physics-7a", "kurt", remove=True)
    assert "kurt" not in await say(class_work.show, "physics-7a")
    removed = await say(class_work.remove, "physics-7a", yes=True)
    assert removed == "physics-7a: removed\n"
    with pytest.raises(NotFound):
        await say(class_work.show, "physics-7a")


async def test_an_archive_by_command(
    machine: Machine, students: ClassPeople, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_work, "_LOOK_EACH_SECONDS", 0.01)
    with pytest.raises(NotFound):
        await say(class_work.take_out, "algebra", ["sophie", "kurt"])
    archive = await say(class_work.archive, "algebra", anew=True, yes=True, as_json=True)
    assert (archive["state"], archive["students"]) == ("ready", 1)
    listed = await say(class_work.list_archives)
    assert "algebra" in listed
    assert archive["place"] in listed
    made = await say(class_work.restore, archive["id"], name="algebra-2", as_json=True)
    assert [one["name"] for one in made["created"]] == ["emmy"]
    await say(class_work.remove_archive, archive["id"], yes=True)
    assert await say(class_work.list_archives, as_json=True) == []


async def test_locks_by_command(machine: Machine, students: ClassPeople, say: Say) -> None:
    assert await say(people.lock, ["emmy"]) == "emmy: locked\n"
    assert (await students.emmy.api("GET", "user")).status == 403
    listed = await say(people.list_users, waiting=False, admins=False, as_json=True)
    states = {one["name"]: (one["state"], one["roles"]) for one in listed}
    assert states["emmy"] == ("locked", [])
    assert states["lovelace"] == ("active", ["teacher"])
    assert await say(people.unlock, ["emmy"]) == "emmy: may log in again\n"


async def test_a_class_is_not_found_by_its_title(say: Say) -> None:
    with pytest.raises(NotFound) as caught:
        await say(class_work.show, "Algebra of the 9b")
    assert caught.value.why == "classes go by their short names"
    assert caught.value.mend == "appliance class list"
