from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import resource
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.file_worker import collecting
from appliance.file_worker.bundles import Reader, Writer
from appliance.file_worker.reading import Steady
from appliance.file_worker.trees import RefusedError
from appliance.file_worker.worker import carry_out


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    (folder / "bio/lab/data").mkdir(parents=True)
    (folder / "bio/lab/a.ipynb").write_text("answer")
    return folder


@pytest.fixture
def collected(tmp_path: Path) -> Path:
    folder = tmp_path / "collected"
    folder.mkdir()
    return folder


@pytest.fixture
def bundle() -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        yield file


def pack(home: Path, bundle: BinaryIO) -> dict[str, Any]:
    job = {"do": "pack", "home": str(home), "slug": "bio", "folder": "lab"}
    return carry_out(job, os.dup(bundle.fileno()))


def unpack(collected: Path, bundle: BinaryIO, place: str = "lab/monday") -> dict[str, Any]:
    about = {"user": "ada", "skipped": []}
    job = {"do": "unpack", "top": str(collected), "place": place, "user": "ada", "about": about}
    return carry_out(job, os.dup(bundle.fileno()))


def test_a_folder_comes_over_with_a_manifest(home: Path, collected: Path, bundle: BinaryIO) -> None:
    os.utime(home / "bio/lab/a.ipynb", (1_000_000_000, 1_000_000_000))
    assert pack(home, bundle) == {"ok": True, "skipped": []}
    assert unpack(collected, bundle) == {"ok": True, "files": 1, "bytes": 6}
    copy = collected / "lab/monday/ada/a.ipynb"
    assert copy.read_text() == "answer"
    assert copy.stat().st_mtime == 1_000_000_000
    assert (collected / "lab/monday/ada/data").is_dir()
    manifest = json.loads((collected / "lab/monday/ada.manifest.json").read_text())
    digest = hashlib.sha256(b"answer").hexdigest()
    file = {"path": "a.ipynb", "size": 6, "modified": 1_000_000_000, "sha256": digest}
    assert manifest == {"user": "ada", "skipped": [], "files": [file]}
    assert sorted(path.name for path in (collected / "lab/monday").iterdir()) == [
        "ada",
        "ada.manifest.json",
    ]


def test_a_snapshot_is_never_changed_by_a_later_one(
    home: Path, collected: Path, bundle: BinaryIO
) -> None:
    pack(home, bundle)
    assert unpack(collected, bundle)["ok"]
    assert unpack(collected, bundle)["why"] == "it was collected to this place before"
    assert unpack(collected, bundle, "lab/tuesday")["ok"]


def test_what_a_broken_off_run_left_is_replaced(
    home: Path, collected: Path, bundle: BinaryIO
) -> None:
    left = collected / "lab/monday/.ada.part"
    left.mkdir(parents=True)
    (left / "half").write_text("x")
    (collected / "lab/monday/ada.manifest.json").write_text("{")
    pack(home, bundle)
    assert unpack(collected, bundle)["ok"]
    assert not left.exists()
    assert not (collected / "lab/monday/ada/half").exists()


def test_links_and_pipes_of_a_student_are_left_out_and_named(
    home: Path, collected: Path, bundle: BinaryIO
) -> None:
    lab = home / "bio/lab"
    (lab / "shadow").symlink_to("/etc/shadow")
    (lab / "all").symlink_to("/")
    os.mkfifo(lab / "pipe")
    (lab / "two\nlines").write_text("x")
    (lab / os.fsdecode(b"caf\xe9")).write_text("latin")
    (lab / "holes").touch()
    os.truncate(lab / "holes", 2**40)
    assert sorted(pack(home, bundle)["skipped"]) == [
        "all: it is a link",
        "holes: it is large and almost all of it is empty",
        "pipe: it is no file",
        "shadow: it is a link",
    ]
    assert unpack(collected, bundle)["files"] == 3
    found = collected / "lab/monday/ada"
    assert (found / "two\nlines").read_text() == "x"
    assert (found / os.fsdecode(b"caf\xe9")).read_text() == "latin"


def test_a_link_in_the_place_of_the_folder_is_refused(home: Path, bundle: BinaryIO) -> None:
    (home / "bio/lab").rename(home / "bio/other")
    (home / "bio/lab").symlink_to("other")
    assert pack(home, bundle)["why"] == "it cannot be opened: it is a link"
    (home / "bio/lab").unlink()
    assert pack(home, bundle)["why"] == "there is no such folder"


@pytest.mark.parametrize(("most", "why"), [(5, "more than 1 GB"), (2**30, "more than 1 files")])
def test_a_student_sends_only_so_much(
    most: int, why: str, home: Path, bundle: BinaryIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "BYTES_MAX", most)
    if most > 5:
        monkeypatch.setattr(collecting, "FILES_MAX", 1)
    assert why in pack(home, bundle)["why"]


