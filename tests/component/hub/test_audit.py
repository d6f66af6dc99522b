"""Everything that people do to one another's things leaves a line; what they type wrong doesn't."""

from __future__ import annotations

import json
import shutil
from typing import Any
from urllib.parse import urlencode

import pytest

from appliance.audit import file_name
from appliance.errors import SpawnRefused
from tests.component.hub.conftest import PASSWORD, STUDENT_PASSWORD
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Browser, Machine, exchange, hidden_fields


def noted(machine: Machine, *, since: int = 0) -> list[dict[str, Any]]:
    path = machine.places.hub_audit / file_name(0)
    return [json.loads(line) for line in path.read_text().splitlines()][since:]


def short(record: dict[str, Any]) -> tuple[str, str, str, str]:
    """Who, what, whom, and how it went."""
    actor = record["actor"]
    return (
        actor.get("name", actor["kind"]),
        record["action"],
        " ".join(record["targets"]),
        record["outcome"],
    )


async def test_a_class_from_the_first_admin_to_the_last_log_out(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    await bob.post("/hub/logout", {})
    assert [short(record) for record in noted(machine)] == [
        ("root", "user.create", "ada", "done"),
        ("root", "user.make-link", "ada", "done"),
        ("ada", "user.use-link", "ada", "done"),
        ("ada", "auth.log-in", "ada", "done"),
        ("bob", "user.sign-up", "bob", "done"),
        ("ada", "user.approve", "bob", "done"),
        ("bob", "auth.log-in", "bob", "done"),
        ("bob", "auth.log-out", "bob", "done"),
    ]
    by_root, by_ada = noted(machine)[0], noted(machine)[5]
    assert by_root["address"] == ""
    assert by_root["actor"] == {"kind": "root", "name": "root"}
    assert by_ada["address"] == "192.0.2.7"
    text = (machine.places.hub_audit / file_name(0)).read_text()
    assert PASSWORD not in text
    assert "setup?token" not in text


async def test_failed_log_ins_name_users_and_never_what_else_was_typed(
    machine: Machine, bob: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    before = len(noted(machine))
    browser = machine.browser()
    await browser.log_in("bob", "wrong-password-of-somebody")
    await browser.log_in("hunter2-is-my-secret", "bob")
    await browser.log_in("Correct horse!", "bob")
    records = noted(machine, since=before)
    assert [short(record) for record in records] == [
        ("visitor", "auth.log-in", "bob", "refused"),
        ("visitor", "auth.log-in", "", "refused"),
        ("visitor", "auth.log-in", "", "refused"),
    ]
    assert records[0]["details"] == {"why": "wrong password"}
    written = json.dumps(records) + caplog.text
    for secret in ("hunter2", "horse", "wrong-password"):
        assert secret not in written


async def test_guessing_is_noted_as_throttled(machine: Machine, bob: Browser) -> None:
    browser = machine.browser()
    for _ in range(12):
        await browser.log_in("bob", "wrong-password-of-somebody")
    assert short(noted(machine)[-1]) == ("visitor", "auth.log-in", "bob", "throttled")


async def test_rights_passwords_tokens_and_groups(
    machine: Machine, ada: Browser, bob: Browser, clock: FakeClock
) -> None:
    before = len(noted(machine))
    calls = [
        ("POST", "users", {"usernames": ["eve", "kim"]}),
        ("PATCH", "users/eve", {"admin": True}),
        ("PATCH", "users/eve", {"admin": False}),
        ("PUT", "appliance/users/bob/password", {"generate": True}),
        ("POST", "groups/class1", {}),
        ("POST", "groups/class1/users", {"users": ["eve", "kim"]}),
        ("DELETE", "groups/class1/users", {"users": ["kim"]}),
        ("DELETE", "groups/class1", None),
        ("POST", "users/eve/tokens", {"note": "for the robot"}),
        ("DELETE", "users/kim", None),
    ]
    for method, url, body in calls:
        answer = await ada.api(method, url, body)
        assert answer.status < 300, (method, url, answer.body)
    records = noted(machine, since=before)
    assert [short(record) for record in records] == [
        ("ada", "user.create", "eve kim", "done"),
        ("ada", "user.make-admin", "eve", "done"),
        ("ada", "user.unmake-admin", "eve", "done"),
        ("ada", "user.set-password", "bob", "done"),
        ("ada", "group.create", "class1", "done"),
        ("ada", "group.add-users", "class1", "done"),
        ("ada", "group.remove-users", "class1", "done"),
        ("ada", "group.remove", "class1", "done"),
        ("ada", "token.create", "eve", "done"),
        ("ada", "user.remove", "kim", "done"),
    ]
    assert records[5]["details"] == {"users": ["eve", "kim"]}
    assert {record["time"] for record in records} == {clock.now().strftime("%FT%T.%fZ")}


async def test_what_a_token_does_is_noted_under_its_id(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    made = (await ada.api("POST", "users/ada/tokens", {})).json
    await machine.token_call(made["token"], "DELETE", "users/bob")
    record = noted(machine)[-1]
    assert record["actor"] == {"kind": "user", "name": "ada", "token": made["id"]}
    assert made["token"] not in (machine.places.hub_audit / file_name(0)).read_text()


async def test_a_token_for_a_password_is_noted_as_the_users_own(
    machine: Machine, bob: Browser
) -> None:
    answer = await exchange(
        machine.places.hub_socket, "POST", "/hub/api/users/bob/tokens",
        {"Content-Type": "application/json"},
        json.dumps({"auth": {"username": "bob", "password": STUDENT_PASSWORD}}).encode(),
    )  # fmt: skip
    assert answer.status == 201
    assert short(noted(machine)[-1]) == ("bob", "token.create", "bob", "done")


async def test_servers_of_others_are_noted_and_ones_own_are_not(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    before = len(noted(machine))
    for browser, method in ((bob, "POST"), (bob, "DELETE"), (ada, "POST"), (ada, "DELETE")):
        assert (await browser.api(method, "users/bob/server")).status in (201, 204)
    assert [short(record) for record in noted(machine, since=before)] == [
        ("ada", "server.start", "bob", "done"),
        ("ada", "server.stop", "bob", "done"),
    ]


async def test_root_is_noted_with_the_account_that_sudo_knows(machine: Machine) -> None:
    sent = {"Content-Type": "application/json", "X-Appliance-Unix-User": "teacher"}
    await exchange(machine.places.admin_socket, "POST", "/hub/api/users/eve", sent, b"{}")
    record = noted(machine)[-1]
    assert record["actor"] == {"kind": "root", "name": "root", "unix_user": "teacher"}


async def test_nobody_else_is_believed_about_sudo(machine: Machine, ada: Browser) -> None:
    await ada.api("POST", "users/eve", {}, X_Appliance_Unix_User="somebody")
    assert noted(machine)[-1]["actor"] == {"kind": "user", "name": "ada"}


async def test_without_a_place_for_the_log_the_work_goes_on(
    machine: Machine, ada: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(machine.places.hub_audit)
    machine.places.hub_audit.write_text("in the way")
    for name in ("eve", "kim"):
        assert (await ada.api("POST", f"users/{name}", {})).status == 201
    told = [record for record in caplog.records if "audit log" in record.getMessage()]
    assert len(told) == 1


async def test_shares_names_services_and_the_end_of_the_hub(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    await ada.api("POST", "users/kim", {})
    before = len(noted(machine))
    code = (await ada.api("POST", "share-codes/bob/", {})).json["code"]
    calls = [
        ("POST", "shares/bob/", {"user": "kim"}),
        ("PATCH", "shares/bob/", {"user": "kim"}),
        ("DELETE", "share-codes/bob/", None),
        ("POST", "services/grades", {"admin": True}),
        ("DELETE", "services/grades", None),
        ("PATCH", "users/kim", {"name": "kimberly"}),
        ("POST", "shutdown", {"servers": False}),
    ]
    for method, url, body in calls:
        answer = await ada.api(method, url, body)
        assert answer.status < 300, (method, url, answer.body)
    records = noted(machine, since=before)
    assert [short(record) for record in records] == [
        ("ada", "share.make-code", "bob", "done"),
        ("ada", "share.grant", "bob", "done"),
        ("ada", "share.revoke", "bob", "done"),
        ("ada", "share.remove-code", "bob", "done"),
        ("ada", "service.create", "grades", "done"),
        ("ada", "service.remove", "grades", "done"),
        ("ada", "user.rename", "kim kimberly", "done"),
        ("ada", "hub.shut-down", "", "done"),
    ]
    assert records[1]["details"]["users"] == ["kim"]
    assert code not in (machine.places.hub_audit / file_name(0)).read_text()


async def test_a_refused_rename_is_one_line(machine: Machine, ada: Browser, bob: Browser) -> None:
    before = len(noted(machine))
    machine.spawner.rename_failure = SpawnRefused("no", why="it has an account")
    await ada.api("PATCH", "users/bob", {"name": "robert"})
    assert [short(record) for record in noted(machine, since=before)] == [
        ("ada", "user.rename", "bob robert", "refused")
    ]


async def test_who_takes_a_share_and_who_opens_a_server(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    code = (await ada.api("POST", "share-codes/bob/", {})).json["code"]
    kim = machine.browser()
    await ada.api("POST", "appliance/users", {"usernames": ["kim"]})
    link = (await ada.api("POST", "appliance/users/kim/setup-link")).json["path"]
    await kim.get(link)
    await kim.post("/hub/setup", {"token": link.partition("=")[2], "password": STUDENT_PASSWORD})
    assert (await bob.api("POST", "users/bob/server")).status == 201
    before = len(noted(machine))
    assert (await kim.get(f"/hub/accept-share?code={code}")).status == 200
    assert (await kim.post("/hub/accept-share", {"code": code})).status == 302
    opened = "/hub/api/oauth2/authorize?" + urlencode(
        {
            "client_id": "jupyterhub-user-bob",
            "redirect_uri": "/user/bob/oauth_callback",
            "response_type": "code",
            "state": "s",
        }
    )
    assert "code=" in (await bob.get(opened)).location
    page = await kim.get(opened)
    assert page.status == 200, "kim is asked first"
    fields = hidden_fields(page.body)
    assert "code=" in (await kim.post(opened, fields)).location
    assert [short(record) for record in noted(machine, since=before)] == [
        ("kim", "share.accept", "bob", "done"),
        ("kim", "server.open", "bob", "done"),
    ]
