"""Choosing configurable-http-proxy takes effect, or is refused before anything has changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.config.edit import set_value, write_first
from appliance.config.rendered import read_in_force
from appliance.config.schema import Config, ProxyProgram, Reload
from appliance.errors import ApplianceError
from appliance.places import Places
from appliance.proxy.nginx import render
from appliance.proxy.static_files import StaticRoots
from appliance.rollout.apply import Applier, ApplyFailed, Outcome
from appliance.rollout.render import PROXY_FILE
from tests.fakes.chp import TOKEN, Chp, configurable_http_proxy
from tests.fakes.nginx import trial_places
from tests.fakes.ports import free_port
from tests.fakes.services import FakeServices

CHP = "configurable-http-proxy"


def nginx_text(config: Config, places: Places) -> str:
    return render(config, places, static=StaticRoots())


class Appliance:
    """One whose settings can be set, from a thread as the command line has no loop either."""

    def __init__(self, folder: Path) -> None:
        self.places = trial_places(folder)
        self.places.homes.mkdir(exist_ok=True)
        write_first(self.places, {"http.port": str(free_port()), "http.address": "127.0.0.1"})
        self.services = FakeServices(self.places, works=lambda _config: True)
        self.applier = Applier(
            places=self.places, services=self.services, nginx_text=nginx_text,
            apply_seconds=1.0, rollback_seconds=1.0,
        )  # fmt: skip

    async def set(self, key: str, word: str) -> Outcome:
        def edit(text: str) -> str:
            return set_value(text, key, [word], name="config.yaml")

        self.services.told.clear()
        return await asyncio.to_thread(self.applier.change, edit)

    @property
    def program(self) -> ProxyProgram:
        return read_in_force(self.places).proxy.program

    def snapshot(self) -> list[str]:
        files = [self.places.config_file, *sorted(self.places.rendered.iterdir())]
        return [path.read_text() for path in files]


@pytest.fixture
async def chp(tmp_path: Path) -> AsyncIterator[Chp]:
    async with configurable_http_proxy(tmp_path) as chp:
        yield chp


@pytest.fixture
async def appliance(tmp_path: Path, chp: Chp) -> AsyncIterator[Appliance]:
    """It knows where the proxy is, and doesn't use it yet."""
    made = Appliance(tmp_path / "trial")
    await asyncio.to_thread(made.applier.reload)
    await made.set("proxy.api_url", chp.api_url)
    await made.set("proxy.api_token", TOKEN)
    yield made
    made.services.close()


async def test_it_is_chosen_and_unchosen(appliance: Appliance, chp: Chp) -> None:
    await chp.start()
    outcome = await appliance.set("proxy.program", CHP)
    assert Reload.HUB in outcome.reload
    assert "http.trusted_proxies" in "".join(outcome.notes)
    assert appliance.program is ProxyProgram.CONFIGURABLE
    text = (appliance.places.rendered / PROXY_FILE).read_text()
    assert "keepalive_timeout 75s 60s;" in text
    chp.stop()
    # Going back needs nothing of it.
    await appliance.set("proxy.program", "nginx")
    assert appliance.program is ProxyProgram.NGINX


async def test_one_that_does_not_answer_is_refused(appliance: Appliance, chp: Chp) -> None:
    before = appliance.snapshot()
    with pytest.raises(ApplianceError, match=r"does not answer \(connection refused\)"):
        await appliance.set("proxy.program", CHP)
    assert (appliance.snapshot(), appliance.services.told) == (before, [])
    await chp.start()
    await appliance.set("proxy.program", CHP)


async def test_a_wrong_token_is_refused(appliance: Appliance, chp: Chp) -> None:
    await chp.start()
    await appliance.set("proxy.api_token", "some-other-token-0123")
    before = appliance.snapshot()
    with pytest.raises(ApplianceError, match="it refuses the token"):
        await appliance.set("proxy.program", CHP)
    assert (appliance.snapshot(), appliance.services.told) == (before, [])


async def test_one_that_obeys_anybody_is_refused(appliance: Appliance, chp: Chp) -> None:
    chp.token = None
    await chp.start()
    with pytest.raises(ApplianceError, match="it obeys anybody"):
        await appliance.set("proxy.program", CHP)
    assert appliance.program is ProxyProgram.NGINX


async def test_a_hub_that_does_not_come_up_with_it_is_undone(
    appliance: Appliance, chp: Chp
) -> None:
    await chp.start()
    appliance.services.works = lambda config: config.proxy.program is ProxyProgram.NGINX
    before = appliance.snapshot()
    with pytest.raises(ApplyFailed):
        await appliance.set("proxy.program", CHP)
    assert appliance.snapshot() == before


async def test_the_hub_hears_when_nginx_moves(appliance: Appliance, chp: Chp) -> None:
    await appliance.set("http.port", str(free_port()))
    assert Reload.HUB not in appliance.services.told[0]
    await chp.start()
    await appliance.set("proxy.program", CHP)
    chp.stop()
    await appliance.set("http.port", str(free_port()))
    assert Reload.HUB in appliance.services.told[0]
    assert (await appliance.set("http.trusted_proxies", "127.0.0.1")).notes == []