@pytest.mark.parametrize(("files", "most"), [(1, 2**30), (10, 5)])
def test_the_teachers_program_counts_too(
    files: int,
    most: int,
    home: Path,
    collected: Path,
    bundle: BinaryIO,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pack(home, bundle)
    monkeypatch.setattr(collecting, "FILES_MAX", files)
    monkeypatch.setattr(collecting, "BYTES_MAX", most)
    assert "more than 1 GB" in unpack(collected, bundle)["why"]
    assert list((collected / "lab/monday").iterdir()) == []


HOSTILE = [
    b"",
    b"{}\n",
    b"[]\n",
    b"{\n",
    b"\xff\n",
    b'{"end": true',
    b'{"path": ["a"], "size": 5, "modified": 0}\nabc',
    b'{"path": ["a"], "size": -1, "modified": 0}\n{"end": true}\n',
    b'{"path": ["a"], "size": 1e3, "modified": 0}\n{"end": true}\n',
    b'{"path": ["a"], "size": 0, "modified": 9223372036854775808}\n{"end": true}\n',
    b'{"path": ["a"], "size": 0}\n{"end": true}\n',
    b'{"path": [], "size": 0, "modified": 0}\n{"end": true}\n',
    b'{"path": "abc", "size": 0, "modified": 0}\n{"end": true}\n',
    b'{"path": [".."], "size": 0, "modified": 0}\n{"end": true}\n',
    b'{"path": ["a/b"], "size": 0, "modified": 0}\n{"end": true}\n',
    b'{"path": ["/etc"], "size": 0, "modified": 0}\n{"end": true}\n',
    b'{"path": [""], "size": 0, "modified": 0}\n{"end": true}\n',
    b'{"path": ["a\\u0000"], "size": 0, "modified": 0}\n{"end": true}\n',
    b'{"path": ["\\ud800"], "size": 0, "modified": 0}\n{"end": true}\n',
    b'{"path": ["' + b"a" * 256 + b'"], "size": 0, "modified": 0}\n{"end": true}\n',
    b'{"path": ["no", "folder"], "size": 0, "modified": 0}\n{"end": true}\n',
    b'{"path": ["a"], "size": 0, "modified": 0}\n' * 2 + b'{"end": true}\n',
    b"[" * 600_000 + b"\n",
]


@pytest.mark.parametrize("content", HOSTILE, ids=lambda content: content[:40].decode("latin-1"))
def test_a_damaged_bundle_leaves_nothing_behind(
    content: bytes, collected: Path, bundle: BinaryIO
) -> None:
    bundle.write(content)
    bundle.flush()
    report = unpack(collected, bundle)
    assert not report["ok"]
    assert list((collected / "lab/monday").iterdir()) == []


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(NAMES.filter(lambda name: len(name.encode()) < 256 and name not in (".", "..")))
def test_any_name_that_a_file_may_have_comes_over(name: str) -> None:
    stream = io.BytesIO()
    writer = Writer(stream)
    writer.folder((name,), 5)
    writer.file((name, name), 0, 7)
    writer.end()
    stream.seek(0)
    assert [(item.path, item.size) for item in Reader(stream).items()] == [
        ((name,), None),
        ((name, name), 0),
    ]


@given(st.binary(max_size=200))
def test_any_rubbish_is_refused(content: bytes) -> None:
    with pytest.raises(RefusedError):
        list(Reader(io.BytesIO(content)).items())


def test_a_file_that_is_being_written_is_read_whole_or_reported(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"0" * 1000)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            path.write_bytes(b"%d" % (number % 10) * (number % 3000))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(300):
            descriptor = os.open(path, os.O_RDONLY)
            steady = Steady(descriptor)
            content = b"".join(steady.chunks())
            os.close(descriptor)
            assert len(content) == steady.size
            assert steady.changed or len(set(content)) <= 1
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("size", [5, 20 * 2**20])
def test_a_large_file_that_changes_keeps_the_size_that_was_told(size: int, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(b"x" * 17 * 2**20)
    with path.open("rb") as file:
        steady = Steady(file.fileno())
        chunks = steady.chunks()
        first = next(chunks)
        os.truncate(path, size)
        content = first + b"".join(chunks)
    assert len(content) == steady.size == 17 * 2**20
    assert steady.changed


def test_an_archive_has_everything_and_follows_nothing(tmp_path: Path, home: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (home / "link").symlink_to(secret)
    (home / "dangling").symlink_to("nowhere")
    (home / "big").write_bytes(bytes(range(256)) * 100_000)
    os.mkfifo(home / "pipe")
    (home / os.fsdecode(b"caf\xe9\n")).write_text("latin")
    packed = tmp_path / "ada.tar.gz"
    with packed.open("wb") as file:
        job = {"do": "archive", "top": str(home), "name": "ada"}
        report = carry_out(job, os.dup(file.fileno()))
    assert report == {"ok": True, "skipped": ["pipe: it is no file"]}
    with tarfile.open(packed) as tar:
        members = {member.name: member for member in tar.getmembers()}
        big = tar.extractfile("ada/big")
        assert big is not None
        assert big.read() == (home / "big").read_bytes()
    assert members["ada/link"].linkname == str(secret)
    assert members["ada/link"].issym()
    assert {"ada/bio/lab/a.ipynb", "ada/dangling", os.fsdecode(b"ada/caf\xe9\n")} <= set(members)
    assert "ada/pipe" not in members


def test_a_listing_shows_folders_first_and_hides_the_hidden(tmp_path: Path) -> None:
    (tmp_path / "week").mkdir()
    (tmp_path / "a.txt").write_text("abc")
    (tmp_path / ".upload-1").write_text("half")
    (tmp_path / "link").symlink_to("/etc")
    (tmp_path / "new\nline").touch()
    report = carry_out({"do": "list", "top": str(tmp_path), "folder": ""}, -1)
    assert [(row["name"], row["kind"], row["size"]) for row in report["entries"]] == [
        ("week", "folder", 0),
        ("a.txt", "file", 3),
        ("link", "other", 0),
        ("new\ufffdline", "file", 0),
    ]
    report = carry_out({"do": "list", "top": str(tmp_path), "folder": "link"}, -1)
    assert report["why"] == "it cannot be opened: it is a link"


def put(top: Path, folder: str, content: bytes, most: int = 100) -> dict[str, Any]:
    with tempfile.TemporaryFile() as source:
        source.write(content)
        source.seek(0)
        job = {"do": "put", "top": str(top), "folder": folder, "most": most}
        return carry_out(job, source.fileno())


def test_an_upload_replaces_a_file_when_all_of_it_is_there(tmp_path: Path) -> None:
    assert put(tmp_path, "week/a.txt", b"one") == {"ok": True, "bytes": 3}
    assert put(tmp_path, "week/a.txt", b"x" * 101)["why"].startswith("it is larger")
    assert (tmp_path / "week/a.txt").read_bytes() == b"one"
    assert put(tmp_path, "week/a.txt", b"two")["ok"]
    assert (tmp_path / "week/a.txt").read_bytes() == b"two"
    assert [path.name for path in (tmp_path / "week").iterdir()] == ["a.txt"]


@pytest.mark.parametrize("path", ["week", "file/a.txt", "link/a.txt"])
def test_an_upload_goes_over_no_link_and_into_no_file(path: str, tmp_path: Path) -> None:
    (tmp_path / "week").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    assert not put(tmp_path, path, b"one")["ok"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_an_upload_that_was_broken_off_long_ago_is_removed(tmp_path: Path) -> None:
    for name, age in ((".upload-old", 10_000), (".upload-new", 10)):
        (tmp_path / name).touch()
        now = (tmp_path / name).stat().st_mtime
        os.utime(tmp_path / name, (now - age, now - age))
    assert put(tmp_path, "a.txt", b"")["ok"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".upload-new", "a.txt"]


def _carry_out_within(limit: int, job: dict[str, Any], data: int, reports: Any) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    reports.put(carry_out(job, data))


def carry_out_within(limit: int, job: dict[str, Any], data: BinaryIO) -> dict[str, Any]:
    """With files that get no larger, which is another name for a disk without room."""
    context = multiprocessing.get_context("fork")
    reports = context.SimpleQueue()
    process = context.Process(target=_carry_out_within, args=(limit, job, data.fileno(), reports))
    process.start()
    report: dict[str, Any] = reports.get()
    process.join()
    return report


def test_a_full_disk_is_told_and_nothing_half_done_stays(
    home: Path, collected: Path, bundle: BinaryIO, tmp_path: Path
) -> None:
    (home / "bio/lab/big").write_bytes(os.urandom(200_000))
    job: dict[str, Any] = {"do": "pack", "home": str(home), "slug": "bio", "folder": "lab"}
    assert "is full" in carry_out_within(100_000, job, bundle)["why"]

    bundle.seek(0)
    bundle.truncate()
    assert pack(home, bundle)["ok"]
    job = {"do": "unpack", "top": str(collected), "place": "lab", "user": "ada", "about": {}}
    assert "is full" in carry_out_within(100_000, job, bundle)["why"]
    assert list((collected / "lab").iterdir()) == []

    bundle.seek(0)
    job = {"do": "put", "top": str(collected), "folder": "a.bin", "most": 2**30}
    assert "is full" in carry_out_within(100_000, job, bundle)["why"]
    assert [path.name for path in collected.iterdir()] == ["lab"]

    with (tmp_path / "ada.tar.gz").open("wb") as packed:
        job = {"do": "archive", "top": str(home), "name": "ada"}
        assert "is full" in carry_out_within(100_000, job, packed)["why"]
