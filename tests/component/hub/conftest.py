"""A hub with an admin and a student, and what each of them holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from appliance.config.schema import Config
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Browser, Machine

PASSWORD: Final = "blue-tree-under-water"
STUDENT_PASSWORD: Final = "river-stone-and-sand"


@pytest.fixture
def config() -> Config:
    return Config()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of generated passwords; the fake machine has cheap ones for all others."""
    monkeypatch.setattr("appliance.native_auth.authenticator.MIN_COST", 4)


@pytest.fixture
async def machine(tmp_path: Path, config: Config, clock: FakeClock) -> AsyncIterator[Machine]:
    async with Machine(tmp_path, config=config, clock=clock) as machine:
        yield machine


@pytest.fixture
async def ada(machine: Machine) -> Browser:
    """An admin who is logged in."""
    await machine.root("POST", "appliance/users", {"usernames": ["ada"], "admin": True})
    link = await machine.root("POST", "appliance/users/ada/setup-link")
    browser = machine.browser()
    await browser.get(link.json["path"])
    token = link.json["path"].partition("=")[2]
    answer = await browser.post("/hub/setup", {"token": token, "password": PASSWORD})
    assert answer.status == 302
    return browser


@pytest.fixture
async def bob(machine: Machine, ada: Browser) -> Browser:
    """A student who signed up, was let in, and is logged in."""
    browser = machine.browser()
    await browser.sign_up("bob", STUDENT_PASSWORD)
    assert (await ada.api("POST", "appliance/users/bob/approve")).status == 200
    assert (await browser.log_in("bob", STUDENT_PASSWORD)).status == 302
    return browser
