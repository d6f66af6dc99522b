from __future__ import annotations

import errno
import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from appliance.config.schema import Config
from appliance.names import Username
from appliance.places import Places
from appliance.systemd_spawner import told as told_
from appliance.systemd_spawner.properties import INFINITY
from appliance.systemd_spawner.protocol import LINE_MAX
from appliance.systemd_spawner.told import ToldStore
from tests.component.spawner.conftest import Daemon
from tests.fakes.systemd import CRASHED, FakeUnits

TOKEN = "ab" * 32


def ask(daemon: Daemon, **fields: Any) -> dict[str, Any]:
    with daemon.connect() as client:
        client.sendall(json.dumps(fields).encode() + b"\n")
        with client.makefile() as file:
            reply: dict[str, Any] = json.loads(file.readline())
            return reply


def closes(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True


def test_a_start_tells_how_the_server_was_started(daemon: Daemon, units: FakeUnits) -> None:
    def start(user: str, status: str) -> dict[str, object]:
        units.status = status
        return ask(daemon, verb="start", user=user, server="", token=TOKEN)

    assert start("ada", "Serving /user/ada/ (preloaded)") == {
        "ok": True,
        "preloaded": True,
        "cold_reason": "",
    }
    assert start("bob", "Serving /user/bob/ (cold: the preload daemon is too busy)") == {
        "ok": True,
        "preloaded": False,
        "cold_reason": "the preload daemon is too busy",
    }


def test_the_verbs_work_over_the_socket(daemon: Daemon) -> None:
    assert ask(daemon, verb="ping") == {"ok": True}
    assert ask(daemon, verb="start", user="ada", server="", token=TOKEN)["ok"]
    (row,) = ask(daemon, verb="list")["servers"]
    assert (row["user"], row["server"], row["ready"], row["tasks"]) == ("ada", "", True, 3)
    assert ask(daemon, verb="log", user="ada", server="", lines=5) == {"ok": True, "lines": []}
    assert ask(daemon, verb="apply_limits") == {"ok": True, "changed": 1}
    assert ask(daemon, verb="stop", user="ada", server="") == {"ok": True}
    assert ask(daemon, verb="rename_user", user="ada", new="eve") == {"ok": True}
    assert ask(daemon, verb="rename_user", user="ada", new="Eve")["code"] == "bad_request"
    assert ask(daemon, verb="forget_user", user="eve") == {"ok": True}
    assert ask(daemon, verb="list")["servers"] == []


@pytest.mark.parametrize(
    ("error", "why", "mend"),
    [
        (OSError(errno.EIO, "Input/output error"), "the disk says: Input/output error", "doctor"),
        (OSError(errno.EBADF, "Bad file descriptor"), "a fault of its own", "logs spawner"),
        (KeyError("x"), "a fault of its own", "logs spawner"),
    ],
)
def test_a_disk_that_fails_is_told_from_a_bug(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, error: Exception, why: str, mend: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(daemon._servers, "start", fail)
    refused = ask(daemon, verb="start", user="ada", server="", token=TOKEN)
    assert (refused["ok"], why in refused["why"], mend in refused["mend"]) == (False, True, True)
    assert ask(daemon, verb="ping") == {"ok": True}


def test_limits_of_groups_and_pages_reach_the_unit(
    daemon: Daemon, units: FakeUnits, places: Places
) -> None:
    config = Config.model_validate(
        {
            "limits": {"memory": "1G", "tasks": 100},
            "group_limits": {"big": {"memory": "3G"}, "small": {"memory": "512M", "cpu": 0.5}},
            "user_limits": {"bob": {"tasks": 300}},
            "page_limits": {"memory": "4G", "cpu": 2, "tasks": 400},
        }
    )
    (places.rendered / "spawner.json").write_text(config.model_dump_json())

    def now(user: str) -> tuple[int, int, int]:
        found = units.properties[f"appliance-user-{user}.service"]
        return found["MemoryMax"] >> 20, found["CPUQuotaPerSecUSec"], found["TasksMax"]

    in_both = {"groups": {"big": {}, "small": {}}, "limits": {}}
    start = {"verb": "start", "server": "", "token": TOKEN}
    assert ask(daemon, **start, user="ada", told=in_both)["ok"]
    assert ask(daemon, **start, user="bob")["ok"]
    assert now("ada") == (3072, 500_000, 100)
    assert now("bob") == (1024, INFINITY, 300)
    # A page may say anything, and gets what the configuration allows.
    told = {"groups": {"big": {"memory": 2**50}, "small": {}}, "limits": {"cpu": 64, "tasks": 350}}
    people = {"ada": told, "carl": told}
    assert ask(daemon, verb="set_limits", people=people) == {"ok": True, "changed": 1}
    assert now("ada") == (4096, 2_000_000, 350)
    assert now("bob") == (1024, INFINITY, 300)
    # What was told is kept for the configuration's next change, and for the next daemon.
    assert ask(daemon, verb="apply_limits") == {"ok": True, "changed": 2}
    assert now("ada") == (4096, 2_000_000, 350)
    assert ToldStore(places.run / "limits.json").find(Username("ada")).limits["cpu"] == 64
    assert (places.run / "limits.json").stat().st_mode & 0o777 == 0o600
    assert ask(daemon, verb="forget_user", user="ada")["ok"]
    assert ToldStore(places.run / "limits.json").find(Username("ada")).limits == {}


def test_a_hub_that_tells_without_end_fills_nothing(
    daemon: Daemon, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told_, "_MOST", 30)
    told = {"groups": {f"g{number}": {} for number in range(10)}, "limits": {}}
    start = {"verb": "start", "server": "", "token": TOKEN, "told": told}
    assert ask(daemon, **start, user="ada")["ok"]
    people = {f"nobody{number}": told for number in range(50)}
    assert ask(daemon, verb="set_limits", people={**people, "ada": told})["changed"] == 1
    for number in range(5):
        assert ask(daemon, **start, user=f"eve{number}")["ok"]
        assert ask(daemon, verb="stop", user=f"eve{number}", server="")["ok"]
    kept = json.loads((places.run / "limits.json").read_text())
    assert "ada" in kept
    assert len(kept) <= 3
    assert not any(name.startswith("nobody") for name in kept)


@pytest.mark.parametrize(
    "told",
    [
        None,
        {},
        {"groups": {}, "limits": {}, "more": 1},
        {"groups": [], "limits": {}},
        {"groups": {"a/b": {}}, "limits": {}},
        {"groups": {" a": {}}, "limits": {}},
        {"groups": {f"g{number}": {} for number in range(501)}, "limits": {}},
        {"groups": {}, "limits": {"memory": "1G"}},
        {"groups": {}, "limits": {"memory": 1}},
        {"groups": {}, "limits": {"memory": 2.5e9}},
        {"groups": {}, "limits": {"memory": True}},
        {"groups": {}, "limits": {"cpu": 0}},
        {"groups": {}, "limits": {"cpu": float("nan")}},
        {"groups": {}, "limits": {"cpu": float("inf")}},
        {"groups": {}, "limits": {"tasks": 31}},
        {"groups": {"a": {"io_weight": 10_000}}, "limits": {}},
        {"groups": {"a": {"MemoryMax": 2**40}}, "limits": {}},
    ],
)
def test_limits_that_are_none_are_refused(daemon: Daemon, told: object) -> None:
    start = {"verb": "start", "user": "ada", "server": "", "token": TOKEN, "told": told}
    assert ask(daemon, **start)["code"] == "bad_request"
    assert ask(daemon, verb="set_limits", people={"ada": told})["code"] == "bad_request"
    assert ask(daemon, verb="set_limits", people={"Ada": {}})["code"] == "bad_request"
    assert ask(daemon, verb="list")["servers"] == []


def test_several_requests_are_answered_in_order(daemon: Daemon) -> None:
    with daemon.connect() as client:
        client.sendall(b'{"verb": "ping"}\n{"verb": "list"}\n{"verb": "ping"}\n')
        with client.makefile() as file:
            replies = [json.loads(file.readline()) for _ in range(3)]
    assert ["servers" in reply for reply in replies] == [False, True, False]


def test_nobody_but_root_and_the_hub_is_heard(daemon: Daemon) -> None:
    daemon.allowed = {os.getuid() + 1}
    with daemon.connect() as client:
        assert closes(client)


@pytest.mark.parametrize("content", [b"\n", b"rubbish\n", b'{"verb": "exec"}\n'])
def test_what_is_not_understood_ends_the_connection(content: bytes, daemon: Daemon) -> None:
    with daemon.connect() as client:
        client.sendall(content + b'{"verb": "ping"}\n')
        with client.makefile() as file:
            assert json.loads(file.readline())["code"] == "bad_request"
            assert file.readline() == ""


def test_an_oversized_line_is_refused(daemon: Daemon) -> None:
    with daemon.connect() as client:
        try:
            client.sendall(b"x" * (LINE_MAX + 64 * 1024))
        except ConnectionError:
            return
        reply = client.recv(4096)
        assert b"bytes long" in reply


def test_descriptors_that_nobody_wants_are_closed(daemon: Daemon) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with daemon.connect() as client:
            # Two at once: the kernel drops the second.
            socket.send_fds(client, [b" "], [0, 1])
            socket.send_fds(client, [b'{"verb": "ping"}\n{"verb": "ping"}\n'], [0])
            with client.makefile() as file:
                assert [json.loads(file.readline())["ok"] for _ in range(2)] == [True, True]
    deadline = time.monotonic() + 10
    while len(list(Path("/proc/self/fd").iterdir())) > before:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_clients_that_stall_or_vanish_harm_nobody(daemon: Daemon) -> None:
    stalled = daemon.connect()
    stalled.sendall(b'{"verb": "pi')
    for _ in range(10):
        with daemon.connect() as vanishing:
            vanishing.sendall(b'{"verb": "list"}\n')
    assert ask(daemon, verb="ping") == {"ok": True}
    assert closes(stalled)
    stalled.close()


def test_a_slow_start_holds_up_nothing_else(daemon: Daemon, units: FakeUnits) -> None:
    units.gate.clear()
    request = {"verb": "start", "user": "ada", "server": "", "token": TOKEN}
    starting = threading.Thread(target=ask, args=(daemon,), kwargs=request)
    starting.start()
    while not (rows := ask(daemon, verb="list")["servers"]):
        time.sleep(0.005)
    assert rows[0]["ready"] is False
    assert ask(daemon, verb="stop", user="bob", server="") == {"ok": True}
    units.gate.set()
    starting.join()
    assert ask(daemon, verb="list")["servers"][0]["ready"] is True


def test_ends_are_pushed_to_who_watches(daemon: Daemon, units: FakeUnits) -> None:
    ask(daemon, verb="start", user="ada", server="", token=TOKEN)
    with daemon.connect() as client, client.makefile() as file:
        client.sendall(b'{"verb": "watch"}\n')
        assert json.loads(file.readline()) == {"ok": True}
        units.end("appliance-user-ada.service", CRASHED)
        event = json.loads(file.readline())
    assert (event["event"], event["user"], event["failed"]) == ("exited", "ada", True)


def test_an_end_that_nobody_watched_is_told_to_the_next(daemon: Daemon, units: FakeUnits) -> None:
    ask(daemon, verb="start", user="ada", server="", token=TOKEN)
    units.end("appliance-user-ada.service", CRASHED)
    with daemon.connect() as client, client.makefile() as file:
        client.sendall(b'{"verb": "watch"}\n')
        file.readline()
        assert json.loads(file.readline())["user"] == "ada"


def test_connections_are_bounded(daemon: Daemon) -> None:
    daemon.stop()
    daemon.connections_max = 2
    daemon.start()
    with daemon.connect() as first, daemon.connect() as second:
        for client in (first, second):
            client.sendall(b'{"verb": "ping"}\n')
            assert client.recv(100)
        with daemon.connect() as third:
            assert closes(third)


def test_a_fault_of_our_own_is_told_without_its_inside(daemon: Daemon, units: FakeUnits) -> None:
    units.listing = None  # type: ignore[assignment]
    reply = ask(daemon, verb="list")
    assert reply["code"] == "failed"
    assert "NoneType" not in json.dumps(reply)
