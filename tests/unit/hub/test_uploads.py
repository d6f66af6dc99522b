"""Forms with files, as they come in: in pieces of any size, whole or broken."""

from __future__ import annotations

import io
import os
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from appliance.db.errors import StorageError
from appliance.errors import BadRequest, TooMany
from appliance.hub.classroom.uploads import FormReader, Part, PartEnd, Spool, Uploads
from appliance.web.failures import TooLarge

HEAD = 'multipart/form-data; boundary="a-b"'
BODY = (
    b'--a-b\r\nContent-Disposition: form-data; name="folder"\r\n\r\nweek1\r\n'
    b'--a-b\r\ncontent-disposition: form-data; name="file"; '
    b'filename="C:\\x\\gr\xc3\xb6\xc3\x9fe.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\none\r\n--a-\r\n\r\ntwo\r\n"
    b'--a-b\r\nContent-Disposition: form-data; name="file"; filename=""\r\n\r\n\r\n'
    b"--a-b--\r\n"
)


def read(body: bytes, size: int) -> tuple[list[tuple[Part, bytes]], FormReader]:
    reader = FormReader(HEAD)
    parts: list[tuple[Part, bytes]] = []
    part, content = Part("", None), b""
    for at in range(0, len(body), size):
        for event in reader.feed(body[at : at + size]):
            if isinstance(event, Part):
                part, content = event, b""
            elif isinstance(event, PartEnd):
                parts.append((part, content))
            else:
                content += event
    return parts, reader


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 64, 1000])
def test_parts_are_the_same_in_pieces_of_any_size(size: int) -> None:
    parts, reader = read(BODY, size)
    assert parts == [
        (Part("folder", None), b"week1"),
        (Part("file", "größe.txt"), b"one\r\n--a-\r\n\r\ntwo"),
        (Part("file", ""), b""),
    ]
    assert reader.complete


def test_a_form_that_is_cut_off_is_not_complete() -> None:
    for end in range(len(BODY) - 4):
        assert not read(BODY[:end], 50)[1].complete


@pytest.mark.parametrize(
    "content_type", ["text/plain", "multipart/form-data", "multipart/form-data; boundary="]
)
def test_what_is_no_form_is_refused(content_type: str) -> None:
    with pytest.raises(BadRequest):
        FormReader(content_type)


@pytest.mark.parametrize(
    "body", [b"--a-b\r\nX: y\r\n\r\n", b"--a-b\r\nContent-Disposition: " + b"x" * 9000]
)
def test_broken_parts_are_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read(body, 4096)


def test_a_file_that_is_too_large_is_refused() -> None:
    spool = Spool(io.BytesIO(), most=10)
    spool.write(b"0123456789")
    with pytest.raises(TooLarge):
        spool.write(b"!")


def test_a_full_disk_is_named() -> None:
    # Without a buffer the first write meets it.
    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(StorageError) as caught,
    ):
        Spool(full).write(b"x")
    assert caught.value.why == "the disk is full"


def test_uploads_leave_what_a_full_disk_keeps_for_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Uploads(tmp_path).spool() as spool:
        spool.write(b"x")
        monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=0))
        with pytest.raises(StorageError) as caught:
            spool.write(b"x")
    assert caught.value.why == "the disk is full"


def test_only_some_uploads_run_at_the_same_time(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    with ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(uploads.spool())
        with pytest.raises(TooMany):
            stack.enter_context(uploads.spool())
    with uploads.spool() as spool:
        spool.write(b"abc")
        assert spool.rewind().read() == b"abc"
        # A broken upload leaves nothing, for there is nothing with a name.
        assert list(tmp_path.iterdir()) == []
