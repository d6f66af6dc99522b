from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from appliance.config.schema import Config
from appliance.errors import SpawnFailed, SpawnRefused, SpawnTimeout
from appliance.names import ServerId, ServerName, Username
from appliance.places import Places
from appliance.systemd_spawner.ends import Ends
from appliance.systemd_spawner.servers import Servers
from appliance.systemd_spawner.status_text import StartedHow
from appliance.systemd_spawner.units import UnitState
from tests.fakes.systemd import CRASHED, TIMED_OUT, FakeHost, FakeJournal, FakeUnits

ADA = ServerId(Username("ada"))
LAB = ServerId(Username("ada"), ServerName("lab2"))
TOKEN = "ab" * 32


def socket_of(places: Places, server: ServerId = ADA) -> Path:
    return places.server_sockets / server.socket_path


def test_a_start_hands_over_socket_and_token(
    servers: Servers, units: FakeUnits, places: Places
) -> None:
    servers.start(ADA, TOKEN)
    assert units.token_seen == TOKEN
    assert socket_of(places).is_socket()
    assert units.properties[ADA.unit]["User"] == "nb-ada"
    assert units.properties[ADA.unit]["ExecStart"][0][0].endswith("/user/bin/python")


def test_a_server_whose_status_cannot_be_read_runs(servers: Servers, units: FakeUnits) -> None:
    units.status = "Serving /user/ada/ (preloaded)"
    units.status_is_lost = True
    assert servers.start(ADA, TOKEN) == StartedHow()
    assert units.loaded[ADA.unit].active == "active"


def test_the_token_stays_nowhere(servers: Servers, places: Places) -> None:
    servers.start(ADA, TOKEN)
    files = [path for path in places.run.parent.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if TOKEN in path.read_text()]


def test_a_running_server_is_not_started_again(servers: Servers, places: Places) -> None:
    servers.start(ADA, TOKEN)
    inode = socket_of(places).stat().st_ino
    with pytest.raises(SpawnRefused, match="runs already"):
        servers.start(ADA, TOKEN)
    assert socket_of(places).stat().st_ino == inode


