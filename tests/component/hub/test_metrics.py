"""The numbers for Prometheus, read with its own parser."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance.config.schema import Config
from appliance.errors import SpawnFailed
from appliance.interfaces import Exited, Started
from appliance.names import ServerId, Username
from tests.component.hub.conftest import STUDENT_PASSWORD
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Answer, Browser, Machine

BOB = ServerId(Username("bob"))
Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(answer: Answer) -> Samples:
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    families = list(text_string_to_metric_families(answer.body))
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert family.documentation
        assert family.type in {"counter", "gauge", "histogram"}
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


async def scrape(machine: Machine) -> Samples:
    return parsed(await machine.root("GET", "metrics"))


async def test_users_and_servers_are_counted(
    machine: Machine, ada: Browser, bob: Browser, clock: FakeClock
) -> None:
    await machine.browser().sign_up("eve", STUDENT_PASSWORD)
    await bob.api("POST", "users/bob/server")
    samples = await scrape(machine)
    assert value(samples, "jupyterhub_total_users") == 3
    assert value(samples, "appliance_users_waiting") == 1
    assert value(samples, "jupyterhub_running_servers") == 1
    assert value(samples, "appliance_servers", state="ready") == 1
    assert value(samples, "appliance_servers", state="failed") == 0
    assert value(samples, "appliance_start_queue_length") == 0
    assert value(samples, "jupyterhub_active_users", period="24h") == 2
    clock.pass_time(2 * 86400)
    samples = await scrape(machine)
    assert value(samples, "jupyterhub_active_users", period="24h") == 0
    assert value(samples, "jupyterhub_active_users", period="7d") == 2
    assert value(samples, "jupyterhub_active_users", period="30d") == 2


async def test_starts_stops_and_ends_are_timed_and_counted(
    machine: Machine, bob: Browser, clock: FakeClock
) -> None:
    name = "jupyterhub_server_spawn_duration_seconds"
    samples = await scrape(machine)
    assert value(samples, f"{name}_count", status="failure") == 0
    await bob.api("POST", "users/bob/server")
    await bob.api("DELETE", "users/bob/server")
    await bob.api("POST", "users/bob/server")
    machine.spawner.servers.clear()
    await machine.hub.servers.ended(Exited(BOB, "it used too much", failed=True, cause="oom"))
    await bob.api("POST", "users/bob/server")
    machine.spawner.servers.clear()
    await machine.hub.servers.ended(Exited(BOB, "it burnt", failed=True, cause="never heard of"))
    samples = await scrape(machine)
    assert value(samples, f"{name}_count", status="success") == 3
    assert value(samples, f"{name}_bucket", status="success", le="+Inf") == 3
    assert value(samples, "jupyterhub_server_stop_seconds_count", status="success") == 1
    assert value(samples, "appliance_server_ends_total", cause="oom") == 1
    assert value(samples, "appliance_server_ends_total", cause="other") == 1
    assert value(samples, "appliance_server_ends_total", cause="idle") == 0
    assert value(samples, "appliance_servers", state="failed") == 1


async def test_starts_are_counted_and_timed_by_how_they_went(
    machine: Machine, ada: Browser, bob: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "appliance.hub.servers")
    name = "appliance_server_start"
    samples = await scrape(machine)
    assert value(samples, f"{name}s_total", how="preloaded") == 0
    assert value(samples, f"{name}_duration_seconds_count", how="cold") == 0
    assert await starts(machine) == {"preloaded": 0, "cold": 0, "latest_cold": None}
    machine.spawner.started = Started(cold_reason="no preload daemon answers")
    await ada.api("POST", "users/ada/server")
    machine.spawner.started = Started(preloaded=True)
    await bob.api("POST", "users/bob/server")
    await bob.api("POST", "users/bob/servers/lab2")
    samples = await scrape(machine)
    assert value(samples, f"{name}s_total", how="preloaded") == 2
    assert value(samples, f"{name}s_total", how="cold") == 1
    assert value(samples, f"{name}_duration_seconds_count", how="preloaded") == 2
    assert value(samples, f"{name}_duration_seconds_count", how="cold") == 1
    assert await starts(machine) == {
        "preloaded": 2,
        "cold": 1,
        "latest_cold": {"server": "ada", "reason": "no preload daemon answers"},
    }
    assert re.search(
        r"ada started in \d\.\d\d s, cold: no preload daemon answers$", caplog.text, re.MULTILINE
    )
    assert re.search(r"bob/lab2 started in \d\.\d\d s, preloaded$", caplog.text, re.MULTILINE)


async def test_a_failed_start_counts_as_none(machine: Machine, bob: Browser) -> None:
    machine.spawner.failure = SpawnFailed("cannot start", why="no")
    await bob.api("POST", "users/bob/server")
    assert await starts(machine) == {"preloaded": 0, "cold": 0, "latest_cold": None}


async def starts(machine: Machine) -> object:
    return (await machine.root("GET", "appliance/status")).json["starts"]


async def test_log_ins_are_counted_by_how_they_ended(machine: Machine, bob: Browser) -> None:
    before = value(await scrape(machine), "appliance_logins_total", outcome="success")
    browser = machine.browser()
    for _ in range(12):
        await browser.log_in("bob", "wrong-password-of-somebody")
    await machine.browser().log_in("ada", "wrong-password-of-somebody")
    samples = await scrape(machine)
    assert value(samples, "appliance_logins_total", outcome="failure") == 11
    assert value(samples, "appliance_logins_total", outcome="throttled") == 2
    assert value(samples, "appliance_logins_total", outcome="success") == before
    assert value(samples, "jupyterhub_login_duration_seconds_count", status="failure") == 13


async def test_labels_are_from_a_small_set_whatever_is_asked(
    machine: Machine, bob: Browser
) -> None:
    await bob.get("/hub/home")
    count = len(await scrape(machine))
    for number in range(30):
        await machine.browser().get(f"/hub/no/such/page/{number}")
        await machine.browser().get(f"/user/nobody{number}/lab")
        await machine.browser().request(f"VERB{number}", "/hub/home")
    body = (await machine.root("GET", "metrics")).body
    assert "nobody" not in body
    assert "VERB" not in body
    assert "bob" not in body
    assert len(parsed(await machine.root("GET", "metrics"))) < count + 200


async def test_the_hub_says_what_it_uses_itself(machine: Machine) -> None:
    samples = await scrape(machine)
    assert value(samples, "process_resident_memory_bytes") > 10_000_000
    assert value(samples, "process_cpu_seconds_total") > 0
    assert value(samples, "process_open_fds") > 3
    assert value(samples, "jupyterhub_hub_startup_duration_seconds_count") == 1


async def test_the_docs_have_every_metric_and_no_other(machine: Machine, ada: Browser) -> None:
    await ada.post("/hub/logout", {})
    body = (await machine.root("GET", "metrics")).body
    shown = dict(re.findall(r"^# TYPE (\S+) (\S+)$", body, flags=re.MULTILINE))
    page = (Path(__file__).parents[3] / "docs/operating.md").read_text()
    assert dict(re.findall(r"^\| `([a-z_]+)` \| ([a-z]+) \| ", page, flags=re.MULTILINE)) == shown


async def test_processor_time_of_servers_only_rises(machine: Machine) -> None:
    from appliance.hub.metrics import Metrics
    from appliance.hub.usage import Usage

    def use(seconds: float) -> dict[ServerId, Usage]:
        return {BOB: Usage(1, None, seconds, None, 2.0, 1)}

    metrics = Metrics(clock=machine.clock)
    looks = [use(50.0), use(53.0), {}, use(2.0), use(1.0)]
    assert [metrics.cpu_used(look) for look in looks] == [0.0, 3.0, 3.0, 5.0, 6.0]


class TestWhoMayRead:
    @pytest.mark.parametrize("path", ["/hub/metrics", "/hub/api/metrics"])
    async def test_admins_by_cookie_and_token(
        self, machine: Machine, ada: Browser, path: str
    ) -> None:
        assert value(parsed(await ada.get(path)), "jupyterhub_total_users") == 1
        token = (await ada.api("POST", "users/ada/tokens", {"scopes": ["read:metrics"]})).json
        answer = await machine.browser().get(path, Authorization=f"Bearer {token['token']}")
        assert answer.status == 200

    @pytest.mark.parametrize("path", ["/hub/metrics", "/hub/api/metrics"])
    async def test_nobody_else(self, machine: Machine, bob: Browser, path: str) -> None:
        assert (await bob.get(path)).status == 403
        assert (await machine.browser().get(path)).status == 403

    @pytest.mark.parametrize("config", [Config.model_validate({"metrics": {"public": True}})])
    async def test_everybody_if_the_setting_says_so(self, machine: Machine) -> None:
        assert (await machine.browser().get("/hub/metrics")).status == 200

    @pytest.mark.parametrize(
        "config",
        [
            Config.model_validate(
                {
                    "services": {"prometheus": {"api_token": "a-token-for-the-scrapes"}},
                    "roles": {"metrics": {"scopes": ["read:metrics"], "services": ["prometheus"]}},
                }
            )
        ],
    )
    async def test_a_service_with_the_role(self, machine: Machine) -> None:
        token = "a-token-for-the-scrapes"
        assert (await machine.token_call(token, "GET", "metrics")).status == 200
        assert (await machine.token_call(token, "GET", "users")).status == 403
