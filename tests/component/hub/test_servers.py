"""Servers start, stop, fail, queue and end; the pages and the API tell the same story."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from appliance.config.schema import Config
from appliance.errors import SpawnFailed, SpawnTimeout
from appliance.hub.states import ServerState
from appliance.interfaces import Exited
from appliance.names import ServerId, ServerName, Username
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Answer, Browser, Machine

BOB = ServerId(Username("bob"))


def _events(answer: Answer) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in answer.body.splitlines() if line.startswith("data: ")]


async def _until(machine: Machine, state: ServerState, server: ServerId = BOB) -> None:
    async with asyncio.timeout(5):
        while machine.hub.servers.view(server).state is not state:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_starting_and_stopping_by_the_api(machine: Machine, bob: Browser) -> None:
    answer = await bob.api("POST", "users/bob/server", {})
    assert (answer.status, answer.body) == (201, "")
    model = (await bob.api("GET", "users/bob")).json
    assert model["server"] == "/user/bob/"
    assert model["servers"][""]["ready"] is True
    assert model["servers"][""]["progress_url"] == "/hub/api/users/bob/server/progress"
    again = await bob.api("POST", "users/bob/server", {})
    assert again.status == 400
    assert (await bob.api("DELETE", "users/bob/server")).status == 204
    assert (await bob.api("DELETE", "users/bob/server")).status == 204
    assert (await bob.api("GET", "users/bob")).json["servers"] == {}
    assert machine.spawner.servers == {}


async def test_progress_reaches_early_and_late_listeners(machine: Machine, bob: Browser) -> None:
    machine.spawner.go_on.clear()
    start = asyncio.create_task(bob.api("POST", "users/bob/server", {}))
    await _until(machine, ServerState.STARTING)
    early = asyncio.create_task(bob.api("GET", "users/bob/server/progress"))
    await asyncio.sleep(0.1)
    later = asyncio.create_task(bob.api("GET", "users/bob/server/progress"))
    await asyncio.sleep(0.3)
    machine.spawner.go_on.set()
    late = await later
    assert late.headers["content-type"].startswith("text/event-stream")
    assert _events(await early) == _events(late)
    assert [event["progress"] for event in _events(late)] == [0, 10, 100]
    assert _events(late)[-1]["url"] == "/user/bob/"
    assert (await start).status == 201
    after = _events(await bob.api("GET", "users/bob/server/progress"))
    assert [event["ready"] for event in after] == [True]


async def test_a_listener_who_hangs_up_harms_nothing(machine: Machine, bob: Browser) -> None:
    machine.spawner.delay = 0.4
    start = asyncio.create_task(bob.api("POST", "users/bob/server", {}))
    await _until(machine, ServerState.STARTING)
    cookies = "; ".join(f"{name}={value}" for name, (value, _) in bob.jar.items())
    for _ in range(3):
        _, writer = await asyncio.open_unix_connection(str(machine.places.hub_socket))
        writer.write(
            b"GET /hub/api/users/bob/server/progress HTTP/1.1\r\n"
            + f"Host: hub.test\r\nCookie: {cookies}\r\n\r\n".encode()
        )
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.close()
    assert _events(await bob.api("GET", "users/bob/server/progress"))[-1]["ready"] is True
    assert (await start).status == 201


async def test_a_failure_is_kept_with_its_reason_and_the_log_is_for_admins(
    machine: Machine, ada: Browser, bob: Browser
) -> None:
    machine.spawner.failure = SpawnFailed(
        "cannot start the server of 'bob'",
        why="its home is full",
        mend="delete files",
        log=("the secret line of the log",),
    )
    answer = await bob.api("POST", "users/bob/server", {})
    assert answer.status == 500
    assert "its home is full" in answer.json["message"]
    assert answer.json["mend"] == "delete files"
    assert "secret line" not in answer.body
    event = _events(await bob.api("GET", "users/bob/server/progress"))[-1]
    assert event["failed"] is True
    assert "its home is full" in event["message"]
    page = await bob.get("/hub/spawn-pending/bob")
    assert "home is full" in page.body
    assert "secret line" not in page.body
    assert (await bob.api("GET", "appliance/users/bob/server/log")).status == 403
    assert (await ada.api("GET", "appliance/users/bob/server/log")).json["lines"]
    machine.spawner.failure = None
    assert (await bob.api("POST", "users/bob/server", {})).status == 201


async def test_a_timeout_says_so(machine: Machine, bob: Browser) -> None:
    machine.spawner.failure = SpawnTimeout("cannot start it", why="it was not ready after 60 s")
    assert (await bob.api("POST", "users/bob/server", {})).status == 504


async def test_ten_clients_starting_and_stopping_at_once_end_in_agreement(
    machine: Machine, bob: Browser
) -> None:
    machine.spawner.delay = machine.spawner.stop_delay = 0.02
    calls = [
        bob.api(method, "users/bob/server", {}) for _ in range(10) for method in ("POST", "DELETE")
    ]
    answers = await asyncio.gather(*calls)
    assert {answer.status for answer in answers} <= {201, 202, 204, 400}
    async with asyncio.timeout(5):
        while machine.hub.servers.view(BOB).pending:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    view = machine.hub.servers.view(BOB)
    assert view.ready is (BOB in machine.spawner.servers)


async def test_stopping_cancels_a_start(machine: Machine, bob: Browser) -> None:
    machine.spawner.delay = 30
    start = asyncio.create_task(bob.api("POST", "users/bob/server", {}))
    await _until(machine, ServerState.STARTING)
    listener = asyncio.create_task(bob.api("GET", "users/bob/server/progress"))
    await asyncio.sleep(0.05)
    assert (await bob.api("DELETE", "users/bob/server")).status == 204
    assert _events(await listener)[-1]["failed"] is True
    assert (await start).status in {201, 202}
    assert machine.spawner.servers == {}
    machine.spawner.delay = 0
    assert (await bob.api("POST", "users/bob/server", {})).status == 201


async def test_twenty_starts_at_once_wait_in_a_line_that_can_be_seen(
    machine: Machine, ada: Browser
) -> None:
    names = [f"student{number}" for number in range(20)]
    await ada.api("POST", "users", {"usernames": names})
    machine.spawner.delay = 0.1
    starts = [asyncio.create_task(ada.api("POST", f"users/{name}/server", {})) for name in names]
    await asyncio.sleep(0.08)
    views = machine.hub.servers.active()
    places = sorted(view.queue_position for view in views if view.queue_position)
    assert places == list(range(1, len(places) + 1))
    assert len(places) >= 10
    last = max(views, key=lambda view: view.queue_position or 0).server
    progress = await ada.api("GET", f"users/{last.user}/server/progress")
    told = [event["queue_position"] for event in _events(progress) if "queue_position" in event]
    assert told == sorted(told, reverse=True)
    assert told[-1] == 1
    assert {answer.status for answer in await asyncio.gather(*starts)} == {201}
    assert len(machine.spawner.servers) == 20
    assert machine.spawner.most_at_once < 20


async def test_an_end_is_seen_at_once_with_its_reason(machine: Machine, bob: Browser) -> None:
    await bob.api("POST", "users/bob/server", {})
    machine.spawner.end(BOB, reason="killed for using too much memory")
    await _until(machine, ServerState.FAILED)
    page = await bob.get("/hub/home")
    assert "illed for using too much memory" in page.body
    assert (await bob.api("POST", "users/bob/server", {})).status == 201
    machine.spawner.end(BOB, reason="exited", failed=False)
    await _until(machine, ServerState.STOPPED)


async def test_old_news_of_an_end_is_not_believed(machine: Machine, bob: Browser) -> None:
    await bob.api("POST", "users/bob/server", {})
    machine.spawner.tell(Exited(BOB, "exited long ago", failed=True))
    machine.spawner.tell(Exited(ServerId(Username("nobody")), "exited", failed=True))
    await asyncio.sleep(0.05)
    assert machine.hub.servers.view(BOB).ready


async def test_named_servers_have_a_limit(machine: Machine, bob: Browser) -> None:
    assert (await bob.api("POST", "users/bob/servers/one", {})).status == 201
    assert (await bob.api("POST", "users/bob/servers/two", {})).status == 201
    assert (await bob.api("POST", "users/bob/servers/three", {})).status == 201
    assert (await bob.api("POST", "users/bob/servers/four", {})).status == 400
    assert (await bob.api("POST", "users/bob/servers/Bad Name", {})).status in {400, 404}
    assert (await bob.api("DELETE", "users/bob/servers/none")).status == 404
    assert (await bob.api("DELETE", "users/bob/servers/one", {"remove": True})).status == 204
    assert (await bob.api("GET", "users/bob/servers/one")).status == 404
    assert ServerId(Username("bob"), ServerName("two")) in machine.spawner.servers


async def test_servers_with_the_same_client_id_are_told_apart(
    machine: Machine, ada: Browser
) -> None:
    await ada.api("POST", "users", {"usernames": ["eve", "eve-x"]})
    assert (await ada.api("POST", "users/eve/servers/x", {})).status == 201
    assert (await ada.api("POST", "users/eve-x/server", {})).status == 201
    tokens = machine.spawner.tokens
    one, two = ServerId(Username("eve"), ServerName("x")), ServerId(Username("eve-x"))
    assert (await machine.token_call(tokens[one], "GET", "user")).json["name"] == "eve"
    assert (await machine.token_call(tokens[two], "GET", "user")).json["name"] == "eve-x"


@pytest.mark.parametrize(
    "options", [b'{"a": NaN}', b'{"a": 1e999}', b'{"a": "%s"}' % (b"x" * 20_000)]
)
async def test_options_that_would_harm_lists_of_servers_are_refused(
    machine: Machine, bob: Browser, options: bytes
) -> None:
    answer = await bob.request(
        "POST", "/hub/api/users/bob/server", b'{"user_options": %s}' % options,
        mode="cors", X_XSRFToken=bob.xsrf, Content_Type="application/json",
    )  # fmt: skip
    assert answer.status == 400
    assert machine.spawner.starts == 0


class TestActivity:
    async def _report(self, machine: Machine, token: str, stamp: str, **more: object) -> Answer:
        body = {"last_activity": stamp, "servers": {"": {"last_activity": stamp}}, **more}
        return await machine.token_call(token, "POST", "users/bob/activity", body)

    async def test_a_servers_own_token_reports(
        self, machine: Machine, bob: Browser, clock: FakeClock
    ) -> None:
        await bob.api("POST", "users/bob/server", {})
        token = machine.spawner.tokens[BOB]
        clock.pass_time(600)
        answer = await self._report(machine, token, "2026-09-01T09:09:00.000000Z")
        assert (answer.status, answer.body) == (200, "")
        model = (await bob.api("GET", "users/bob")).json
        assert model["servers"][""]["last_activity"] == "2026-09-01T09:09:00.000000Z"
        older = await self._report(machine, token, "2026-09-01T09:01:00Z")
        assert older.status == 200
        model = (await bob.api("GET", "users/bob")).json
        assert model["servers"][""]["last_activity"] == "2026-09-01T09:09:00.000000Z"

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"servers": {}},
            {"last_activity": "yesterday"},
            {"last_activity": 5},
            {"other": 1},
            [],
            "x",
            None,
            {"last_activity": "2026-09-01T12:00:00Z"},
            {"servers": {"none": {"last_activity": "2026-09-01T09:00:00Z"}}},
            {"servers": {"": "2026-09-01T09:00:00Z"}},
            {"servers": []},
            {"last_activity": "9999-99-99"},
            {"last_activity": "0001-01-01T00:00:00+14:00"},
        ],
        ids=lambda body: json.dumps(body)[:40],
    )
    async def test_reports_that_make_no_sense_are_refused(
        self, machine: Machine, bob: Browser, body: object
    ) -> None:
        await bob.api("POST", "users/bob/server", {})
        answer = await machine.token_call(
            machine.spawner.tokens[BOB], "POST", "users/bob/activity", body
        )
        assert answer.status == 400

    async def test_a_report_of_very_many_servers_is_refused_before_looking_for_them(
        self, machine: Machine, bob: Browser
    ) -> None:
        """Looking for 20,000 of them kept the hub from everybody else for seconds."""
        await bob.api("POST", "users/bob/server", {})
        servers = {f"s{n}": {"last_activity": "20260901"} for n in range(101)}
        answer = await bob.api("POST", "users/bob/activity", {"servers": servers})
        assert answer.status == 400
        assert "at most 100" in answer.json["message"]

    async def test_it_reports_for_nobody_else(self, machine: Machine, bob: Browser) -> None:
        await bob.api("POST", "users/bob/server", {})
        body = {"last_activity": "2026-09-01T09:00:00Z"}
        token = machine.spawner.tokens[BOB]
        assert (await machine.token_call(token, "POST", "users/ada/activity", body)).status == 404


class TestCulling:
    @pytest.fixture
    def config(self) -> Config:
        return Config.model_validate({"culling": {"timeout": 3600}})

    async def test_idle_servers_are_stopped_and_busy_ones_stay(
        self, machine: Machine, ada: Browser, bob: Browser, clock: FakeClock
    ) -> None:
        for name in ("ada", "bob"):
            await ada.api("POST", f"users/{name}/server", {})
        token = machine.spawner.tokens[BOB]
        for _ in range(13):
            clock.pass_time(300)
            body = {"servers": {"": {"last_activity": clock.now().isoformat()}}}
            assert (
                await machine.token_call(token, "POST", "users/bob/activity", body)
            ).status == 200
        await machine.hub.culler.once()
        assert list(machine.spawner.servers) == [BOB]
        assert machine.hub.servers.view(ServerId(Username("ada"))).state is ServerState.STOPPED

    @pytest.mark.parametrize("jump", [86400, -86400])
    async def test_a_clock_that_jumps_culls_nobody(
        self, machine: Machine, bob: Browser, clock: FakeClock, jump: int
    ) -> None:
        await bob.api("POST", "users/bob/server", {})
        clock.jump(jump)
        await machine.hub.culler.once()
        await machine.restart()
        await machine.hub.culler.once()
        assert list(machine.spawner.servers) == [BOB]

    async def test_an_idle_server_is_stopped_after_a_restart_too(
        self, machine: Machine, bob: Browser, clock: FakeClock
    ) -> None:
        await bob.api("POST", "users/bob/server", {})
        clock.pass_time(3500)
        await machine.restart()
        clock.pass_time(600)
        await machine.hub.culler.once()
        assert machine.spawner.servers == {}
