"""Limits in the hub: which a user has, giving other ones, telling the spawner, and what ran out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from appliance.config.schema import Config
from appliance.hub.limits import memory_kills
from appliance.hub.limits.server_limits import ServerLimits
from appliance.limits import GIB, MIB, Told
from appliance.names import ServerId, Username
from tests.fakes.class_people import ClassPeople, class_people
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Browser, Machine

EMMY = ServerId(Username("emmy"))


@pytest.fixture
def config() -> Config:
    return Config.model_validate(
        {
            "limits": {"memory": "1G", "tasks": 200},
            "group_limits": {"logic": {"memory": "3G"}},
            "user_limits": {"kurt": {"cpu": 1.5}},
            "page_limits": {"memory": "4G", "cpu": 8},
        }
    )


@pytest.fixture
async def people(machine: Machine) -> ClassPeople:
    return await class_people(machine)


def limits_of(machine: Machine) -> ServerLimits:
    found: ServerLimits = machine.hub.classroom.parts["limits"]
    return found


async def shown(browser: Browser, path: str) -> dict[str, Any]:
    answer = await browser.api("GET", f"appliance/{path}/limits")
    assert answer.status == 200, answer.body
    return {name: one["value"] for name, one in answer.json["limits"].items()}


async def root_sets(machine: Machine, path: str, **limits: object) -> int:
    return (await machine.root("PATCH", f"appliance/{path}/limits", limits)).status


async def test_a_user_sees_the_limits_and_where_they_come_from(
    machine: Machine, people: ClassPeople
) -> None:
    answer = await people.kurt.api("GET", "appliance/users/kurt/limits")
    limits = answer.json["limits"]
    assert limits["memory"] == {
        "value": 3 * GIB, "source": "group", "name": "logic", "on_page": False,
    }  # fmt: skip
    assert limits["cpu"]["source"] == "user"
    assert limits["tasks"] == {"value": 200, "source": "default", "name": None, "on_page": False}
    assert answer.json["most"]["memory"] == 4 * GIB
    words = "It may use 3 GB of memory and 1.5 processor cores."
    assert words in (await people.kurt.get("/hub/home")).body
    machine.spawner.holds_limits = False
    assert "It may use" not in (await people.kurt.get("/hub/home")).body
    assert (await people.kurt.api("GET", "appliance/users/emmy/limits")).status in {403, 404}


async def test_limits_set_on_a_page_hold_for_starts_and_running_servers(
    machine: Machine, people: ClassPeople
) -> None:
    assert await root_sets(machine, "groups/algebra", memory=2 * GIB) == 200
    assert machine.spawner.limits_set == []
    await people.emmy.post("/hub/spawn/emmy", {})
    assert machine.spawner.told["emmy"] == Told({"algebra": {"memory": 2 * GIB}}, {})
    assert (await shown(people.emmy, "users/emmy"))["memory"] == 2 * GIB
    assert await root_sets(machine, "users/emmy", memory=512 * MIB, cpu=0.5) == 200
    assert machine.spawner.limits_set == ["emmy"]
    assert machine.spawner.told["emmy"].limits == {"memory": 512 * MIB, "cpu": 0.5}
    assert await root_sets(machine, "users/emmy", memory=None) == 200
    assert machine.spawner.told["emmy"].limits == {"cpu": 0.5}
    # Nothing new is told again; a hub that is started anew tells all of it once.
    machine.spawner.limits_set.clear()
    await limits_of(machine).sync()
    assert machine.spawner.limits_set == []


async def test_who_comes_into_a_class_gets_its_limits(
    machine: Machine, people: ClassPeople
) -> None:
    await people.kurt.post("/hub/spawn/kurt", {})
    assert machine.spawner.told["kurt"].groups == {"logic": {}}
    await machine.root("POST", "groups/algebra/users", {"users": ["kurt"]})
    await limits_of(machine).sync()
    assert machine.spawner.limits_set == ["kurt"]
    assert machine.spawner.told["kurt"].groups == {"algebra": {}, "logic": {}}


@pytest.mark.parametrize(
    "body",
    [
        {"memory": 5 * GIB},
        {"memory": 64 * MIB},
        {"memory": "1G"},
        {"cpu": 9},
        {"cpu": 0},
        {"tasks": 5000},
        {"tasks": 8},
        {"swap": GIB},
        {"cpu_weight": 10_000},
    ],
)
async def test_more_than_is_allowed_is_refused(
    machine: Machine, people: ClassPeople, body: dict[str, object]
) -> None:
    for path in ("users/emmy", "groups/algebra"):
        answer = await machine.root("PATCH", f"appliance/{path}/limits", body)
        assert answer.status == 400, answer.body
    assert (await shown(people.emmy, "users/emmy"))["memory"] == GIB


async def test_students_and_teachers_set_nothing(machine: Machine, people: ClassPeople) -> None:
    for browser in (people.emmy, people.lovelace):
        for path in ("users/emmy", "groups/algebra"):
            answer = await browser.api("PATCH", f"appliance/{path}/limits", {"memory": 2 * GIB})
            assert answer.status in {403, 404}, answer.body
    assert (await shown(people.lovelace, "groups/algebra"))["memory"] == GIB
    page = await people.lovelace.get("/hub/classes/algebra/limits")
    assert "Only admins set limits here." in page.body
    form = {"memory": "2G", "cpu": "", "tasks": ""}
    assert (await people.lovelace.post("/hub/classes/algebra/limits", form)).status == 403
    assert (await people.lovelace.get("/hub/admin/users/emmy/limits")).status in {403, 404}
    assert (await shown(people.emmy, "users/emmy"))["memory"] == GIB


class TestTeachersMay:
    @pytest.fixture
    def config(self) -> Config:
        return Config.model_validate({"page_limits": {"memory": "4G", "teachers": True}})

    async def test_teachers_set_the_limits_of_their_own_class(self, people: ClassPeople) -> None:
        form = {"memory": "2,5 GB", "cpu": "", "tasks": "300"}
        saved = await people.lovelace.post("/hub/classes/algebra/limits", form)
        assert saved.status == 302, saved.body
        assert (await shown(people.emmy, "users/emmy"))["memory"] == 2.5 * GIB
        assert (await shown(people.emmy, "users/emmy"))["tasks"] == 300
        page = await people.lovelace.get("/hub/classes/algebra/limits")
        assert 'value="2.5 GB"' in page.body
        assert "set for the group “algebra”" in page.body
        wrong = await people.lovelace.post(
            "/hub/classes/algebra/limits", {"memory": "5G", "cpu": "", "tasks": ""}
        )
        assert wrong.status == 400
        assert "128 MB to 4 GB" in wrong.body
        other = await people.lovelace.post("/hub/classes/logic/limits", form)
        assert other.status in {403, 404}


async def test_an_admin_sets_limits_on_a_users_page(machine: Machine, ada: Browser) -> None:
    await machine.root("POST", "appliance/users", {"usernames": ["eve"]})
    page = await ada.get("/hub/admin/users/eve/limits")
    assert "1 GB" in page.body
    path = "/hub/admin/users/eve/limits"
    for typed, words in (
        ({"memory": "much"}, "no size"),
        ({"cpu": "two"}, "no number"),
        ({"cpu": "nan"}, "no number"),
        ({"tasks": "1.5"}, "no number"),
        ({"cpu": "inf"}, "from 0.1 to 8"),
    ):
        form = {"memory": "", "cpu": "", "tasks": "", **typed}
        wrong = await ada.post(path, form)
        assert wrong.status == 400
        assert words in wrong.body, typed
    saved = await ada.post(path, {"memory": "2 GB", "cpu": "1.5", "tasks": ""})
    assert saved.status == 302
    found = await shown(ada, "users/eve")
    assert (found["memory"], found["cpu"], found["tasks"]) == (2 * GIB, 1.5, 200)
    assert (await ada.post(path, {"memory": "", "cpu": "", "tasks": ""})).status == 302
    assert (await shown(ada, "users/eve"))["memory"] == GIB


async def test_memory_is_lowered_below_what_is_used_only_on_purpose(
    machine: Machine, people: ClassPeople, ada: Browser
) -> None:
    await people.emmy.post("/hub/spawn/emmy", {})
    running = machine.spawner.servers
    running[EMMY] = replace(running[EMMY], memory_bytes=800 * MIB)
    for path in ("users/emmy", "groups/algebra"):
        refused = await machine.root("PATCH", f"appliance/{path}/limits", {"memory": 512 * MIB})
        assert refused.status == 409
        assert "the servers of emmy use more" in refused.json["message"]
    form = {"memory": "512M", "cpu": "", "tasks": ""}
    asked = await ada.post("/hub/admin/users/emmy/limits", form)
    assert asked.status == 409
    assert 'name="force"' in asked.body
    assert machine.spawner.told["emmy"].limits == {}
    done = await ada.post("/hub/admin/users/emmy/limits", {**form, "force": "1"})
    assert done.status == 302
    assert machine.spawner.told["emmy"].limits == {"memory": 512 * MIB}


async def test_limits_of_a_user_who_was_removed_are_gone(machine: Machine, ada: Browser) -> None:
    await machine.root("POST", "appliance/users", {"usernames": ["eve"]})
    assert await root_sets(machine, "users/eve", memory=2 * GIB) == 200
    assert (await machine.root("DELETE", "users/eve")).status == 204
    await machine.root("POST", "appliance/users", {"usernames": ["eve"]})
    assert (await shown(ada, "users/eve"))["memory"] == GIB


async def says_killed(machine: Machine, says_who: ServerId, **body: object) -> int:
    token = machine.spawner.tokens[says_who]
    path = f"appliance/users/{says_who.user}/out-of-memory"
    answer = await machine.token_call(token, "POST", path, body)
    return answer.status


async def test_what_linux_stopped_is_told_and_counted(
    machine: Machine, people: ClassPeople, clock: FakeClock
) -> None:
    await people.emmy.post("/hub/spawn/emmy", {})
    assert await says_killed(machine, EMMY, notebook="week 1/big.ipynb") == 204
    [card] = (await people.emmy.api("GET", "appliance/messages")).json["cards"]
    assert card["title"] == "Out of memory"
    assert (
        "the kernel of “week 1/big.ipynb”: your server wanted more memory than the 1 GB"
        in (card["text"])
    )
    assert "big.ipynb" in (await people.emmy.get("/hub/home")).body
    assert await says_killed(machine, EMMY, notebook="x") == 429
    clock.pass_time(5)
    assert await says_killed(machine, EMMY, by_machine=True) == 204
    [card] = (await people.emmy.api("GET", "appliance/messages")).json["cards"]
    assert "all servers together" in card["text"]
    live = await people.lovelace.api("GET", "appliance/classes/algebra/live")
    counts = {one["name"]: one["memory_kills"] for one in live.json["students"]}
    assert counts == {"emmy": 2, "sophie": 0}
    page = await people.lovelace.get("/hub/classes/algebra")
    assert "Out of memory: 2 in a day" in page.body
    metrics = await machine.root("GET", "metrics")
    assert "appliance_memory_kills_total 2" in metrics.body
    clock.pass_time(25 * 3600)
    assert machine.hub.classroom.parts["memory_kills"].lately_in("algebra") == {}


async def test_nobody_says_so_for_others(machine: Machine, people: ClassPeople) -> None:
    await people.emmy.post("/hub/spawn/emmy", {})
    await people.kurt.post("/hub/spawn/kurt", {})
    token = machine.spawner.tokens[EMMY]
    path = "appliance/users/kurt/out-of-memory"
    assert (await machine.token_call(token, "POST", path, {})).status in {403, 404}
    assert await says_killed(machine, EMMY, server="other") in {400, 404}
    assert await says_killed(machine, EMMY, notebook="x" * 301) == 400
    assert (await people.kurt.api("GET", "appliance/messages")).json["cards"] == []
    assert await says_killed(machine, EMMY, notebook="a\x1b[2J\u202eb") == 204
    [card] = (await people.emmy.api("GET", "appliance/messages")).json["cards"]
    assert "a?[2J?b" in card["text"]


async def test_a_server_that_says_so_without_end_fills_nothing(
    machine: Machine, people: ClassPeople, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_kills, "_MOST", 3)
    await people.emmy.post("/hub/spawn/emmy", {})
    for _ in range(5):
        assert await says_killed(machine, EMMY, notebook="x" * 300) == 204
        clock.pass_time(5)
    assert machine.hub.classroom.parts["memory_kills"].lately_in("algebra") == {"emmy": 3}
    clock.pass_time(25 * 3600)
    assert await says_killed(machine, EMMY) == 204
    assert machine.hub.classroom.parts["memory_kills"].lately_in("algebra") == {"emmy": 1}


class TestRunTime:
    @pytest.fixture
    def config(self) -> Config:
        return Config.model_validate(
            {
                "limits": {"run_time": "8h"},
                "user_limits": {"kurt": {"run_time": "2d"}},
                "culling": {"enabled": False},
            }
        )

    async def test_a_server_is_stopped_after_its_time_with_a_warning(
        self, machine: Machine, people: ClassPeople, clock: FakeClock
    ) -> None:
        run_times = machine.hub.classroom.parts["run_times"]
        for browser in (people.emmy, people.kurt):
            await browser.post(f"/hub/spawn/{'emmy' if browser is people.emmy else 'kurt'}", {})
        await run_times.once()
        clock.pass_time(7 * 3600)
        await run_times.once()
        messages = machine.hub.classroom.parts["messages"]
        assert messages.unread("emmy") == []
        clock.pass_time(50 * 60)
        await run_times.once()
        [warning] = messages.unread("emmy")
        assert "in less than 10 minutes: it may run for 8 h" in warning.text
        assert EMMY in machine.spawner.servers
        clock.pass_time(11 * 60)
        await run_times.once()
        [stopped] = messages.unread("emmy")
        assert "It was stopped after 8 h" in stopped.text
        await machine.hub.servers.stop(EMMY)
        assert [str(server) for server in machine.spawner.servers] == ["kurt"]
        assert messages.unread("kurt") == []

    async def test_a_clock_that_jumps_stops_nobody(
        self, machine: Machine, people: ClassPeople, clock: FakeClock
    ) -> None:
        await people.emmy.post("/hub/spawn/emmy", {})
        run_times = machine.hub.classroom.parts["run_times"]
        clock.jump(3 * 86400)
        await run_times.once()
        assert EMMY in machine.spawner.servers
        # A hub that is started anew believes no age, but warns first.
        run_times._seen.clear()
        await run_times.once()
        assert EMMY in machine.spawner.servers
        [warning] = machine.hub.classroom.parts["messages"].unread("emmy")
        assert "less than 15 minutes" in warning.text
