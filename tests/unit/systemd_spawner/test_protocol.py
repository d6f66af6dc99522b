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


CLASS = {"class": "Biology 7b"}


def test_a_class_is_read() -> None:
    request = parse_request(
        line(verb="set_class", **CLASS, members=["ada"], teachers=["tina"], nbgrader=False)
    )
    assert (request.school_class, request.members) == ("Biology 7b", ("ada",))
    request = parse_request(
        line(verb="list_folder", **CLASS, user="tina", area="drop-boxes", folder="")
    )
    assert (request.user, request.area, request.folder) == ("tina", "drop-boxes", "")
    request = parse_request(
        line(verb="collect", **CLASS, user="ada", teacher="tina", folder="lab 1", place="x/y")
    )
    assert (request.teacher, request.folder, request.place) == ("tina", "lab 1", "x/y")


@pytest.mark.parametrize(
    ("verb", "changes"),
    [
        ("set_class", {"class": ""}),
        ("set_class", {"class": "a/b"}),
        ("set_class", {"class": "e\u0301"}),
        ("set_class", {"members": "ada"}),
        ("set_class", {"members": ["Ada"]}),
        ("set_class", {"members": [["ada"]]}),
        ("set_class", {"members": ["ada"] * 5001}),
        ("set_class", {"teachers": [None]}),
        ("set_class", {"gid": 0}),
        ("set_class", {"nbgrader": 1}),
        ("list_folder", {"area": ".."}),
        ("list_folder", {"area": "classes"}),
        ("list_folder", {"area": ["shared"]}),
        ("list_folder", {"folder": "/etc"}),
        ("put_file", {"folder": ""}),
        ("put_file", {"folder": "a/../../b"}),
        ("put_file", {"folder": 5}),
        ("hand_out", {"folder": "shared"}),
        ("hand_out", {"folder": "drop/x"}),
        ("hand_out", {"rule": "overwrite"}),
        ("hand_out", {"user": "root"}),
        ("collect", {"place": "../x"}),
        ("collect", {"teacher": "Tina"}),
        ("collect", {"folder": "lab\n"}),
        ("archive_home", {"archive": "../spawner"}),
        ("archive_home", {"archive": "a.b"}),
        ("delete_archive", {"archive": ""}),
    ],
)
def test_a_class_request_with_anything_odd_is_refused(verb: str, changes: dict[str, Any]) -> None:
    person = {"user": "ada"}
    wanted: dict[str, dict[str, Any]] = {
        "set_class": {**CLASS, "members": ["ada"], "teachers": [], "nbgrader": False},
        "list_folder": {**CLASS, **person, "area": "shared", "folder": "lab"},
        "put_file": {**CLASS, **person, "folder": "lab/a.txt"},
        "hand_out": {**CLASS, **person, "folder": "lab", "rule": "keep"},
        "collect": {**CLASS, **person, "teacher": "tina", "folder": "lab", "place": "lab"},
        "archive_home": {**CLASS, **person, "archive": "bio-2026"},
        "delete_archive": {"archive": "bio-2026"},
    }
    assert parse_request(line(verb=verb, **wanted[verb])).verb == verb
    with pytest.raises(BadRequest):
        parse_request(line(verb=verb, **{**wanted[verb], **changes}))


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