def test_what_is_left_of_the_last_run_is_not_said_to_run(
    servers: Servers, units: FakeUnits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.systemd_spawner.servers._FORGET_SECONDS", 0.1)
    # systemd keeps a unit for as long as a process of it is there.
    monkeypatch.setattr(units, "release", lambda unit: None)
    servers.start(ADA, TOKEN)
    units.end(ADA.unit, UnitState("failed", "timeout", 1, 0, "ab"))
    with pytest.raises(SpawnRefused, match="a program of its last run has not ended") as refused:
        servers.start(ADA, TOKEN)
    assert "when it answers" in str(refused.value.mend)
    del units.loaded[ADA.unit]
    servers.start(ADA, TOKEN)


def test_of_two_starts_at_once_one_wins(servers: Servers, units: FakeUnits) -> None:
    units.gate.clear()
    first = threading.Thread(target=servers.start, args=(ADA, TOKEN))
    first.start()
    while ADA.unit not in units.loaded:
        time.sleep(0.001)
    with pytest.raises(SpawnRefused, match="being started already"):
        servers.start(ADA, TOKEN)
    units.gate.set()
    first.join()
    assert [row["ready"] for row in servers.listing()] == [True]


def test_a_crash_is_told_with_the_last_lines(
    servers: Servers, units: FakeUnits, journal: FakeJournal, places: Places
) -> None:
    units.outcome = CRASHED
    journal.lines[ADA.unit] = ["ModuleNotFoundError: No module named 'x'"]
    with pytest.raises(SpawnFailed, match="exit status 3") as raised:
        servers.start(ADA, TOKEN)
    assert raised.value.log == ("ModuleNotFoundError: No module named 'x'",)
    assert not socket_of(places).exists()
    assert units.loaded == {}


def test_a_slow_start_is_told_as_one(servers: Servers, units: FakeUnits) -> None:
    units.outcome = TIMED_OUT
    with pytest.raises(SpawnTimeout, match="within 60 seconds"):
        servers.start(ADA, TOKEN)
    assert units.loaded == {}


def test_systemds_own_refusal_is_told(servers: Servers, units: FakeUnits, places: Places) -> None:
    units.refusal = "Value specified in MemoryMax is out of range"
    with pytest.raises(SpawnRefused, match="MemoryMax is out of range"):
        servers.start(ADA, TOKEN)
    assert not socket_of(places).exists()


def test_a_damaged_configuration_starts_nothing(servers: Servers, places: Places) -> None:
    (places.rendered / "spawner.json").write_text("{")
    with pytest.raises(SpawnRefused, match="cannot read the limits"):
        servers.start(ADA, TOKEN)


def test_an_end_is_told_once_with_its_reason(
    servers: Servers, units: FakeUnits, places: Places, ends: Ends
) -> None:
    watcher = ends.subscribe()
    servers.start(ADA, TOKEN)
    units.end(ADA.unit, CRASHED)
    servers.look(ADA.unit)
    event = watcher.get_nowait()
    assert (event["user"], event["failed"]) == ("ada", True)
    assert "exit status 3" in event["reason"]
    assert watcher.empty()
    assert not socket_of(places).exists()
    assert units.loaded == {}


def test_an_end_for_memory_is_told_as_one(
    servers: Servers, units: FakeUnits, journal: FakeJournal, ends: Ends
) -> None:
    journal.out_of_memory.add(ADA.unit)
    servers.start(ADA, TOKEN)
    units.end(ADA.unit, UnitState("failed", "signal", 2, 9, "ab"))
    assert "memory than its limit of 1 GB" in ends.subscribe().get_nowait()["reason"]


def test_a_stop_is_no_failure(
    servers: Servers, units: FakeUnits, places: Places, ends: Ends
) -> None:
    servers.start(LAB, TOKEN)
    servers.stop(LAB)
    event = ends.subscribe().get_nowait()
    assert (event["server"], event["reason"], event["failed"]) == ("lab2", "it was stopped", False)
    assert not socket_of(places, LAB).exists()
    assert units.loaded == {}


def test_stopping_what_does_not_run_is_no_error(servers: Servers, ends: Ends) -> None:
    servers.stop(ADA)
    assert ends.subscribe().empty()


def test_a_stop_breaks_off_a_start(servers: Servers, units: FakeUnits, places: Places) -> None:
    units.gate.clear()
    failures: list[SpawnFailed] = []

    def start() -> None:
        try:
            servers.start(ADA, TOKEN)
        except SpawnFailed as err:
            failures.append(err)

    starting = threading.Thread(target=start)
    starting.start()
    while ADA.unit not in units.loaded:
        time.sleep(0.001)
    servers.stop(ADA)
    units.gate.set()
    servers.start(ADA, TOKEN)
    starting.join()
    assert [err.why for err in failures] == ["it was stopped"]
    assert socket_of(places).is_socket()


def test_a_server_that_ended_unseen_can_be_started_again(
    servers: Servers, units: FakeUnits, ends: Ends
) -> None:
    servers.start(ADA, TOKEN)
    units.loaded[ADA.unit] = CRASHED
    servers.start(ADA, TOKEN)
    assert "exit status 3" in ends.subscribe().get_nowait()["reason"]
    assert [row["ready"] for row in servers.listing()] == [True]


def test_limits_change_while_servers_run(
    servers: Servers, units: FakeUnits, places: Places
) -> None:
    servers.start(ADA, TOKEN)
    config = Config.model_validate({"limits": {"memory": "2G", "cpu": 2}})
    (places.rendered / "spawner.json").write_text(config.model_dump_json())
    assert servers.apply_limits() == 1
    assert units.properties[ADA.unit]["MemoryMax"] == 2**31
    assert units.properties[ADA.unit]["CPUQuotaPerSecUSec"] == 2_000_000


def test_limits_that_systemd_refuses_are_told(servers: Servers, units: FakeUnits) -> None:
    servers.start(ADA, TOKEN)
    units.refusal = "no such cgroup"
    with pytest.raises(SpawnFailed, match="1 of 1 running servers"):
        servers.apply_limits()


def test_a_forgotten_users_servers_stop_and_the_name_is_free(
    servers: Servers, units: FakeUnits, host: FakeHost, places: Places
) -> None:
    servers.start(ADA, TOKEN)
    servers.start(LAB, TOKEN)
    servers.forget_user(Username("ada"))
    assert units.loaded == {}
    assert host.sealed == {"nb-ada"}
    assert not (places.server_sockets / "ada").exists()
    servers.start(ADA, TOKEN)
    assert units.properties[ADA.unit]["User"] == "nb-ada-2"


def test_a_new_daemon_takes_up_what_runs(
    servers: Servers, units: FakeUnits, places: Places, ends: Ends
) -> None:
    servers.start(ADA, TOKEN)
    servers.start(LAB, TOKEN)
    units.held.clear()  # the old daemon's connection has ended
    with servers._lock:
        servers._tracked.clear()
    servers.clean()
    servers.resync()
    assert socket_of(places).is_socket()
    units.end(ADA.unit, CRASHED)
    assert "exit status 3" in ends.subscribe().get_nowait()["reason"]


def test_what_a_dead_daemon_left_is_cleaned(servers: Servers, places: Places) -> None:
    servers.start(ADA, TOKEN)
    leftover = places.run / "credentials" / "old"
    leftover.write_text(TOKEN)
    servers._sockets.open(LAB).close()
    servers.clean()
    assert not leftover.exists()
    assert not socket_of(places, LAB).exists()
    assert socket_of(places).is_socket()


def test_an_end_that_systemd_did_not_tell_is_found(
    servers: Servers, units: FakeUnits, ends: Ends
) -> None:
    servers.start(ADA, TOKEN)
    del units.loaded[ADA.unit]
    servers.resync()
    event = ends.subscribe().get_nowait()
    assert event["failed"]
    assert "nobody could watch" in event["reason"]


def test_units_that_are_not_ours_are_never_touched(servers: Servers, units: FakeUnits) -> None:
    for name in ("appliance-user-.service", r"appliance-user-\x2e\x2e.service", "sshd.service"):
        units.loaded[name] = UnitState("active", "success", 0, 0, "ab")
    servers.resync()
    assert servers.listing() == []


def test_twenty_starts_at_once(servers: Servers, units: FakeUnits) -> None:
    threads = [
        threading.Thread(target=servers.start, args=(ServerId(Username(f"user{n}")), TOKEN))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(servers.listing()) == 20
    assert len({row["User"] for row in units.properties.values()}) == 20


def test_a_server_asks_the_preload_daemon_where_the_settings_want_it(
    servers: Servers, units: FakeUnits, places: Places
) -> None:
    package = places.software / "user/lib/python3.13/site-packages/appliance/preload"
    package.mkdir(parents=True)
    (package / "client.py").touch()

    def started(**preload: bool) -> tuple[list[str], bool]:
        config = Config.model_validate({"preload": preload})
        (places.rendered / "spawner.json").write_text(config.model_dump_json())
        servers.start(ADA, TOKEN)
        unit = units.properties[ADA.unit]
        servers.stop(ADA)
        kernels = any(line.startswith("APPLIANCE_KERNEL_SOCKET=") for line in unit["Environment"])
        return unit["ExecStart"][0][1], kernels

    cold = ["-I", "-m", "appliance.singleuser"]
    command, kernels = started()
    assert command[1:4] == ["-I", "-S", str(package.resolve() / "client.py")]
    assert command[4:7] == [str(places.run / "preload/server.sock"), "server", "--"]
    assert (command[8:], kernels) == (cold, True)
    command, kernels = started(servers=False, kernels=False)
    assert (command[1:], kernels) == (cold, False)
