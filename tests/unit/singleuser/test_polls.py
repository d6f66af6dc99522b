"""Which requests are those that a page repeats by itself."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from appliance.singleuser.polls import REPEATED_SECONDS, Polls


class Asked:
    """Polls with a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.polls = Polls(lambda: self.now)

    def counts(self, path: str, method: str = "GET", body: bytes = b"") -> bool:
        request = SimpleNamespace(path=path, method=method, body=body)
        handler = SimpleNamespace(request=request, _track_activity=True)
        self.polls.look_at(handler)
        return handler._track_activity


@pytest.fixture
def asked() -> Asked:
    return Asked()


def test_the_first_counts_and_those_that_repeat_it_do_not(asked: Asked) -> None:
    assert asked.counts("/user/ada/api/kernels")
    for _ in range(100):
        asked.now += REPEATED_SECONDS - 1
        assert not asked.counts("/user/ada/api/kernels")
    assert asked.counts("/user/ada/api/contents/lesson"), "another folder is opened"


def test_a_page_that_comes_back_after_a_while_is_use(asked: Asked) -> None:
    asked.counts("/user/ada/api/kernels")
    asked.now += REPEATED_SECONDS
    assert asked.counts("/user/ada/api/kernels")


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_what_does_something_each_time_counts_each_time(asked: Asked, method: str) -> None:
    assert all(asked.counts("/user/ada/api/contents/a.ipynb", method) for _ in range(3))


def test_what_is_saved_counts_if_it_is_another_than_before(asked: Asked) -> None:
    path = "/user/ada/lab/api/workspaces/default"
    assert asked.counts(path, "PUT", b"one")
    assert not asked.counts(path, "PUT", b"one"), "the same layout once more"
    assert asked.counts(path, "PUT", b"two")
    assert asked.counts("/user/ada/api/contents/a", "PUT", b"two")


def test_a_program_that_asks_for_everything_fills_no_memory(asked: Asked) -> None:
    asked.counts("/user/ada/api/kernels")
    for number in range(10_000):
        asked.counts(f"/user/ada/api/contents/{number}")
        asked.counts("/user/ada/api/sessions")
    assert len(asked.polls._made) <= 500
    assert not asked.counts("/user/ada/api/sessions"), "asked for a moment ago"
    assert asked.counts("/user/ada/api/kernels"), "forgotten"
