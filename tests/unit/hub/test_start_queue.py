"""First come, first served, and everybody knows the place in line."""

from __future__ import annotations

import asyncio

import pytest

from appliance.hub.start_queue import StartQueue, fitted
from appliance.names import ServerId, Username


def _server(number: int) -> ServerId:
    return ServerId(Username(f"user{number}"))


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Starter:
    """Starts that end when the test says so."""

    def __init__(self, queue: StartQueue) -> None:
        self.queue = queue
        self.told: dict[int, list[int]] = {}
        self.began: list[int] = []
        self.ends: dict[int, asyncio.Event] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}

    async def come(self, *numbers: int, asker: str = "") -> None:
        for number in numbers:
            self.told[number], self.ends[number] = [], asyncio.Event()
            self.tasks[number] = asyncio.create_task(self._start(number, asker))
            await _settle()

    async def _start(self, number: int, asker: str) -> None:
        async with self.queue.turn(_server(number), self.told[number].append, asker=asker):
            self.began.append(number)
            await self.ends[number].wait()

    async def end(self, number: int) -> None:
        self.ends[number].set()
        await _settle()


async def test_places_move_up_as_others_finish() -> None:
    starter = Starter(StartQueue(at_once=2))
    await starter.come(1, 2, 3, 4, 5)
    assert starter.began == [1, 2]
    assert [starter.queue.position(_server(n)) for n in (1, 3, 4, 5)] == [None, 1, 2, 3]
    await starter.end(2)
    assert starter.began == [1, 2, 3]
    assert starter.told[5] == [3, 2]
    for number in (1, 3, 4, 5):
        await starter.end(number)
    assert starter.began == [1, 2, 3, 4, 5]


async def test_who_leaves_the_line_frees_the_place() -> None:
    starter = Starter(StartQueue(at_once=1))
    await starter.come(1, 2, 3)
    starter.tasks[2].cancel()
    await _settle()
    assert starter.told[3] == [2, 1]
    await starter.end(1)
    assert starter.began == [1, 3]


async def test_a_turn_is_not_lost_when_its_holder_leaves_at_that_moment() -> None:
    starter = Starter(StartQueue(at_once=1))
    await starter.come(1, 2, 3)
    starter.ends[1].set()
    starter.tasks[2].cancel()
    await _settle()
    assert starter.began[-1] == 3
    await starter.end(3)


async def test_a_failed_start_gives_its_turn_back() -> None:
    queue = StartQueue(at_once=1)

    async def fail() -> None:
        async with queue.turn(_server(1), lambda _place: None):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    async with asyncio.timeout(1), queue.turn(_server(2), lambda _place: None):
        pass


async def test_a_batch_keeps_no_student_waiting() -> None:
    starter = Starter(StartQueue(at_once=1))
    await starter.come(1, 2, 3, 4, asker="ada")
    await starter.come(5, 6)
    assert [starter.queue.position(_server(n)) for n in (5, 6, 2, 3, 4)] == [1, 2, 3, 4, 5]
    for number in (1, 5, 6, 2, 3, 4):
        await starter.end(number)
    assert starter.began == [1, 5, 6, 2, 3, 4]
    assert starter.told[6] == [2, 1], "a place never moves back"


async def test_who_comes_for_a_server_of_a_batch_stands_as_if_nobody_else_had_asked() -> None:
    starter = Starter(StartQueue(at_once=1))
    await starter.come(1, 2, 3, 4, asker="ada")
    await starter.come(5)
    starter.queue.move_up(_server(4), "user4")
    assert [starter.queue.position(_server(n)) for n in (5, 4, 2, 3)] == [1, 2, 3, 4]
    starter.queue.move_up(_server(4), "user4")
    assert starter.queue.position(_server(4)) == 2
    for number in (1, 5, 4, 2, 3):
        await starter.end(number)


async def test_while_memory_is_short_one_starts_at_a_time() -> None:
    strained = [True]
    starter = Starter(StartQueue(at_once=3, is_strained=lambda: strained[0]))
    await starter.come(1, 2, 3, 4, 5)
    assert starter.began == [1]
    await starter.end(1)
    assert starter.began == [1, 2]
    strained[0] = False
    await starter.end(2)
    assert starter.began == [1, 2, 3, 4, 5]
    for number in (3, 4, 5):
        await starter.end(number)


def test_what_fits_grows_with_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert fitted() == 4
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert fitted() == 2
