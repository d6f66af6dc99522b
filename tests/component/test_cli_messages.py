"""Saying something by command, to everybody, a class or one user."""

from __future__ import annotations

import pytest

from tests.component.test_cli import Run, hub, places, run, services
from tests.fakes.hub_api import FakeHubApi

__all__ = ["hub", "places", "run", "services"]


@pytest.mark.parametrize(
    ("line", "path", "said"),
    [
        ("say --all 'See you at noon'", "messages", "said to everybody"),
        ("say --user Emmy 'See you at noon'", "users/emmy/messages", "said to emmy"),
        ("class say 'Algebra 9b' 'See you at noon'", "classes/Algebra%209b/messages",
         "said to the class Algebra 9b"),
    ],
)  # fmt: skip
def test_it_goes_to_whom_the_command_says(
    run: Run, hub: FakeHubApi, line: str, path: str, said: str
) -> None:
    done = run(line)
    assert (done.code, done.out) == (0, f"{said}\n")
    sent = ("POST", f"/hub/api/appliance/{path}", {"text": "See you at noon", "hours": 12})
    assert sent in hub.requests


def test_long_texts_come_from_standard_input(run: Run, hub: FakeHubApi) -> None:
    done = run("say --all - --hours 2", stdin="One line\nand another\n")
    assert done.code == 0, done.err
    body = {"text": "One line\nand another\n", "hours": 2}
    assert ("POST", "/hub/api/appliance/messages", body) in hub.requests


@pytest.mark.parametrize("line", ["say Hello", "say --all --user emmy Hello"])
def test_to_whom_must_be_said(run: Run, hub: FakeHubApi, line: str) -> None:
    done = run(line)
    assert done.code == 2
    assert "either --all or --user" in done.err
    assert not hub.requests
