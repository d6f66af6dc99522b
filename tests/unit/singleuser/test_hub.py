"""The short memory of a server about tokens, against a stub of the hub."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.singleuser.hub import Hub, HubRefusedError, HubUnavailableError, Person, may_use
from appliance.singleuser.settings import FRESH_SECONDS, STALE_SECONDS, Settings
from tests.fakes.hub import FakeHub

ASK = "GET /hub/api/user"


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Setup:
    fake: FakeHub
    hub: Hub
    clock: Clock = field(default_factory=Clock)


def _settings(socket: Path) -> Settings:
    return Settings(
        user="ada", server="", prefix="/user/ada/", base_url="/", hub_host="",
        client_id="jupyterhub-user-ada", api_socket=str(socket), api_path="/hub/api",
        activity_path="/hub/api/users/ada/activity", callback_path="/user/ada/oauth_callback",
        access_scopes=frozenset({"access:servers!server=ada/"}), activity_seconds=300,
        front_end="lab", count_busy=True, token="t",
    )  # fmt: skip


@pytest.fixture
async def setup(tmp_path: Path) -> AsyncIterator[Setup]:
    fake, clock = FakeHub(), Clock()
    server = fake.listen(tmp_path / "api.sock")
    yield Setup(fake, Hub(_settings(tmp_path / "api.sock"), clock=clock), clock)
    server.stop()


async def test_revoked_token_is_nobody_within_a_minute(setup: Setup) -> None:
    setup.fake.give("t", "ada")
    assert await setup.hub.find_person("t")
    del setup.fake.tokens["t"]
    assert await setup.hub.find_person("t")
    assert await setup.hub.find_person("t", max_age=0) is None


async def test_answer_is_fresh_for_a_minute(setup: Setup) -> None:
    setup.fake.give("t", "ada")
    await setup.hub.find_person("t")
    setup.clock.now += FRESH_SECONDS - 1
    await setup.hub.find_person("t")
    assert setup.fake.asked.count(ASK) == 1
    setup.clock.now += 1
    await setup.hub.find_person("t")
    assert setup.fake.asked.count(ASK) == 2


async def test_requests_that_come_together_ask_once(setup: Setup) -> None:
    setup.fake.give("t", "ada")
    found = await asyncio.gather(*(setup.hub.find_person("t") for _ in range(20)))
    assert all(found)
    assert setup.fake.asked.count(ASK) == 1


async def test_old_answer_stands_in_while_the_hub_restarts(setup: Setup) -> None:
    setup.fake.give("t", "ada")
    await setup.hub.find_person("t")
    setup.fake.down = True
    setup.clock.now += STALE_SECONDS - 1
    assert await setup.hub.find_person("t")
    setup.clock.now += 1
    with pytest.raises(HubUnavailableError):
        await setup.hub.find_person("t")


async def test_outage_is_never_remembered(setup: Setup) -> None:
    setup.fake.give("t", "ada")
    setup.fake.down = True
    with pytest.raises(HubUnavailableError):
        await setup.hub.find_person("t")
    setup.fake.down = False
    assert await setup.hub.find_person("t")


async def test_unknown_token_is_remembered_only_briefly(setup: Setup) -> None:
    assert await setup.hub.find_person("t") is None
    setup.fake.give("t", "ada")
    assert await setup.hub.find_person("t") is None
    setup.clock.now += 11
    assert await setup.hub.find_person("t")


@pytest.mark.parametrize("token", ["", "x" * 300], ids=["empty", "long"])
async def test_impossible_tokens_are_not_asked_about(setup: Setup, token: str) -> None:
    assert await setup.hub.find_person(token) is None
    assert not setup.fake.asked


async def test_hub_without_a_socket_is_unavailable(tmp_path: Path) -> None:
    hub = Hub(_settings(tmp_path / "none.sock"))
    with pytest.raises(HubUnavailableError):
        await hub.find_person("t")


async def test_refused_code_carries_the_hubs_reason(setup: Setup) -> None:
    with pytest.raises(HubRefusedError, match="invalid_grant"):
        await setup.hub.exchange("c", verifier="v")


@pytest.mark.parametrize(
    ("scope", "opens"),
    [
        ("access:servers!server=ada/", True),
        ("access:servers", True),
        ("access:servers!server=ada/x", False),
        ("access:services", False),
        ("access", False),
    ],
)
def test_scopes_open_servers(scope: str, opens: bool) -> None:
    person = Person("ada", "ada", frozenset({"read:users", scope}))
    assert may_use(person, frozenset({"access:servers!server=ada/"})) is opens
