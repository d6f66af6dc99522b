"""What counts as the last use, and reports that outlive the hub's restarts."""

from __future__ import annotations

import os
import pty
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.singleuser.activity import ActivityReporter, LastUse
from appliance.singleuser.hub import HubRefusedError, HubUnavailableError

START = datetime(2025, 1, 1, tzinfo=UTC)
NOW = START + timedelta(hours=5)


def _after(hours: float) -> datetime:
    return START + timedelta(hours=hours)


@dataclass
class Kernels:
    kernels: dict[str, Any] = field(default_factory=dict)

    def list_kernel_ids(self) -> list[str]:
        return list(self.kernels)

    def get_kernel(self, kernel_id: str) -> Any:
        return self.kernels[kernel_id]


def _web_app(*kernels: tuple[str, float], **more: datetime) -> Any:
    managed = {
        str(number): SimpleNamespace(execution_state=state, last_activity=_after(hours))
        for number, (state, hours) in enumerate(kernels)
    }
    settings = {"started": START, "last_activity_times": {}, "kernel_manager": Kernels(managed)}
    return SimpleNamespace(settings=settings | more)


def _last_use(app: Any, *, count_busy: bool) -> datetime:
    return LastUse(count_busy=count_busy).of(app, now=NOW)


def test_server_that_was_never_used_counts_from_its_start() -> None:
    assert _last_use(_web_app(), count_busy=True) == START


def test_newest_of_requests_terminals_and_kernels_counts() -> None:
    app = _web_app(("idle", 1), api_last_activity=_after(2), terminal_last_activity=_after(3))
    assert _last_use(app, count_busy=True) == _after(3)


def test_stamps_from_before_the_clock_was_set_back_do_not_count() -> None:
    last_use = LastUse(count_busy=True)
    app = _web_app(("idle", 1))
    assert last_use.of(app, now=_after(-24)) == _after(-24)
    assert last_use.of(app, now=_after(-22)) == _after(-24), "idle since"
    app.settings["api_last_activity"] = _after(-21)
    assert last_use.of(app, now=_after(-20)) == _after(-21)
    assert last_use.of(_web_app(), now=_after(-30)) == _after(-30), "set back once more"


def test_busy_kernel_is_use_even_in_silence() -> None:
    assert _last_use(_web_app(("busy", 1)), count_busy=True) == NOW


def test_busy_kernel_is_no_use_when_told_so_even_if_it_prints() -> None:
    app = _web_app(("busy", 4), ("idle", 2))
    assert _last_use(app, count_busy=False) == _after(2)


@contextmanager
def _terminal(script: str, *, output: float) -> Iterator[Any]:
    """A shell that runs the script in a terminal of its own; `output` is when it printed last."""
    pid, descriptor = pty.fork()
    if not pid:
        os.execv("/bin/bash", ["bash", "--norc", "-i"])  # noqa: S606
    try:
        os.write(descriptor, script.encode())
        process = SimpleNamespace(pid=pid, fd=descriptor)
        yield SimpleNamespace(ptyproc=process, last_activity=_after(output))
    finally:
        os.kill(pid, signal.SIGHUP)
        os.close(descriptor)
        os.waitpid(pid, 0)


def _with_terminals(*terminals: Any) -> Any:
    app = _web_app(("idle", 1))
    open_ones = {str(number): one for number, one in enumerate(terminals)}
    app.settings["terminal_manager"] = SimpleNamespace(terminals=open_ones)
    return app


def test_terminal_in_which_a_program_runs_is_use() -> None:
    with _terminal("exec 2>&1; sleep 60\n", output=2) as busy, _terminal("", output=3) as idle:
        deadline = time.monotonic() + 10
        while _last_use(_with_terminals(busy), count_busy=True) != NOW:
            assert time.monotonic() < deadline, "sleep doesn't count"
            time.sleep(0.05)
        assert _last_use(_with_terminals(idle), count_busy=True) == _after(3), "its output"
        both = _with_terminals(busy, idle)
        assert LastUse(count_busy=True, count_terminals=False).of(both, now=NOW) == _after(1)


async def test_who_comes_back_is_told_of_at_once_and_who_works_on_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []
    used = [START, START, START, _after(0.5)]

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("appliance.singleuser.activity.asyncio.sleep", sleep)
    hub: Any = Refusing([])
    settings: Any = SimpleNamespace(activity_seconds=300)
    reporter = ActivityReporter(hub, settings, last_used=lambda: used.pop(0))
    await reporter.report()
    await reporter._pause()
    assert not used
    assert slept == [10.0] * 3, "half an hour after it was used last"
    slept.clear()
    used += [START, *[START + timedelta(seconds=60)] * 40]
    await reporter.report()
    await reporter._pause()
    assert sum(slept) > 260, "a minute later it was in use all the time"


@dataclass
class Refusing:
    """A hub that fails as told, then takes the report."""

    failures: list[Exception]
    taken: list[str] = field(default_factory=list)

    async def post_activity(self, stamp: str) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.taken.append(stamp)


@pytest.mark.parametrize(
    ("failures", "taken"),
    [
        ([], 1),
        ([HubUnavailableError("down")] * 2, 1),
        ([HubRefusedError("403")], 0),
        ([HubUnavailableError("down")] * 50, 0),
    ],
    ids=["at once", "after an outage", "refused", "outage of a whole interval"],
)
async def test_report(
    monkeypatch: pytest.MonkeyPatch, failures: list[Exception], taken: int
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("appliance.singleuser.activity.asyncio.sleep", sleep)
    hub: Any = Refusing(failures)
    settings: Any = SimpleNamespace(activity_seconds=100)
    await ActivityReporter(hub, settings, last_used=lambda: NOW).report()
    assert hub.taken == ["2025-01-01T05:00:00Z"] * taken
    assert sum(slept) < 100
