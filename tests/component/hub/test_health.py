"""What the hub knows of the appliance's health, and the account of `appliance doctor`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.db.models import User
from appliance.findings import Finding, Severity, write_finding
from appliance.hub.check_user import CheckUser
from appliance.hub.health import Health
from appliance.names import CHECK_USER, CHECK_USERS
from appliance.places import Places
from tests.component.hub.conftest import STUDENT_PASSWORD
from tests.fakes.class_people import class_people
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Browser, Machine

DISK = Finding(
    "disk", Severity.WARNING, "the disk of /home is nearly full",
    why="2 % are free", mend="sudo appliance disk usage",
)  # fmt: skip


async def test_findings_are_on_the_page_and_in_the_api(
    machine: Machine, ada: Browser, clock: FakeClock
) -> None:
    assert "To look closer" in (await ada.get("/hub/admin/status")).body
    write_finding(machine.places.health, DISK)
    fine = Finding("backup", Severity.OK, "the last one is from today")
    write_finding(machine.places.health, fine)
    clock.pass_time(10)
    found = (await ada.api("GET", "appliance/health")).json
    assert found["severity"] == "warning"
    assert [one["topic"] for one in found["findings"]] == ["disk", "backup"]
    page = (await ada.get("/hub/admin/status")).body
    assert "The disk of /home is nearly full." in page
    assert "<code>appliance disk usage</code>" in page
    assert "Take care" in (await ada.get("/hub/admin")).body


async def test_the_machines_numbers_become_meters(machine: Machine, ada: Browser) -> None:
    details = {
        "memory": {"total": 4 * 2**30, "available": 2**30},
        "disks": [{"path": "/home", "total": 2**40, "free": 2**39}, {"path": 7}],
        "units": {"appliance-hub.service": "active"},
    }
    write_finding(
        machine.places.health, Finding("machine", Severity.OK, "it is well", details=details)
    )
    page = (await ada.get("/hub/admin/status")).body
    assert "3 GB of 4 GB" in page
    assert "Disk of /home" in page
    assert "<code>hub</code>" in page


async def test_students_see_nothing_of_it(machine: Machine, ada: Browser, bob: Browser) -> None:
    assert (await bob.get("/hub/admin/status")).status == 403
    assert (await bob.api("GET", "appliance/health")).status == 403
    for verb in ("POST", "DELETE"):
        assert (await bob.api(verb, "appliance/check-user")).status == 403
        assert (await ada.api(verb, "appliance/check-user")).status == 403


async def test_the_check_user_comes_in_for_a_run_and_then_no_more(
    machine: Machine, ada: Browser
) -> None:
    before = (await ada.api("GET", "appliance/status")).json["users"]["total"]
    opened = (await machine.root("POST", "appliance/check-user")).json
    assert opened["name"] == CHECK_USER
    visitor = machine.browser()
    assert (await visitor.log_in(opened["name"], opened["password"])).status == 302
    names = [one["name"] for one in (await ada.api("GET", "users")).json]
    assert CHECK_USER not in names
    assert (await ada.api("GET", "appliance/status")).json["users"]["total"] == before
    assert (await machine.root("DELETE", "appliance/check-user")).status == 204
    assert (await visitor.get("/hub/home")).status == 302
    assert (await machine.browser().log_in(opened["name"], opened["password"])).status == 403


async def test_each_run_has_its_own_password(machine: Machine) -> None:
    first = (await machine.root("POST", "appliance/check-user")).json
    cut_off = machine.browser()
    await cut_off.log_in(first["name"], first["password"])
    second = (await machine.root("POST", "appliance/check-user")).json
    assert (await cut_off.get("/hub/home")).status == 302
    assert (await machine.browser().log_in(first["name"], first["password"])).status == 403
    assert (await machine.browser().log_in(second["name"], second["password"])).status == 302


@pytest.mark.parametrize("seconds", [400, -100])
async def test_a_run_that_was_cut_off_leaves_nothing_usable(
    machine: Machine, clock: FakeClock, seconds: float
) -> None:
    hub = machine.hub
    check_user = CheckUser(db=hub.db, clock=clock, authenticator=hub.authenticator, users=hub.users)
    opened = (await machine.root("POST", "appliance/check-user")).json
    await check_user.close_if_left()
    assert hub.users.get(CHECK_USER).state == "active"
    clock.jump(seconds)
    await check_user.close_if_left()
    assert machine.hub.users.get(CHECK_USER).state == "locked"
    assert (await machine.browser().log_in(opened["name"], opened["password"])).status == 403


@pytest.mark.parametrize("name", sorted(CHECK_USERS))
async def test_nobody_else_can_have_the_name(machine: Machine, ada: Browser, name: str) -> None:
    visitor = machine.browser()
    assert (await visitor.sign_up(name, STUDENT_PASSWORD)).status == 403
    assert (await visitor.sign_up(name.upper(), STUDENT_PASSWORD)).status == 403
    made = (await machine.root("POST", "appliance/users", {"usernames": [name]})).json
    assert made["skipped"] == [{"name": name, "why": "the name is the appliance's own"}]
    assert (await ada.api("PATCH", "users/ada", {"name": name})).status == 400


async def test_a_teacher_has_no_power_over_it(machine: Machine, ada: Browser) -> None:
    people = await class_people(machine)
    await machine.root("POST", "appliance/check-user")
    await machine.root("DELETE", "appliance/check-user")
    await ada.api("POST", "groups/algebra/users", {"users": [CHECK_USER]})
    path = f"appliance/users/{CHECK_USER}"
    teacher = people.lovelace
    assert (await teacher.api("PUT", f"{path}/password", {"generate": True})).status == 404
    assert (await teacher.api("POST", f"{path}/setup-link", {})).status == 404
    assert (await teacher.api("POST", f"{path}/approve")).status == 404
    assert machine.hub.users.get(CHECK_USER).state == "locked"


async def test_rights_that_somebody_gave_it_are_taken_away(machine: Machine, ada: Browser) -> None:
    await machine.root("POST", "appliance/check-user")
    await ada.api("PATCH", f"users/{CHECK_USER}", {"admin": True})
    await ada.api("POST", "groups/physics", {"users": [CHECK_USER]})
    await machine.root("POST", "appliance/check-user")
    assert not machine.hub.users.get(CHECK_USER).admin
    assert (await ada.api("GET", "groups/physics")).json["users"] == []


async def test_a_persons_account_of_that_name_is_left_alone(machine: Machine) -> None:
    with machine.hub.db.session() as session:
        session.add(User(name=CHECK_USER, state="active", created=machine.clock.now(), info={}))
    refused = await machine.root("POST", "appliance/check-user")
    assert refused.status == 409
    assert "rename" in refused.json["mend"]
    assert machine.hub.users.get(CHECK_USER).state == "active"


def test_that_nobody_looks_any_more_is_told(tmp_path: Path, clock: FakeClock) -> None:
    health = Health(replace(Places.installed(), state=tmp_path), clock=clock)
    assert health.worst is Severity.OK
    clock.pass_time(7200)
    assert [one.topic for one in health.findings()] == ["upkeep"]
