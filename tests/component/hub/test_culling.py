"""Servers are stopped when nobody uses them, or by the calendar; and kept when somebody says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from appliance.config.schema import Config
from appliance.hub.culling.calendar import Calendar
from appliance.names import ServerId, ServerName, Username
from tests.fakes.class_people import ClassPeople, class_people
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Browser, Machine

ADA, BOB = ServerId(Username("ada")), ServerId(Username("bob"))
BOB_LAB = ServerId(Username("bob"), ServerName("lab"))
KEEP = "appliance/users/bob/server/keep"


async def _start(browser: Browser, name: str = "bob") -> None:
    assert (await browser.api("POST", f"users/{name}/server", {})).status == 201


async def _cards(browser: Browser) -> list[Any]:
    cards: list[Any] = (await browser.api("GET", "appliance/messages")).json["cards"]
    return cards


def _computes(machine: Machine, server: ServerId, seconds: float) -> None:
    running = machine.spawner.servers[server]
    machine.spawner.servers[server] = replace(running, cpu_seconds=seconds)


class TestWarning:
    async def test_a_user_is_warned_once_and_told_of_the_stop(
        self, machine: Machine, bob: Browser, clock: FakeClock
    ) -> None:
        await _start(bob)
        clock.pass_time(2990)
        assert 9 < await machine.hub.culler.once() < 11, "until the warning is due"
        assert await _cards(bob) == []
        clock.pass_time(20)
        assert await machine.hub.culler.once() > 299, "the usual pause"
        (card,) = await _cards(bob)
        stop = (clock.now() + timedelta(seconds=590)).astimezone()
        assert card["text"] == f"Nobody uses your server: it is stopped at {stop:%H:%M}."
        assert [one["label"] for one in card["buttons"]] == ["Keep it running", "Got it"]
        await machine.hub.culler.once()
        assert len(await _cards(bob)) == 1
        clock.pass_time(580)
        assert 9 < await machine.hub.culler.once() < 11, "until it is to be stopped"
        clock.pass_time(11)
        await machine.hub.culler.once()
        assert machine.spawner.servers == {}
        (card,) = await _cards(bob)
        assert "since nobody used it" in card["text"]

    async def test_its_button_counts_as_use(
        self, machine: Machine, bob: Browser, clock: FakeClock
    ) -> None:
        await _start(bob)
        clock.pass_time(3100)
        await machine.hub.culler.once()
        (card,) = await _cards(bob)
        assert (await bob.api("POST", card["buttons"][0]["path"], {})).status == 204
        clock.pass_time(2900)
        await machine.hub.culler.once()
        assert list(machine.spawner.servers) == [BOB]
        clock.pass_time(800)
        await machine.hub.culler.once()
        assert machine.spawner.servers == {}

    async def test_after_its_button_it_comes_again_even_if_it_reads_the_same(
        self, machine: Machine, bob: Browser, clock: FakeClock
    ) -> None:
        config = Config.model_validate({"culling": {"timeout": 30, "warning": 15}})
        machine.config = machine.config.model_copy(update={"culling": config.culling})
        await machine.restart()
        await _start(bob)
        texts = set()
        for _ in range(2):
            clock.pass_time(16)
            await machine.hub.culler.once()
            (card,) = await _cards(bob)
            texts.add(card["text"])
            assert (await bob.api("POST", card["buttons"][0]["path"], {})).status == 204
            assert await _cards(bob) == []
        assert len(texts) == 1
        assert list(machine.spawner.servers) == [BOB]

    async def test_it_is_taken_back_when_the_server_is_used(
        self, machine: Machine, bob: Browser, clock: FakeClock
    ) -> None:
        await _start(bob)
        clock.pass_time(3100)
        await machine.hub.culler.once()
        body = {"servers": {"": {"last_activity": clock.now().isoformat()}}}
        token = machine.spawner.tokens[BOB]
        await machine.token_call(token, "POST", "users/bob/activity", body)
        await machine.hub.culler.once()
        assert await _cards(bob) == []


class TestProcessor:
    async def test_a_server_that_computes_is_in_use(
        self, machine: Machine, bob: Browser, ada: Browser, clock: FakeClock
    ) -> None:
        await _start(bob)
        await _start(ada, "ada")
        for number in range(13):
            # A third of a core, and what an idle server with an open page takes.
            _computes(machine, BOB, 100.0 * number)
            _computes(machine, ADA, 5.0 * number)
            await machine.hub.culler.once()
            clock.pass_time(300)
        await machine.hub.culler.once()
        assert list(machine.spawner.servers) == [BOB]

    @pytest.mark.parametrize("settings", [{"cpu": None}, {"busy_kernels": True}])
    async def test_it_is_not_where_the_settings_say_so(
        self, machine: Machine, bob: Browser, clock: FakeClock, settings: dict[str, Any]
    ) -> None:
        config = Config.model_validate({"culling": settings})
        machine.config = machine.config.model_copy(update={"culling": config.culling})
        await machine.restart()
        await _start(bob)
        for number in range(13):
            _computes(machine, BOB, 100.0 * number)
            await machine.hub.culler.once()
            clock.pass_time(301)
        await machine.hub.culler.once()
        assert machine.spawner.servers == {}


class TestRules:
    @pytest.fixture
    def config(self) -> Config:
        return Config.model_validate(
            {
                "culling": {"exempt_users": ["ada"], "exempt_groups": ["staff"]},
                "group_culling": {
                    "short": {"timeout": 600},
                    "long": {"timeout": 7200},
                    "never": {"enabled": False},
                },
            }
        )

    @pytest.mark.parametrize(
        ("groups", "stops_after"),
        [
            ([], 3600),
            (["short"], 600),
            (["short", "long"], 7200),
            (["never", "short"], None),
            (["staff", "short"], None),
        ],
    )
    async def test_groups_have_times_of_their_own(
        self,
        machine: Machine,
        bob: Browser,
        clock: FakeClock,
        groups: list[str],
        stops_after: int | None,
    ) -> None:
        for name in groups:
            await machine.root("POST", f"groups/{name}", {"users": ["bob"]})
        await _start(bob)
        clock.pass_time((stops_after or 10**6) - 5)
        await machine.hub.culler.once()
        assert list(machine.spawner.servers) == [BOB]
        clock.pass_time(10)
        await machine.hub.culler.once()
        assert list(machine.spawner.servers) == ([] if stops_after else [BOB])

    async def test_an_exempt_user_is_never_stopped(
        self, machine: Machine, ada: Browser, clock: FakeClock
    ) -> None:
        await _start(ada, "ada")
        clock.pass_time(36_000)
        await machine.hub.culler.once()
        assert list(machine.spawner.servers) == [ADA]
        page = await ada.get("/hub/home")
        assert "It runs until somebody stops it." in page.body


class TestKeeping:
    async def test_a_kept_server_runs_until_its_time_and_the_page_says_so(
        self, machine: Machine, bob: Browser, clock: FakeClock
    ) -> None:
        await _start(bob)
        before = (await bob.api("GET", KEEP)).json
        assert (before["cause"], before["kept_until"]) == ("idle", None)
        answer = await bob.post("/hub/home/keep", {"server": "", "minutes": "240"})
        assert answer.location == "/hub/home"
        page = await bob.get("/hub/home")
        until = (clock.now() + timedelta(hours=4)).astimezone()
        assert f"{until:%H:%M}, used or not" in page.body
        found = (await bob.api("GET", KEEP)).json
        assert (found["kept_by"], found["kept_for_class"]) == ("bob", None)
        assert datetime.fromisoformat(found["stops"]) == until.astimezone(UTC)
        clock.pass_time(4 * 3600 - 700)
        await machine.hub.culler.once()
        assert await _cards(bob) == []
        clock.pass_time(200)
        await machine.hub.culler.once()
        assert len(await _cards(bob)) == 1, "it is soon over"
        clock.pass_time(510)
        await machine.hub.culler.once()
        assert machine.spawner.servers == {}

    async def test_it_ends_when_told_and_survives_a_restart(
        self, machine: Machine, bob: Browser, clock: FakeClock
    ) -> None:
        await _start(bob)
        assert (await bob.api("PUT", KEEP, {"minutes": 600})).status == 200
        await machine.restart()
        clock.pass_time(5 * 3600)
        await machine.hub.culler.once()
        assert list(machine.spawner.servers) == [BOB]
        assert (await bob.api("DELETE", KEEP)).status == 204
        await machine.hub.culler.once()
        assert machine.spawner.servers == {}

    @pytest.mark.parametrize("jump", [86400, -86400, 10 * 86400])
    async def test_a_clock_that_jumps_neither_ends_nor_lengthens_it(
        self, machine: Machine, bob: Browser, clock: FakeClock, jump: int
    ) -> None:
        await _start(bob)
        await bob.api("PUT", KEEP, {"minutes": 300})
        clock.pass_time(2 * 3600)
        clock.jump(jump)
        await machine.hub.culler.once()
        assert list(machine.spawner.servers) == [BOB]
        machine.hub.classroom.parts["keeps"].purge()
        await machine.hub.culler.once()
        assert list(machine.spawner.servers) == [BOB]
        clock.pass_time(3 * 3600 + 10)
        await machine.hub.culler.once()
        assert machine.spawner.servers == {}

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            ({"minutes": 721 + 5}, "the longest time is 12 hours"),
            ({"until": "2026-09-01T08:00:00Z"}, "that time is over"),
            ({"until": "tomorrow"}, "no ISO 8601 time"),
            ({}, "one of until and minutes"),
            ({"until": "2026-09-01T10:00:00Z", "minutes": 5}, "one of until and minutes"),
        ],
    )
    async def test_what_cannot_be_is_refused(
        self, machine: Machine, bob: Browser, body: dict[str, Any], why: str
    ) -> None:
        await _start(bob)
        answer = await bob.api("PUT", KEEP, body)
        assert answer.status == 400
        assert why in answer.json["message"]

    async def test_admins_may_keep_longer_and_nobody_another_s(
        self, machine: Machine, ada: Browser, bob: Browser
    ) -> None:
        await _start(ada, "ada")
        await _start(bob)
        assert (await ada.api("PUT", KEEP, {"minutes": 5 * 1440})).status == 200
        path = "appliance/users/ada/server/keep"
        assert (await bob.api("PUT", path, {"minutes": 5})).status == 404

    async def test_no_time_at_all_is_for_admins(self, machine: Machine, bob: Browser) -> None:
        config = Config.model_validate({"culling": {"keep_most": 0}})
        machine.config = machine.config.model_copy(update={"culling": config.culling})
        await machine.restart()
        await _start(bob)
        assert "For how long" not in (await bob.get("/hub/home")).body
        answer = await bob.api("PUT", KEEP, {"minutes": 5})
        assert (answer.status, "only admins" in answer.json["message"]) == (400, True)

    async def test_a_named_server_is_kept_for_itself(
        self, machine: Machine, bob: Browser, clock: FakeClock
    ) -> None:
        await _start(bob)
        await bob.api("POST", "users/bob/servers/lab", {})
        await bob.api("PUT", "appliance/users/bob/servers/lab/keep", {"minutes": 300})
        clock.pass_time(2 * 3600)
        await machine.hub.culler.once()
        assert list(machine.spawner.servers) == [BOB_LAB]


class TestClasses:
    @pytest.fixture
    async def people(self, machine: Machine) -> ClassPeople:
        return await class_people(machine)

    async def test_a_teacher_keeps_the_servers_of_the_class(
        self, machine: Machine, people: ClassPeople, clock: FakeClock
    ) -> None:
        path = "appliance/classes/algebra/keep"
        until = (clock.now() + timedelta(hours=8)).isoformat()
        answer = await people.lovelace.api("PUT", path, {"until": until})
        assert (answer.status, answer.json["kept_for_class"]) == (200, "algebra")
        for name in ("emmy", "kurt"):
            await machine.root("POST", f"users/{name}/server", {})
        live = await people.lovelace.api("GET", "appliance/classes/algebra/live")
        stops = {one["name"]: one["stops"] for one in live.json["students"]}
        assert stops["sophie"] is None
        assert datetime.fromisoformat(stops["emmy"]) == datetime.fromisoformat(until)
        clock.pass_time(4 * 3600)
        await machine.hub.culler.once()
        assert [one.user for one in machine.spawner.servers] == ["emmy"], "kurt is in another"
        assert (await people.lovelace.api("DELETE", path)).status == 204
        await machine.hub.culler.once()
        assert machine.spawner.servers == {}


class TestCalendar:
    """The clock of these tests stands at 9:00 UTC; all servers are stopped at 22:00."""

    @pytest.fixture
    def config(self) -> Config:
        return Config.model_validate(
            {"culling": {"enabled": False, "stop_at": ["22:00"], "exempt_users": ["ada"]}}
        )

    @pytest.fixture(autouse=True)
    def _zone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TZ", "UTC")

    async def _look(self, machine: Machine) -> None:
        calendar: Calendar = machine.hub.classroom.parts["calendar"]
        await calendar.once(machine.hub.servers, machine.hub.metrics.on_end)

    async def _at(self, machine: Machine, clock: FakeClock, text: str) -> None:
        """Let time pass, with a look now and then, as the hub does."""
        hour, minute = map(int, text.split(":"))
        wanted = clock.now().replace(hour=hour, minute=minute, second=0)
        wanted += timedelta(days=wanted < clock.now())
        while clock.now() < wanted:
            await self._look(machine)
            left = (wanted - clock.now()).total_seconds()
            clock.pass_time(min(600.0, left - 900) if left > 900 else min(10.0, left))
        await self._look(machine)

    async def test_all_are_warned_and_stopped_but_the_exempt(
        self, machine: Machine, ada: Browser, bob: Browser, clock: FakeClock
    ) -> None:
        await _start(ada, "ada")
        await _start(bob)
        found = (await bob.api("GET", KEEP)).json
        assert (found["cause"], found["stops"]) == ("calendar", "2026-09-01T22:00:00.000000Z")
        await self._at(machine, clock, "21:49")
        assert await _cards(bob) == []
        await self._at(machine, clock, "21:51")
        (card,) = await _cards(bob)
        assert card["text"] == "All servers are stopped at 22:00. Save what you work on."
        await self._at(machine, clock, "21:59")
        assert set(machine.spawner.servers) == {ADA, BOB}
        await self._at(machine, clock, "22:00")
        assert list(machine.spawner.servers) == [ADA]
        (card,) = await _cards(bob)
        assert "was stopped at 22:00, as all servers" in card["text"]
        assert await _cards(ada) == []
        # Who starts again goes on until the next day.
        await _start(bob)
        await self._at(machine, clock, "23:00")
        assert set(machine.spawner.servers) == {ADA, BOB}

    @pytest.mark.parametrize("stop_kept", [False, True])
    async def test_a_kept_server_stays_unless_the_setting_says_so(
        self, machine: Machine, bob: Browser, clock: FakeClock, *, stop_kept: bool
    ) -> None:
        culling = machine.config.culling.model_copy(update={"stop_kept": stop_kept})
        machine.config = machine.config.model_copy(update={"culling": culling})
        await machine.restart()
        await _start(bob)
        clock.pass_time(10 * 3600)
        await bob.api("PUT", KEEP, {"minutes": 300})
        await self._at(machine, clock, "22:01")
        assert list(machine.spawner.servers) == ([] if stop_kept else [BOB])

    @pytest.mark.parametrize("hours", [24, 13.02, 12.95, -24])
    async def test_a_clock_that_is_set_stops_nobody_unwarned(
        self, machine: Machine, bob: Browser, clock: FakeClock, hours: float
    ) -> None:
        await _start(bob)
        await self._look(machine)
        clock.jump(hours * 3600)
        for _ in range(11):
            await self._look(machine)
            clock.pass_time(50)
        assert list(machine.spawner.servers) == [BOB], "for nine minutes at least"

    async def test_a_restart_of_the_hub_at_the_very_minute_is_made_up(
        self, machine: Machine, bob: Browser, clock: FakeClock
    ) -> None:
        await _start(bob)
        await self._at(machine, clock, "21:59")
        clock.pass_time(90)
        await machine.restart()
        await self._look(machine)
        assert machine.spawner.servers == {}
        await _start(bob)
        await machine.restart()
        await self._at(machine, clock, "22:20")
        assert list(machine.spawner.servers) == [BOB], "it was done once"

    async def test_hours_in_which_the_hub_was_down_are_not(
        self, machine: Machine, bob: Browser, clock: FakeClock
    ) -> None:
        await _start(bob)
        await self._look(machine)
        clock.pass_time(14 * 3600)
        await machine.restart()
        await self._at(machine, clock, "23:30")
        assert list(machine.spawner.servers) == [BOB]
