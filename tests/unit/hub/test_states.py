"""The table of states: complete, and without dead ends."""

from __future__ import annotations

from itertools import product

import pytest

from appliance.errors import Conflict
from appliance.hub.states import CHANGES, PENDING, ServerState, check_change


def test_every_state_has_a_way_to_stopped_and_from_there_to_ready() -> None:
    for state in ServerState:
        seen, todo = set(), [state]
        while todo:
            one = todo.pop()
            if one not in seen:
                seen.add(one)
                todo.extend(CHANGES[one])
        assert {ServerState.STOPPED, ServerState.READY} <= seen


@pytest.mark.parametrize(("old", "new"), list(product(ServerState, ServerState)))
def test_only_what_the_table_says_is_allowed(old: ServerState, new: ServerState) -> None:
    if new in CHANGES[old]:
        check_change(old, new)
    else:
        with pytest.raises(Conflict):
            check_change(old, new)


def test_what_does_not_run_is_never_ready_without_a_start() -> None:
    sources = {old for old in ServerState if ServerState.READY in CHANGES[old]}
    assert sources == {ServerState.STARTING}
    assert set(PENDING) == {ServerState.STARTING, ServerState.STOPPING}
