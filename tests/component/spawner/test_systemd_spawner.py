from __future__ import annotations

import asyncio

import pytest

from appliance.errors import (
    BadRequest,
    SpawnError,
    SpawnFailed,
    SpawnRefused,
    SpawnTimeout,
)
from appliance.interfaces import Exited, StartRequest
from appliance.names import ServerId, ServerName, Username
from appliance.places import Places
from appliance.systemd_spawner.spawner import SystemdSpawner
from tests.component.spawner.conftest import Daemon
from tests.fakes.systemd import CRASHED, TIMED_OUT, FakeJournal, FakeUnits

ADA = ServerId(Username("ada"))
LAB = ServerId(Username("ada"), ServerName("lab2"))
REQUEST = StartRequest("ab" * 32)


@pytest.fixture
def spawner(daemon: Daemon) -> SystemdSpawner:
    return SystemdSpawner(daemon.path)


async def test_a_server_starts_runs_and_stops(spawner: SystemdSpawner) -> None:
    await spawner.start(LAB, REQUEST)
    running = (await spawner.running())[LAB]
    assert running.ready
    assert running.memory_limit_bytes == 2**30
    assert running.started.tzinfo is not None
    await spawner.apply_limits()
    await spawner.stop(LAB)
    assert await spawner.running() == {}


async def test_failures_keep_their_class_and_their_words(
    spawner: SystemdSpawner, units: FakeUnits, journal: FakeJournal
) -> None:
    units.outcome = CRASHED
    journal.lines[ADA.unit] = ["a", "b"]
    with pytest.raises(SpawnFailed, match="exit status 3") as raised:
        await spawner.start(ADA, REQUEST)
    assert raised.value.log == ("a", "b")
    units.outcome = TIMED_OUT
    with pytest.raises(SpawnTimeout):
        await spawner.start(ADA, REQUEST)
    units.refusal = "no"
    with pytest.raises(SpawnRefused, match="systemd refused"):
        await spawner.start(ADA, REQUEST)
    with pytest.raises(BadRequest):
        await spawner.start(ADA, StartRequest("short"))


async def test_the_log_is_read(spawner: SystemdSpawner, journal: FakeJournal) -> None:
    journal.lines[ADA.unit] = ["a", "b", "c"]
    assert await spawner.log(ADA, lines=2) == ["b", "c"]
    assert await spawner.log(ADA, lines=10**6) == ["a", "b", "c"]


async def test_a_daemon_that_is_away_is_told_with_a_way_to_mend_it(places: Places) -> None:
    with pytest.raises(SpawnError, match="cannot reach the spawner daemon") as raised:
        await SystemdSpawner(places.spawner_socket).running()
    assert "appliance-spawner" in raised.value.mend


async def test_ends_arrive_as_they_happen(spawner: SystemdSpawner, units: FakeUnits) -> None:
    exits = spawner.exits()
    await spawner.start(ADA, REQUEST)
    first = asyncio.ensure_future(anext(exits))
    await asyncio.sleep(0.1)
    await asyncio.to_thread(units.end, ADA.unit, CRASHED)
    exited = await asyncio.wait_for(first, 5)
    assert (exited.server, exited.failed) == (ADA, True)
    await exits.aclose()  # type: ignore[attr-defined]


async def test_an_end_while_the_daemon_was_away_is_told_after_it(
    spawner: SystemdSpawner, units: FakeUnits, daemon: Daemon
) -> None:
    await spawner.start(ADA, REQUEST)
    await spawner.start(LAB, REQUEST)
    found: asyncio.Queue[Exited] = asyncio.Queue()

    async def follow() -> None:
        async for exited in spawner.exits():
            found.put_nowait(exited)

    following = asyncio.create_task(follow())
    await asyncio.sleep(0.1)
    await asyncio.to_thread(daemon.stop)
    del units.loaded[ADA.unit]
    await asyncio.to_thread(daemon.start)
    # The old connection's thread goes on in this test; a daemon's ends with it.
    await asyncio.to_thread(units.end, LAB.unit, CRASHED)
    exited = await asyncio.wait_for(found.get(), 10)
    assert exited.server in (ADA, LAB)
    following.cancel()


async def test_a_cancelled_start_can_be_stopped_and_done_again(
    spawner: SystemdSpawner, units: FakeUnits
) -> None:
    units.gate.clear()
    starting = asyncio.create_task(spawner.start(ADA, REQUEST))
    while ADA not in await spawner.running():  # noqa: ASYNC110 - nobody is told of it
        await asyncio.sleep(0.01)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await spawner.stop(ADA)
    assert await spawner.running() == {}
    units.gate.set()
    await spawner.start(ADA, REQUEST)
    assert (await spawner.running())[ADA].ready


async def test_twenty_starts_at_once(spawner: SystemdSpawner) -> None:
    users = [ServerId(Username(f"user{number}")) for number in range(20)]
    await asyncio.gather(*(spawner.start(user, REQUEST) for user in users))
    assert (await spawner.running()).keys() == set(users)


async def test_a_renamed_user_keeps_the_account(spawner: SystemdSpawner, units: FakeUnits) -> None:
    eve = ServerId(Username("eve"))
    await spawner.start(ADA, REQUEST)
    with pytest.raises(SpawnRefused, match="is running"):
        await spawner.rename_user(ADA.user, eve.user)
    await spawner.stop(ADA)
    for _ in range(2):
        await spawner.rename_user(ADA.user, eve.user)
    await spawner.start(eve, REQUEST)
    assert units.properties[eve.unit]["User"] == "nb-ada"
    await spawner.start(ADA, REQUEST)
    assert units.properties[ADA.unit]["User"] == "nb-ada-2"
    await spawner.stop(ADA)
    await spawner.stop(eve)
    with pytest.raises(SpawnRefused, match="account of 'eve'"):
        await spawner.rename_user(ADA.user, eve.user)


async def test_a_forgotten_user_comes_back_as_another(
    spawner: SystemdSpawner, units: FakeUnits
) -> None:
    await spawner.start(ADA, REQUEST)
    await spawner.forget_user(Username("ada"))
    await spawner.start(ADA, REQUEST)
    assert units.properties[ADA.unit]["User"] == "nb-ada-2"
