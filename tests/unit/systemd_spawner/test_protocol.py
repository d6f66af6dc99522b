from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import (
    BadRequest,
    NotFound,
    SpawnError,
    SpawnFailed,
    SpawnRefused,
    SpawnTimeout,
)
from appliance.systemd_spawner.protocol import encode, failure_reply, parse_request

TOKEN = "0123456789abcdef" * 4


def line(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def test_a_start_is_read() -> None:
    request = parse_request(line(verb="start", user="ada", server="lab2", token=TOKEN))
    assert (request.verb, str(request.server_id), request.token) == ("start", "ada/lab2", TOKEN)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 50_000,
        line(verb="run", command="id"),
        line(verb=["start"]),
        line(verb="ping", x=1),
        line(verb="start", user="ada", server="", token=TOKEN, uid=0),
        line(verb="start", user="ada", server=""),
        line(verb="start", user="ada", server="", token=TOKEN[:-1]),
        line(verb="start", user="ada", server="", token=TOKEN.upper()),
        line(verb="start", user="ada", server="", token=TOKEN + "\n"),
        line(verb="start", user="Ada", server="", token=TOKEN),
        line(verb="start", user=" ada", server="", token=TOKEN),
        line(verb="start", user="../ada", server="", token=TOKEN),
        line(verb="start", user="ada/x", server="", token=TOKEN),
        line(verb="start", user="root", server="", token=TOKEN),
        line(verb="start", user="a" * 49, server="", token=TOKEN),
        line(verb="start", user="ada", server="..", token=TOKEN),
        line(verb="start", user="ada", server=None, token=TOKEN),
        line(verb="log", user="ada", server="", lines=0),
        line(verb="log", user="ada", server="", lines=True),
        line(verb="log", user="ada", server="", lines="5"),
        line(verb="log", user="ada", server="", lines=10**6),
    ],
)
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_request(content)


def test_a_refusal_does_not_repeat_a_token() -> None:
    with pytest.raises(BadRequest) as raised:
        parse_request(line(verb="start", user="ada", server="", token=TOKEN + "x"))
    assert TOKEN not in str(raised.value)


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode()))
def test_no_input_raises_anything_else(content: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_request(content)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SpawnRefused("a"), "refused"),
        (SpawnTimeout("a"), "timeout"),
        (SpawnFailed("a"), "failed"),
        (SpawnError("a"), "failed"),
        (BadRequest("a"), "bad_request"),
        (NotFound("a"), "not_found"),
    ],
)
def test_each_error_has_its_code(error: SpawnError, code: str) -> None:
    assert failure_reply(error)["code"] == code


def test_a_reply_is_one_line() -> None:
    reply = encode(failure_reply(SpawnFailed("a", why="b\nc", log=("x\ny", "é"))))
    assert reply.count(b"\n") == 1
    assert json.loads(reply)["log"] == ["x\ny", "é"]
