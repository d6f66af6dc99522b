"""Hashes are made in threads, bounded, and the same work is done for nobody."""

from __future__ import annotations

import asyncio
import threading
import time
from unittest import mock

import bcrypt
import pytest

from appliance.errors import TooMany
from appliance.native_auth.hashing import MAX_COST, MIN_COST, Hasher, calibrate


async def test_a_hash_knows_its_password() -> None:
    hasher = Hasher(cost=4)
    hashed = await hasher.hash(b"secret")
    assert hashed.startswith("$2b$04$")
    assert await hasher.check(b"secret", hashed)
    assert not await hasher.check(b"Secret", hashed)


async def test_without_a_hash_the_same_work_is_done_for_nothing() -> None:
    hasher = Hasher(cost=4)
    with mock.patch("bcrypt.checkpw", wraps=bcrypt.checkpw) as checked:
        assert not await hasher.check(b"secret", None)
    assert checked.call_count == 1
    assert checked.call_args.args[1].startswith(b"$2b$04$")


async def test_a_dummy_check_takes_as_long_as_a_real_one() -> None:
    hasher = Hasher(cost=9)
    hashed = await hasher.hash(b"secret")

    async def cost(target: str | None) -> float:
        # Of this process alone: others may keep the machine busy meanwhile.
        began = time.process_time()
        await hasher.check(b"wrong", target)
        return time.process_time() - began

    # In turns, so that a processor that changes its pace does so for both.
    pairs = [(await cost(hashed), await cost(None)) for _ in range(8)]
    real, dummy = (min(costs) for costs in zip(*pairs, strict=True))
    assert dummy == pytest.approx(real, rel=0.5)


async def test_a_wrong_password_costs_the_same_whatever_the_hash() -> None:
    """Else time would tell who has a generated password, whose hash is cheap."""
    hasher = Hasher(cost=8)
    work: list[int] = []

    def note(_password: bytes, salt_or_hash: bytes) -> bool:
        work.append(2 ** int(salt_or_hash.split(b"$")[2]))
        return False

    with mock.patch("bcrypt.checkpw", note), mock.patch("bcrypt.hashpw", note):
        for hashed in (None, "$2b$08$" + "." * 53, "$2b$05$" + "." * 53, "$2b$04$" + "." * 53):
            work.clear()
            assert not await hasher.check(b"wrong", hashed)
            assert sum(work) == 2**8


async def test_a_right_password_of_a_cheap_hash_waits_for_nothing() -> None:
    hashed = await Hasher(cost=4).hash(b"secret")
    with mock.patch("bcrypt.hashpw") as hashpw:
        assert await Hasher(cost=12).check(b"secret", hashed)
    hashpw.assert_not_called()


async def test_work_is_done_off_the_event_loop() -> None:
    seen = []

    def checkpw(_password: bytes, _hashed: bytes) -> bool:
        seen.append(threading.current_thread())
        return True

    with mock.patch("bcrypt.checkpw", checkpw):
        await Hasher(cost=4).check(b"x", "$2b$04$" + "." * 53)
    assert seen[0] is not threading.main_thread()


async def test_over_the_bound_people_are_told_when_to_come_back() -> None:
    release = threading.Event()
    hasher = Hasher(cost=4, workers=1, queue_length=2)

    def checkpw(_password: bytes, _hashed: bytes) -> bool:
        return release.wait(5)

    with mock.patch("bcrypt.checkpw", checkpw):
        waiting = [asyncio.create_task(hasher.check(b"x", None)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(TooMany) as refused:
            await hasher.check(b"x", None)
        release.set()
        await asyncio.gather(*waiting)
    assert refused.value.retry_after_seconds >= 1
    assert not await hasher.check(b"x", None)


@pytest.mark.parametrize(
    ("hashed", "outdated"),
    [("$2b$10$abc", True), ("$2b$12$abc", False), ("$2b$13$abc", False), ("nonsense", True)],
)
def test_a_hash_of_lower_cost_is_outdated(hashed: str, outdated: bool) -> None:
    assert Hasher(cost=12).is_outdated(hashed) is outdated


def test_the_cost_fits_the_machine_within_bounds() -> None:
    assert MIN_COST <= calibrate() <= MAX_COST
    with mock.patch("appliance.native_auth.hashing._time_of_one", return_value=9.0):
        assert calibrate() == MIN_COST
    with mock.patch("appliance.native_auth.hashing._time_of_one", return_value=0.0001):
        assert calibrate() == MAX_COST
    with mock.patch("appliance.native_auth.hashing._time_of_one", return_value=0.051):
        assert calibrate() == MIN_COST, "twice that is more than a tenth of a second"
    with mock.patch("appliance.native_auth.hashing._time_of_one", return_value=0.049):
        assert calibrate() == MIN_COST + 1


async def test_a_lecture_hall_waits_rather_than_being_refused() -> None:
    hasher = Hasher(cost=4, workers=1)
    release = threading.Event()

    def checkpw(_password: bytes, _hashed: bytes) -> bool:
        return release.wait(5)

    with mock.patch("bcrypt.checkpw", checkpw):
        waiting = [asyncio.create_task(hasher.check(b"x", None)) for _ in range(250)]
        await asyncio.sleep(0)
        release.set()
        assert len(await asyncio.gather(*waiting)) == 250


@pytest.mark.parametrize(("processors", "threads"), [(1, 1), (2, 1), (8, 7)])
async def test_one_processor_is_left_to_others(processors: int, threads: int) -> None:
    together = threading.Barrier(threads)

    def checkpw(_password: bytes, _hashed: bytes) -> bool:
        together.wait(5)
        return True

    with mock.patch("os.cpu_count", return_value=processors), mock.patch("bcrypt.checkpw", checkpw):
        hasher = Hasher(cost=4)
        checks = [hasher.check(b"x", "$2b$04$" + "." * 53) for _ in range(threads)]
        assert all(await asyncio.gather(*checks))
