"""What people and their servers wrote commands nobody's terminal."""

from __future__ import annotations

import pytest

from appliance.cli.errors import print_error
from appliance.cli.output import Output
from appliance.errors import SpawnError

HOSTILE = "\x1b]52;c;cm0gLXJmIH4=\x07\x9b2Jnote\r\u202e"


@pytest.mark.parametrize("as_json", [False, True])
def test_a_table_has_no_commands(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    Output(as_json).table([{"note": HOSTILE}], ["note"], [[HOSTILE]])
    shown = capsys.readouterr().out
    assert "note" in shown
    assert not {"\x1b", "\x07", "\x9b", "\r", "\u202e"} & set(shown)


def test_neither_has_the_log_of_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    print_error(SpawnError("cannot start", why="it ended", log=(HOSTILE, "line")), debug=False)
    shown = capsys.readouterr().err
    assert "note" in shown
    assert not {"\x1b", "\x07", "\x9b", "\r", "\u202e"} & set(shown)
