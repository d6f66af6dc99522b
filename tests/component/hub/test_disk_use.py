"""What people use of the disk, on pages, in the API, and in a word to who is full."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.disk.report import QUOTA, Report, Room, Used, report_file, write_report
from tests.fakes.class_people import ClassPeople, class_people
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Browser, Machine

GB = 2**30
NOW = 1_900_000_000.0
EMMY = Used(bytes=GB, files=4000, limit=4 * GB, by=QUOTA, at=NOW)
ROOM = Room(
    place="/home", kind="xfs", size=100 * GB, free=40 * GB, percent=60, files_percent=1,
    quota="enforced", holds=("homes",),
)  # fmt: skip


@pytest.fixture
async def people(machine: Machine) -> ClassPeople:
    return await class_people(machine)


def found(machine: Machine, *, at: float = NOW, **users: Used) -> None:
    """A round of measuring ended."""
    clock = machine.clock
    assert isinstance(clock, FakeClock)
    clock.pass_time(3)
    report = Report(at=at, users=users, classes={"algebra": EMMY}, rooms=(ROOM,))
    write_report(report_file(machine.places), report, group=None)


async def words(browser: Browser) -> list[str]:
    answer = await browser.api("GET", "appliance/messages")
    return [f"{card['title']}: {card['text']}" for card in answer.json["cards"]]


async def test_before_anything_is_measured_nothing_is_said(people: ClassPeople) -> None:
    me = (await people.emmy.api("GET", "user")).json
    assert me["appliance"]["disk"] is None
    assert "<span>Your files</span>" not in (await people.emmy.get("/hub/home")).body


async def test_a_user_sees_the_own_use(machine: Machine, people: ClassPeople) -> None:
    found(machine, emmy=EMMY)
    page = (await people.emmy.get("/hub/home")).body
    assert "<span>Your files</span>" in page
    assert "1 GB of 4 GB" in page
    assert "Delete files" not in page
    disk = (await people.emmy.api("GET", "user")).json["appliance"]["disk"]
    assert disk == {
        "bytes": GB, "limit_bytes": 4 * GB, "files": 4000, "files_limit": None, "percent": 25,
        "enforced": True, "complete": True, "measured": "2030-03-17T17:46:40.000000Z",
    }  # fmt: skip
    assert "<span>Your files</span>" not in (await people.sophie.get("/hub/home")).body


@pytest.mark.parametrize(
    ("used", "said", "on_page"),
    [
        (replace(EMMY, bytes=int(3.7 * GB)), "nearly full", ""),
        (replace(EMMY, bytes=4 * GB), "nothing more can be saved", "Nothing more can be saved"),
        (replace(EMMY, bytes=5 * GB, by="measured"), "holds more than it may", "more than it may"),
        (replace(EMMY, files=950, files_limit=1000), "nearly full", ""),
    ],
)
async def test_who_fills_up_is_told_once(
    used: Used, said: str, on_page: str, machine: Machine, people: ClassPeople
) -> None:
    disk_use = machine.hub.housekeeping._disk_use
    found(machine, emmy=used, sophie=EMMY)
    disk_use.tell()
    (told,) = await words(people.emmy)
    assert told.startswith("Your files: ")
    assert said in told
    assert await words(people.sophie) == []
    page = (await people.emmy.get("/hub/home")).body
    assert on_page in page
    assert ("Measured" in page) == bool(on_page)
    found(machine, at=NOW + 900, emmy=replace(used, bytes=used.bytes + 1))
    disk_use.tell()
    assert await words(people.emmy) == [told]
    found(machine, at=NOW + 1800, emmy=EMMY)
    disk_use.tell()
    assert await words(people.emmy) == []


async def test_an_admin_sees_everybodys(
    machine: Machine, people: ClassPeople, ada: Browser
) -> None:
    assert "Files" not in (await ada.get("/hub/admin")).body
    found(machine, emmy=replace(EMMY, bytes=4 * GB))
    assert "4 GB of 4 GB" in (await ada.get("/hub/admin")).body
    page = (await ada.get("/hub/admin/users/emmy")).body
    assert "4 GB of 4 GB" in page
    assert "Full" in page
    said = (await ada.api("GET", "appliance/disk")).json
    assert said["homes"] == {"measured": 1, "bytes": 4 * GB, "near": 1, "full": 1}
    assert said["file_systems"][0]["quota"] == "enforced"
    assert said["classes"]["algebra"]["percent"] == 25
    assert (await people.lovelace.api("GET", "appliance/disk")).status == 403
    metrics = (await ada.get("/hub/metrics")).body
    assert f"appliance_homes_bytes {4 * GB}" in metrics
    assert "appliance_homes_full 1" in metrics
    assert f'appliance_disk_free_bytes{{place="/home"}} {40 * GB}' in metrics
    assert "emmy" not in metrics


async def test_a_file_that_is_damaged_or_goes_away_hurts_nobody(
    machine: Machine, people: ClassPeople, clock: FakeClock
) -> None:
    found(machine, emmy=EMMY)
    assert "1 GB" in (await people.emmy.get("/hub/home")).body
    for text in ("{", "[]", '{"format": 1}'):
        report_file(machine.places).write_text(text)
        clock.pass_time(3)
        assert (await people.emmy.get("/hub/home")).status == 200
    report_file(machine.places).unlink()
    clock.pass_time(3)
    assert "1 GB" not in (await people.emmy.get("/hub/home")).body


async def test_a_teacher_sees_the_class_and_its_folder(
    machine: Machine, people: ClassPeople
) -> None:
    page = (await people.lovelace.get("/hub/classes/algebra")).body
    assert "data-disk" not in page
    found(machine, emmy=replace(EMMY, bytes=int(3.8 * GB)), sophie=EMMY)
    page = (await people.lovelace.get("/hub/classes/algebra?sort=disk")).body
    assert "3.8 GB of 4 GB" in page
    assert page.index('data-user="emmy"') < page.index('data-user="sophie"')
    assert "Home nearly full" in page
    assert "The class's folder: 1 GB of 4 GB" in page.replace("&#39;", "'")
    live = (await people.lovelace.api("GET", "appliance/classes/algebra/live")).json
    emmy = next(one for one in live["students"] if one["name"] == "emmy")
    assert (emmy["disk_mb"], emmy["disk_limit_mb"], emmy["near"]) == (3891, 4096, "disk")
    assert (await people.kurt.api("GET", "appliance/classes/algebra/live")).status == 403
