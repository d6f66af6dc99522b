"""The hub's background tasks end when it does, whatever they are doing at that moment."""

from __future__ import annotations

import asyncio

import pytest

from appliance.hub.classroom.people import People
from appliance.hub.supervisor import Supervisor


class _NoClasses:
    def list_all(self) -> list[object]:
        return []

    def find(self, _group: str) -> None:
        return None


@pytest.mark.parametrize("turns", range(4))
async def test_a_loop_that_is_woken_as_the_hub_ends_ends_too(turns: int) -> None:
    supervisor = Supervisor()
    people = People(classes=_NoClasses(), servers=None, supervisor=supervisor)  # type: ignore[arg-type]
    supervisor.keep_running("classes", people.run)
    for _ in range(5):
        await asyncio.sleep(0)
    people.due(["algebra"])
    for _ in range(turns):
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await supervisor.close()


async def test_a_failing_loop_is_started_again_and_ends(caplog: pytest.LogCaptureFixture) -> None:
    supervisor, tries = Supervisor(), asyncio.Event()

    async def fail() -> None:
        tries.set()
        raise ValueError("a bug")

    supervisor.keep_running("failing", fail)
    await tries.wait()
    async with asyncio.timeout(5):
        await supervisor.close()
    assert "failing: failed by a bug" in caplog.text
