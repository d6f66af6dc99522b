"""The parts of the class benchmark that need no machine."""

from __future__ import annotations

import json

import pytest

from benchmarks.class_start import messages, plot, rows, sequence
from benchmarks.class_start.classroom import Cell
from benchmarks.class_start.connection import Answer, BodyReader, frame, next_frame, parse_head
from benchmarks.class_start.cookies import Cookies
from benchmarks.class_start.record import differences
from benchmarks.class_start.sequence import KernelStep, Request, Seen
from benchmarks.class_start.student import hidden_fields, named_files
from benchmarks.figures import Figures


def read_in_pieces(method: str, head: str, data: bytes, size: int) -> tuple[bytes, bytes, bool]:
    reader = BodyReader.of(method, parse_head(head.encode()))
    body, after = b"", b""
    for start in range(0, len(data), size):
        if reader.finished:
            after += data[start : start + size]
            continue
        found, rest = reader.feed(data[start : start + size])
        body, after = body + found, after + rest
    return body, after, reader.finished


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_a_chunked_body_is_read_whatever_its_pieces(size: int) -> None:
    head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked"
    data = b"5\r\nhello\r\nA;x=1\r\n, students\r\n0\r\n\r\n"
    assert read_in_pieces("GET", head, data, size) == (b"hello, students", b"", True)


def test_a_body_ends_where_its_length_says() -> None:
    head = "HTTP/1.1 200 OK\r\ncontent-length: 5"
    assert read_in_pieces("GET", head, b"hellonext", 3) == (b"hello", b"next", True)


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5"),
        ("GET", "HTTP/1.1 304 Not Modified"),
        ("PUT", "HTTP/1.1 204 No Content"),
        ("GET", "HTTP/1.1 302 Found\r\nContent-Length: 0"),
    ],
)
def test_some_answers_have_no_body(method: str, head: str) -> None:
    assert BodyReader.of(method, parse_head(head.encode())).finished


def test_without_a_length_the_connection_ends_the_body() -> None:
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream"
    assert read_in_pieces("GET", head, b"data: 1\n\n", 4) == (b"data: 1\n\n", b"", False)


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
def test_frames_of_any_length_are_read_as_they_were_made(length: int) -> None:
    data = frame(2, b"x" * length)
    # Frames of a server are the same without the mask.
    masked_at = {True: 2, False: 4 if length < 1 << 16 else 10}[length < 126]
    plain = bytes([data[0], data[1] & 0x7F]) + data[2:masked_at] + data[masked_at + 4 :]
    assert next_frame(plain + b"rest") == (2, True, b"x" * length, b"rest")
    assert next_frame(plain[:-1]) is None


def test_kernel_messages_are_read_as_they_were_made() -> None:
    message = messages.Message("shell", "execute_request", {"code": "print('ä')"})
    assert messages.decode(messages.encode(message, session="s", number="n")) == message


def test_cookies_go_where_their_path_says() -> None:
    cookies = Cookies()
    lines = [
        "_xsrf=hub; Path=/hub/",
        "_xsrf=own; HttpOnly; Path=/user/ada/",
        "session=1; Path=/",
        "old=1; Path=/; Max-Age=0",
    ]
    cookies.take(Answer(200, [("set-cookie", line) for line in lines]), "/hub/login")
    assert cookies.header("/user/ada/lab?x=1") == "_xsrf=own; session=1"
    assert cookies.value("_xsrf", "/hub/login") == "hub"
    assert cookies.value("_xsrf", "/user/adam/lab") == ""
    cookies.take(Answer(200, [("set-cookie", "session=; Path=/")]), "/")
    assert cookies.header("/user/bob/") == ""


def test_a_page_names_its_files() -> None:
    html = """<link rel="icon" href="/a.svg"><link rel="canonical" href="/no">
    <link rel="stylesheet" href="b.css?x=1&amp;y=2"><script type="module" src="c.js"></script>
    <script>inline()</script><img alt="" src="data:image/png;base64,AA">
    <link rel="prefetch" as="script" href="/lab/core.js">"""
    assert named_files(html) == (["/a.svg", "b.css?x=1&y=2", "c.js"], ["/lab/core.js"])


def test_a_form_carries_its_hidden_fields() -> None:
    html = '<input type="hidden" name="_xsrf" value="a&amp;b"/><input name="username" value="x">'
    assert hidden_fields(html) == {"_xsrf": "a&b"}


def test_the_recorded_sequence_is_whole() -> None:
    text = sequence.FILE.read_text()
    lab = sequence.parse(text)
    assert sequence.form(lab) == text
    everything = [request for wave in [*lab.lab, *lab.notebook] for request in wave]
    assert sum(request.path.startswith("{static}/") for request in everything) > 30
    sockets = [request.path for request in everything if request.method == "WS"]
    assert sockets == [
        "{base}api/events/subscribe",
        "{base}api/kernels/{kernel}/channels?session_id={client}",
    ]
    assert all(json.loads(request.body) for request in everything if request.body)
    assert lab.kernel[0].kind == "kernel_info_request"
    # Nothing of the visit that was recorded is left in it.
    assert "recorder" not in text
    assert "127.0.0.1" not in text


