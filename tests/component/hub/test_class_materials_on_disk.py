"""Materials of a class with the program that touches the files, as in a trial."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.config.schema import Config
from appliance.local_spawner.spawner import LocalSpawner
from appliance.names import Username
from tests.component.hub.test_class_materials import (
    API,
    PAGE,
    add,
    form,
    hand_out,
    person,
    send_form,
    until,
)
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Machine

FILES = ("set_class", "list_folder", "put_file", "hand_out", "collect")


@pytest.fixture
async def machine(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Machine]:
    made = Machine(tmp_path, config=Config(), clock=clock)
    local = LocalSpawner(made.config, made.places)
    for name in FILES:
        setattr(made.spawner, name, getattr(local, name))
    async with made:
        yield made


async def test_files_go_up_out_and_come_back(machine: Machine) -> None:
    tess = await person(machine, "tess")
    await machine.root("POST", "appliance/users", {"usernames": ["eve", "finn"]})
    classes = machine.hub.classroom.parts["classes"]
    classes.create("bio", title="Biology")
    classes.add_teacher("bio", Username("tess"))
    await add(machine, "eve", "finn")
    await tess.get(PAGE)
    body = form(
        ("_xsrf", None, tess.xsrf.encode()),
        ("folder", None, b"week1/data"),
        ("file", "größe.csv", b"1,2\n" * 100_000),
    )
    assert (await send_form(tess, body)).status == 302
    homes = machine.places.homes
    theirs = homes / "eve/bio/week1/data/größe.csv"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    await hand_out(tess, rule="replace")
    copies = [homes / name / "bio/week1/data/größe.csv" for name in ("eve", "finn")]
    await until(lambda: all(copy.is_file() and copy.stat().st_size > 4 for copy in copies))
    [kept] = [one for one in theirs.parent.iterdir() if ".before-" in one.name]
    assert kept.read_text() == "mine"
    await until_done(machine, "handouts")
    copies[0].write_text("solved")
    await machine.root("POST", f"{API}/collections", {"folder": "week1"})
    collected = await until_done(machine, "collections")
    assert (collected["collected"], collected["failed"]) == (2, 0)
    place = machine.places.class_files / "classes/bio/collected" / collected["place"]
    assert (place / "eve/data/größe.csv").read_text() == "solved"
    assert "data/größe.csv" in json.dumps(
        json.loads((place / "eve.manifest.json").read_text()), ensure_ascii=False
    )
    refused = await tess.get(f"{PAGE}?folder=week2")
    assert refused.status == 404


async def until_done(machine: Machine, what: str) -> dict[str, object]:
    def is_done() -> bool:
        parts = machine.hub.classroom.parts
        one = parts["classes"].get("bio")
        if what == "handouts":
            [view] = parts["materials"].handouts(one)
            return view.waiting == 0
        [view] = parts["collecting"].collections(one)
        return not view.running

    await until(is_done)
    [found] = (await machine.root("GET", f"{API}/materials")).json[what]
    return dict(found)
