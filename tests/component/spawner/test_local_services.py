"""Services of a trial: child processes that are started again when they end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.config.schema import Config
from appliance.errors import SpawnRefused
from appliance.local_spawner import services as module
from appliance.local_spawner.services import LocalServices
from appliance.places import Places

TOKEN = "a-token-of-a-service"
PROGRAM = """
import os, time
print("token", os.environ["JUPYTERHUB_API_TOKEN"], os.environ["KEY"], os.getcwd(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def places() -> Places:
    base = Path(tempfile.mkdtemp(dir="/tmp", prefix="t"))
    return Places(base / "s", base, base / "state", base / "run", base / "homes", trial=True)


@pytest.fixture
async def runner(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., LocalServices]]:
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.05)
    made: list[LocalServices] = []

    def make(**services: Any) -> LocalServices:
        made.append(LocalServices(Config.model_validate({"services": services}), places))
        return made[-1]

    yield make
    for one in made:
        for name in await one.services():
            await one.stop(name)


def _program(text: str) -> dict[str, Any]:
    return {"command": [sys.executable, "-c", text], "environment": {"KEY": "a value"}}


async def _until(ready: Callable[[], Any]) -> None:
    for _ in range(1000):
        if ready():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came")


async def test_it_runs_and_is_started_again(
    places: Places, runner: Callable[..., LocalServices]
) -> None:
    services = runner(one=_program(PROGRAM))
    await services.start("one", TOKEN)
    log = places.service_log("one")
    await _until(lambda: TOKEN in log.read_text())
    assert "a value" in log.read_text()
    assert str(places.state / "services" / "one") in log.read_text()
    first = (await services.services())["one"]
    assert (first.state, first.outdated) == ("running", False)
    os.kill(first.pid, signal.SIGKILL)
    await _until(lambda: log.read_text().count(TOKEN) == 2)
    again = (await services.services())["one"]
    assert again.pid != first.pid
    await services.stop("one")
    await services.stop("one")
    with pytest.raises(ProcessLookupError):
        os.kill(again.pid, 0)
    assert await services.services() == {}


async def test_one_that_ends_at_once_is_given_up(
    runner: Callable[..., LocalServices], places: Places
) -> None:
    services = runner(one=_program("import sys; sys.exit(3)"))
    await services.start("one", TOKEN)
    for _ in range(400):
        found = (await services.services())["one"]
        if found.state == "failed":
            break
        await asyncio.sleep(0.05)
    assert "again and again" in found.why
    await services.stop("one")


async def test_what_cannot_be_started(runner: Callable[..., LocalServices]) -> None:
    services = runner(one={"command": ["no-such-program"]}, far={"url": "http://127.0.0.1:1"})
    for name, why in (("one", "no program"), ("far", "no such service"), ("x", "no such service")):
        with pytest.raises(SpawnRefused, match=why):
            await services.start(name, TOKEN)