def test_a_line_that_is_no_request_is_refused() -> None:
    with pytest.raises(ValueError, match="line 2: not a request"):
        sequence.parse("[lab]\nGET /nothing\n")
    with pytest.raises(ValueError, match="no section shop"):
        sequence.parse("[shop]\n")


def test_requests_under_way_together_are_one_wave() -> None:
    def seen(asked: float, answered: float, path: str) -> Seen:
        return Seen(asked, answered, Request("GET", path, 200))

    found = sequence.waves(
        [
            seen(0.0, 0.1, "main"),
            seen(0.2, 0.3, "one"),
            seen(0.25, 0.4, "two"),
            seen(0.35, 0.39, "three"),
            seen(0.5, 2.0, "slow"),
            seen(0.5, 0.6, "quick"),
            seen(0.7, 0.8, "after"),
        ]
    )
    assert [[request.path for request in wave] for wave in found] == [
        ["main"],
        ["one", "two", "three"],
        ["slow", "quick"],
        ["after"],
    ]
    assert [request.waited_for for request in found[2]] == [False, True]


def test_addresses_get_names_and_names_get_addresses() -> None:
    places = {"base": "/user/ada/", "static": "/user/ada/static/lab"}
    template = sequence.placed("/user/ada/static/lab/1.js?v=2", places)
    assert template == "{static}/1.js?v=2"
    assert sequence.placed("/user/ada/api/me?1795317406649", places) == "{base}api/me?{now}"
    assert sequence.placed("/hub/static/x.js", places) == "/hub/static/x.js"
    assert sequence.filled(template, {"static": "/files"}) == "/files/1.js?v=2"
    assert sequence.filled('{"a": {"b": 1}, "c": "{now}"}', {"now": "7"}) == (
        '{"a": {"b": 1}, "c": "7"}'
    )


def test_a_page_tells_where_its_files_are() -> None:
    config = {
        "baseUrl": "/user/ada/",
        "fullStaticUrl": "/files/lab",
        "fullLabextensionsUrl": "/user/ada/lab/extensions",
        "fullThemesUrl": "/user/ada/lab/api/themes",
        "serverRoot": "/home/ada",
    }
    page = f'<script id="jupyter-config-data" type="application/json">{json.dumps(config)}</script>'
    assert sequence.addresses(sequence.page_config(page))["static"] == "/files/lab"
    with pytest.raises(ValueError, match="not JupyterLab"):
        sequence.page_config("<p>Starting</p>")


def test_two_visits_are_compared_by_what_they_asked() -> None:
    one = sequence.Sequence(lab=[[Request("GET", "a", 200), Request("GET", "b", 200)]])
    other = sequence.Sequence(
        lab=[[Request("GET", "a", 200)]], notebook=[[Request("GET", "b", 404)]]
    )
    assert differences(one, one) == []
    assert differences(one, other) == ["- GET b 200 (1)", "+ GET b 404 (1)"]


def test_kernel_steps_are_written_as_they_are_read() -> None:
    text = '# About\n\n[lab]\nGET {base}lab 200\n\n[notebook]\n& PUT {base}x 204 {"a": 1}\n'
    text += "\n[kernel]\nshell kernel_info_request {}\nwait\n"
    lab = sequence.parse(text)
    assert lab.kernel == [KernelStep("shell", "kernel_info_request", "{}"), KernelStep()]
    assert lab.notebook == [[Request("PUT", "{base}x", 204, '{"a": 1}', waited_for=False)]]
    assert sequence.form(lab) == text


def test_the_cell_imports_what_is_installed() -> None:
    compile(Cell.of(["numpy", "pandas"]).code, "cell", "exec")
    assert "import pandas as pd" in Cell.of(["numpy", "pandas"]).code
    assert Cell.of([]).code == "print(sum(range(100)))"


def test_the_table_compares_every_column_with_the_peer() -> None:
    figures = Figures(rows=rows.ROWS)
    columns = rows.variants(("pandas",), None)
    assert [column.name for column in columns] == ["peer", "cold", "preloaded", "packages"]
    for column, value in zip(columns, [8.0, 4.0, 2.0, 1.0], strict=True):
        figures.add(column.name, {"all_wall": value})
    line = next(
        line for line in rows.table(figures, columns, {}, []).splitlines() if "8.00" in line
    )
    assert line.split()[-8:] == ["8.00", "4.00", "2.00", "2.00", "4.00", "1.00", "8.00", "s"]


def test_one_side_alone_has_its_columns_only() -> None:
    assert [column.name for column in rows.variants((), "ours")] == ["cold", "preloaded"]
    assert [column.name for column in rows.variants((), "peer")] == ["peer"]


def test_the_picture_shows_every_student_in_both_schemes() -> None:
    from xml.etree import ElementTree

    curves = [plot.Curve("the <peer>", [60.0, 75.5, 88.4]), plot.Curve("ours", [2.0, 3.0, 4.5])]
    text = plot.svg("A class of 3", curves)
    root = ElementTree.fromstring(text)  # noqa: S314 - our own text
    name = "{http://www.w3.org/2000/svg}"
    paths = [one.get("d", "") for one in root.iter(f"{name}path") if one.get("class") == "curve"]
    assert [path.count("V") for path in paths] == [3, 3]
    words = [one.text for one in root.iter(f"{name}text")]
    assert "the <peer>: last after 88.4 s" in words
    assert "prefers-color-scheme: dark" in text
