from __future__ import annotations

import pytest

from appliance.systemd_spawner.results import describe_end, was_killed
from appliance.systemd_spawner.units import UnitState
from tests.fakes.server_settings import make_server_settings

SETTINGS = make_server_settings(servers_start_timeout=45)


@pytest.mark.parametrize(
    ("result", "code", "status", "words"),
    [
        ("exit-code", 1, 3, "exit status 3"),
        ("exit-code", 1, 203, "program is missing"),
        ("exit-code", 1, 226, "private view of the file system"),
        ("signal", 2, 11, "SIGSEGV"),
        ("core-dump", 3, 6, "SIGABRT and left a core dump"),
        ("signal", 2, 200, "signal 200"),
        ("timeout", 2, 15, "within 45 seconds"),
        ("oom-kill", 2, 9, "limit of 1.5 GB"),
        ("resources", 0, 0, "no resources"),
        ("news-of-tomorrow", 0, 0, "systemd says: news-of-tomorrow"),
    ],
)
def test_each_result_is_a_sentence(result: str, code: int, status: int, words: str) -> None:
    state = UnitState("failed", result, code, status, "ab")
    text, failed, _ = describe_end(
        state, out_of_memory=False, settings=SETTINGS, memory=1536 * 2**20
    )
    assert words in text
    assert failed


def test_an_end_without_failure_is_none() -> None:
    state = UnitState("inactive", "success", 1, 0, "ab")
    end = describe_end(state, out_of_memory=False, settings=None)
    assert end == ("it ended by itself", False, "finished")


def test_a_kill_for_memory_is_told_as_one() -> None:
    state = UnitState("failed", "signal", 2, 9, "ab")
    assert was_killed(state)
    text, failed, cause = describe_end(state, out_of_memory=True, settings=SETTINGS)
    assert "memory" in text
    assert failed
    assert cause == "oom"


@pytest.mark.parametrize(
    ("result", "code", "cause"),
    [
        ("exit-code", 1, "exit"),
        ("signal", 2, "signal"),
        ("core-dump", 3, "signal"),
        ("oom-kill", 2, "oom"),
        ("timeout", 2, "timeout"),
        ("watchdog", 2, "timeout"),
        ("resources", 0, "other"),
    ],
)
def test_each_result_has_a_cause_to_count(result: str, code: int, cause: str) -> None:
    state = UnitState("failed", result, code, 1, "ab")
    assert (
        describe_end(state, out_of_memory=False, settings=SETTINGS, memory=1536 * 2**20).cause
        == cause
    )


def test_exit_status_nine_is_no_kill() -> None:
    assert not was_killed(UnitState("failed", "exit-code", 1, 9, "ab"))
