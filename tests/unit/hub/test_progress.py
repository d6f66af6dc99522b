"""Progress reaches early and late readers alike."""

from __future__ import annotations

import asyncio

from appliance.hub.progress import Event, Progress


async def _read(progress: Progress) -> list[Event]:
    return [event async for event in progress.events()]


async def test_late_readers_get_everything_from_the_start() -> None:
    progress = Progress()
    progress.tell(0, "requested")
    early = asyncio.create_task(_read(progress))
    await asyncio.sleep(0)
    progress.tell(10, "starting")
    late = asyncio.create_task(_read(progress))
    await asyncio.sleep(0)
    progress.close("ready", ready=True)
    events = await early
    assert [event["progress"] for event in events] == [0, 10, 100]
    assert await late == events == await _read(progress)


async def test_a_reader_who_leaves_harms_nobody() -> None:
    progress = Progress()
    leaving = asyncio.create_task(_read(progress))
    staying = asyncio.create_task(_read(progress))
    await asyncio.sleep(0)
    leaving.cancel()
    progress.tell(50, "half")
    progress.close("done")
    assert len(await staying) == 2


async def test_repetitions_and_what_comes_after_the_end_are_dropped() -> None:
    progress = Progress()
    progress.tell(5, "waiting")
    progress.tell(5, "waiting")
    progress.close("ready")
    progress.tell(50, "too late")
    assert len(await _read(progress)) == 2
