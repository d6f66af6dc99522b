"""After any restart, hub and spawner agree again by themselves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from appliance.errors import SpawnError
from appliance.hub import reconcile
from appliance.hub.states import ServerState
from appliance.names import ServerId, Username
from tests.component.hub.conftest import STUDENT_PASSWORD
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Browser, Machine

BOB = ServerId(Username("bob"))
GONE = SpawnError("cannot ask the spawner", why="its socket is not there")


async def _start(machine: Machine, bob: Browser) -> None:
    assert (await bob.api("POST", "users/bob/server", {})).status == 201


async def test_running_servers_are_adopted_with_their_tokens(
    machine: Machine, bob: Browser
) -> None:
    await _start(machine, bob)
    token = machine.spawner.tokens[BOB]
    await machine.restart()
    assert machine.hub.servers.view(BOB).ready
    assert (await machine.token_call(token, "GET", "user")).json["name"] == "bob"
    assert (await bob.get("/hub/home")).status == 200


async def test_servers_that_go_on_are_no_work(machine: Machine, bob: Browser) -> None:
    """With hundreds of them a question for each would hold up all requests."""
    await _start(machine, bob)
    await machine.restart()
    await machine.hub.reconciler.once()
    asked: list[str] = []
    event.listen(
        machine.hub.db._engine, "before_cursor_execute", lambda *call: asked.append(call[2])
    )
    await machine.hub.reconciler.once()
    assert len([one for one in asked if one.startswith("SELECT")]) == 2
    assert machine.hub.servers.view(BOB).ready
    # One that was started anew is looked after like the first.
    await machine.hub.servers.stop(BOB)
    await _start(machine, bob)
    await machine.hub.reconciler.once()
    assert machine.hub.servers.view(BOB).ready


async def test_servers_that_died_meanwhile_are_stopped(machine: Machine, bob: Browser) -> None:
    await _start(machine, bob)
    token = machine.spawner.tokens[BOB]
    machine.spawner.servers.clear()
    await machine.restart()
    assert machine.hub.servers.view(BOB).state is ServerState.STOPPED
    assert (await machine.token_call(token, "GET", "user")).status == 403
    await _start(machine, bob)


async def test_a_hub_killed_in_the_middle_of_a_start_goes_on_with_it(
    machine: Machine, bob: Browser
) -> None:
    machine.spawner.delay = 30
    await bob.get("/hub/spawn")
    await machine.restart()
    assert machine.hub.servers.view(BOB).state is ServerState.STARTING
    listener = asyncio.create_task(bob.api("GET", "users/bob/server/progress"))
    await asyncio.sleep(0.05)
    machine.spawner.run_outside(BOB)
    await machine.hub.reconciler.once()
    assert machine.hub.servers.view(BOB).ready
    assert '"ready": true' in (await listener).body
    assert (await machine.token_call(machine.spawner.tokens[BOB], "GET", "user")).status == 200


async def test_a_start_of_an_earlier_hub_has_its_time(
    machine: Machine, bob: Browser, clock: FakeClock
) -> None:
    machine.spawner.delay = 30
    await bob.get("/hub/spawn")
    await machine.restart()
    clock.pass_time(59)
    await machine.hub.reconciler.once()
    assert machine.hub.servers.view(BOB).state is ServerState.STARTING
    clock.pass_time(2)
    await machine.hub.reconciler.once()
    view = machine.hub.servers.view(BOB)
    assert view.state is ServerState.FAILED
    assert view.failure
    assert "60 s" in view.failure.why
    assert machine.spawner.servers == {}


async def test_a_start_that_never_reached_the_spawner_is_begun_again(
    machine: Machine, bob: Browser
) -> None:
    machine.spawner.delay = 30
    await bob.get("/hub/spawn")
    machine.spawner.servers.clear()
    await machine.restart()
    assert machine.hub.servers.view(BOB).state is ServerState.STARTING
    await machine.hub.servers.stop(BOB)
    machine.spawner.delay = 0
    await _start(machine, bob)


async def test_only_a_new_hub_begins_starts_again(machine: Machine, bob: Browser) -> None:
    machine.spawner.delay = 30
    await bob.get("/hub/spawn")
    await machine.restart()
    machine.spawner.servers.clear()
    await machine.hub.reconciler.once()
    assert machine.hub.servers.view(BOB).state is ServerState.FAILED


async def test_what_nobody_knows_is_stopped(machine: Machine, bob: Browser) -> None:
    machine.spawner.run_outside(BOB)
    machine.spawner.run_outside(ServerId(Username("a-ghost")))
    await machine.restart()
    assert machine.spawner.servers == {}


async def test_a_stop_that_was_cut_short_is_finished(machine: Machine, bob: Browser) -> None:
    await _start(machine, bob)
    machine.spawner.unreachable = GONE
    answer = await bob.api("DELETE", "users/bob/server")
    assert answer.status == 202
    assert machine.hub.servers.view(BOB).state is ServerState.STOPPING
    await machine.restart()
    machine.spawner.unreachable = None
    await machine.hub.reconciler.once()
    assert machine.hub.servers.view(BOB).state is ServerState.STOPPED
    assert machine.spawner.servers == {}


async def test_without_a_spawner_the_hub_comes_up_and_says_why_nothing_starts(
    machine: Machine, bob: Browser
) -> None:
    machine.spawner.unreachable = GONE
    await machine.restart()
    assert (await bob.get("/hub/home")).status == 200
    answer = await bob.api("POST", "users/bob/server", {})
    assert answer.status == 500
    assert "its socket is not there" in answer.json["message"]


async def _cut_power(machine: Machine) -> None:
    """Servers are gone, and the hub is up before the spawner answers."""
    machine.spawner.servers.clear()
    machine.spawner.unreachable = GONE
    await machine.restart()
    assert machine.hub.servers.view(BOB).ready, "nobody knows better yet"
    machine.spawner.unreachable = None


async def test_after_a_power_cut_the_api_starts_a_server_though_the_spawner_was_late(
    machine: Machine, bob: Browser
) -> None:
    await _start(machine, bob)
    await _cut_power(machine)
    await _start(machine, bob)
    assert BOB in machine.spawner.servers


@pytest.mark.parametrize("path", ["/hub/spawn?next=/user/bob/lab", "/hub/spawn/bob"])
async def test_after_a_power_cut_a_server_starts_though_the_spawner_was_late(
    machine: Machine, bob: Browser, path: str
) -> None:
    await _start(machine, bob)
    await _cut_power(machine)
    answer = await bob.get(path)
    assert answer.status == 302
    assert answer.location.startswith("/user/bob/")
    assert machine.spawner.starts == 2
    assert BOB in machine.spawner.servers


async def test_after_a_power_cut_a_log_in_starts_the_server_though_the_spawner_was_late(
    tmp_path: Path,
) -> None:
    async with Machine(tmp_path, starts_at_login=True) as machine:
        await machine.root("POST", "users", {"usernames": ["bob"]})
        await machine.hub.authenticator.set_password(BOB.user, STUDENT_PASSWORD)
        await machine.root("POST", "users/bob/server", {})
        await _cut_power(machine)
        answer = await machine.browser().log_in("bob", STUDENT_PASSWORD)
        assert (answer.status, answer.location) == (302, "/user/bob/")
        assert BOB in machine.spawner.servers


async def test_a_spawner_that_was_late_is_asked_again_soon(
    machine: Machine, bob: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "_SHORT_PAUSE_SECONDS", 0.05)
    await _start(machine, bob)
    await _cut_power(machine)
    async with asyncio.timeout(5):
        while machine.hub.servers.view(BOB).ready:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert machine.hub.servers.view(BOB).state is ServerState.STOPPED


async def test_who_was_not_led_to_a_server_is_offered_to_start_it(
    machine: Machine, bob: Browser
) -> None:
    await _start(machine, bob)
    assert (await bob.get("/hub/user/bob/lab")).location == "/user/bob/lab?redirects=1"
    # Its end is news that never came.
    machine.spawner.servers.clear()
    answer = await bob.get("/hub/user/bob/lab")
    assert answer.status == 424
    assert "/hub/spawn/bob?next=%2Fuser%2Fbob%2Flab" in answer.body
    assert machine.hub.servers.view(BOB).state is ServerState.STOPPED


@pytest.mark.parametrize("found_by", ["a page that did not reach it", "comparing"])
async def test_why_a_server_ended_is_told_though_its_end_was_seen_first(
    machine: Machine, bob: Browser, found_by: str
) -> None:
    await _start(machine, bob)
    machine.spawner.servers.clear()
    if found_by == "comparing":
        await machine.hub.reconciler.once()
    else:
        await bob.get("/hub/user/bob/lab")
    assert machine.hub.servers.view(BOB).state is ServerState.STOPPED
    machine.spawner.end(BOB, reason="its process was ended by SIGKILL")
    await asyncio.sleep(0.05)
    home = await bob.get("/hub/home")
    assert "Your server ended by itself" in home.body
    assert "SIGKILL" in home.body
    # It is told once: the next server knows nothing of it.
    await _start(machine, bob)
    assert "SIGKILL" not in (await bob.get("/hub/home")).body


async def test_while_the_spawner_is_away_a_server_is_believed_to_run(
    machine: Machine, bob: Browser
) -> None:
    await _start(machine, bob)
    machine.spawner.unreachable = GONE
    await machine.restart()
    assert (await bob.get("/hub/spawn?next=/user/bob/lab")).location == "/user/bob/lab"
    assert (await bob.get("/hub/user/bob/lab")).location == "/user/bob/lab?redirects=1"
    # Who wants to start it isn't told that it runs, for nobody knows.
    refused = await bob.api("POST", "users/bob/server", {})
    assert refused.status == 500
    assert "its socket is not there" in refused.json["message"]
    assert machine.hub.servers.view(BOB).ready


async def test_a_user_removed_while_the_spawner_is_away_is_finished_later(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    await _start(machine, bob)
    machine.spawner.unreachable = GONE
    assert (await ada.api("DELETE", "users/bob")).status == 204
    assert machine.hub.users.find("bob") is None
    skipped = (await ada.api("POST", "appliance/users", {"usernames": ["bob"]})).json["skipped"]
    assert skipped[0]["why"] == "the user is still being removed"
    machine.spawner.unreachable = None
    await machine.restart()
    await machine.hub.users.finish_departures()
    assert machine.spawner.servers == {}
    assert machine.spawner.forgotten == ["bob"]
    assert (await ada.api("POST", "appliance/users", {"usernames": ["bob"]})).json["created"]


async def test_a_server_whose_user_is_removed_in_mid_start_is_gone(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    machine.spawner.delay = 0.2
    await bob.get("/hub/spawn")
    assert (await ada.api("DELETE", "users/bob")).status == 204
    await asyncio.sleep(0.3)
    assert machine.spawner.servers == {}


EVENTS = st.lists(
    st.sampled_from(["start", "stop", "die", "ghost", "lose", "old news", "restart", "look"]),
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(events=EVENTS)
async def test_whatever_happens_they_agree_in_the_end(
    tmp_path_factory: pytest.TempPathFactory, events: list[str]
) -> None:
    async with Machine(_folder(tmp_path_factory)) as machine:
        await machine.root("POST", "users", {"usernames": ["bob"]})
        for event in events:
            await _happen(machine, event)
        await machine.hub.reconciler.once()
        view = machine.hub.servers.view(BOB)
        assert view.pending is None
        assert view.ready is (BOB in machine.spawner.servers)
        assert set(machine.spawner.servers) <= {BOB}
        if view.ready:
            token = machine.spawner.tokens[BOB]
            assert (await machine.token_call(token, "GET", "user")).status == 200


def _folder(factory: pytest.TempPathFactory) -> Path:
    return factory.mktemp("machine")


async def _happen(machine: Machine, event: str) -> None:
    spawner = machine.spawner
    if event == "start":
        await machine.root("POST", "users/bob/server", {})
    elif event == "stop":
        await machine.root("DELETE", "users/bob/server")
    elif event == "die":
        spawner.end(BOB)
    elif event == "ghost":
        spawner.run_outside(ServerId(Username("ghost")))
    elif event == "lose":
        spawner.servers.clear()
    elif event == "old news":
        spawner.end(ServerId(Username("bob-of-old")))
    elif event == "restart":
        await machine.restart()
    else:
        await machine.hub.reconciler.once()
    await asyncio.sleep(0)
