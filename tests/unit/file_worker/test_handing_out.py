from __future__ import annotations

import multiprocessing
import os
import resource
import socket
from pathlib import Path
from typing import Any

import pytest

from appliance.file_worker import handing_out
from appliance.file_worker.worker import carry_out


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    folder = tmp_path / "class/shared"
    (folder / "lab/data").mkdir(parents=True)
    (folder / "lab/a.ipynb").write_text("new")
    (folder / "lab/data/x.csv").write_text("1,2")
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def task(shared: Path, home: Path, rule: str = "keep", folder: str = "lab") -> dict[str, Any]:
    root = shared.parent
    return {
        "do": "hand_out",
        "top": str(shared),
        "home": str(home),
        "slug": "bio",
        "folder": folder,
        "rule": rule,
        "links": {"shared": str(shared), "drop": str(root / "drop-boxes/nb-ada")},
        "names": ["shared", "together", "drop", "collected", "drop-boxes"],
        "root": str(root.parent),
    }


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text(errors="replace")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def test_everything_is_copied_with_links_to_what_is_common(shared: Path, home: Path) -> None:
    report = carry_out(task(shared, home), -1)
    assert report == {
        "ok": True,
        "copied": 2,
        "kept": 0,
        "replaced": 0,
        "beside": 0,
        "bytes": 6,
        "skipped": [],
    }
    assert files(home) == {"bio/lab/a.ipynb": "new", "bio/lab/data/x.csv": "1,2"}
    assert (home / "bio/shared").readlink() == shared
    assert (home / "bio").stat().st_mode & 0o777 == 0o700
    source, copy = shared / "lab/a.ipynb", home / "bio/lab/a.ipynb"
    assert source.stat().st_mtime_ns == copy.stat().st_mtime_ns
    again = carry_out(task(shared, home, "replace"), -1)
    assert (again["kept"], again["copied"], again["replaced"], again["bytes"]) == (2, 0, 0, 0)


def test_keep_leaves_what_the_student_has(shared: Path, home: Path) -> None:
    carry_out(task(shared, home), -1)
    (home / "bio/lab/a.ipynb").write_text("mine")
    (home / "bio/lab/data/x.csv").unlink()
    report = carry_out(task(shared, home, "keep"), -1)
    assert (report["copied"], report["kept"]) == (1, 1)
    assert files(home) == {"bio/lab/a.ipynb": "mine", "bio/lab/data/x.csv": "1,2"}


def test_replace_keeps_the_students_under_another_name(shared: Path, home: Path) -> None:
    for version in ("mine", "mine too"):
        carry_out(task(shared, home), -1)
        (home / "bio/lab/a.ipynb").write_text(version)
        report = carry_out(task(shared, home, "replace"), -1)
        assert (report["replaced"], report["kept"]) == (1, 1)
    found = files(home / "bio/lab")
    assert found.pop("a.ipynb") == "new"
    assert found.pop("data/x.csv") == "1,2"
    (first, mine), (second, too) = sorted(found.items(), key=lambda item: len(item[0]))
    assert first.startswith("a.before-20")
    assert first.endswith(".ipynb")
    assert second == first.replace(".ipynb", "-2.ipynb")
    assert (mine, too) == ("mine", "mine too")


def test_beside_numbers_the_new_one_and_not_twice(shared: Path, home: Path) -> None:
    (home / "bio/lab").mkdir(parents=True)
    (home / "bio/lab/a.ipynb").write_text("mine")
    (home / "bio/lab/data").write_text("a file where a folder is to be")
    for beside in (1, 0):
        report = carry_out(task(shared, home, "beside"), -1)
        assert report["beside"] == beside
    assert files(home / "bio/lab") == {
        "a.ipynb": "mine",
        "a-2.ipynb": "new",
        "data": "a file where a folder is to be",
        "data-2/x.csv": "1,2",
    }


@pytest.mark.parametrize("rule", ["keep", "replace", "beside"])
def test_a_file_or_link_in_a_folders_place_is_never_followed(
    rule: str, shared: Path, home: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (home / "bio/lab").mkdir(parents=True)
    (home / "bio/lab/data").symlink_to(elsewhere)
    (home / "bio/lab/a.ipynb").symlink_to(elsewhere / "not-made")
    assert carry_out(task(shared, home, rule), -1)["ok"]
    assert list(elsewhere.iterdir()) == []
    found = files(home / "bio/lab")
    links = sorted(path.name for path in (home / "bio/lab").iterdir() if path.is_symlink())
    if rule == "keep":
        assert (found, links) == ({}, ["a.ipynb", "data"])
    elif rule == "replace":
        assert found == {"a.ipynb": "new", "data/x.csv": "1,2"}
        assert all(".before-" in name for name in links)
    else:
        assert found == {"a-2.ipynb": "new", "data-2/x.csv": "1,2"}


def test_hostile_sources_are_left_out_and_named(shared: Path, home: Path) -> None:
    lab = shared / "lab"
    (lab / "passwd").symlink_to("/etc/shadow")
    (lab / "up").symlink_to("../../..")
    os.mkfifo(lab / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(lab / "sock"))
    (lab / "two\nlines").write_text("x")
    os.link(lab / "a.ipynb", lab / "hard")
    (lab / os.fsdecode(b"caf\xe9")).write_text("latin")
    deep = lab
    for _ in range(80):
        deep = deep / "d"
        deep.mkdir()
    report = carry_out(task(shared, home), -1)
    assert report["ok"]
    assert report["copied"] == 5
    assert sorted(line.split(": ")[1] for line in report["skipped"]) == [
        "it is a link",
        "it is a link",
        "it is no file",
        "it is no file",
        "it lies more than 64 folders deep",
    ]
    assert all(line.isprintable() for line in report["skipped"])
    assert (home / "bio/lab" / os.fsdecode(b"caf\xe9")).read_text() == "latin"


def test_ten_thousand_files_are_copied(shared: Path, home: Path) -> None:
    for number in range(10_000):
        (shared / "lab/data" / f"{number}").touch()
    assert carry_out(task(shared, home), -1)["copied"] == 10_002


def test_too_many_files_are_refused_with_nothing_copied(
    shared: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handing_out, "FILES_MAX", 2)
    report = carry_out(task(shared, home), -1)
    assert report["why"] == "there are more than 2 files in it"
    assert files(home) == {}


@pytest.mark.parametrize("folder", ["other", "lab/a.ipynb", "link"])
def test_only_a_folder_can_be_handed_out(folder: str, shared: Path, home: Path) -> None:
    (shared / "link").symlink_to("lab")
    report = carry_out(task(shared, home, folder=folder), -1)
    assert not report["ok"]
    assert report["why"]


def test_a_file_in_the_place_of_the_classs_folder_is_told(shared: Path, home: Path) -> None:
    (home / "bio").write_text("mine")
    assert carry_out(task(shared, home), -1)["why"] == "in the home, bio is no folder"


def _carry_out_within(limit: int, job: dict[str, Any], reports: Any) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    reports.put(carry_out(job, -1))


def test_a_full_home_gets_nothing_and_keeps_everything(shared: Path, home: Path) -> None:
    (shared / "lab/z.bin").write_bytes(b"x" * 100_000)
    (home / "bio/lab").mkdir(parents=True)
    (home / "bio/lab/a.ipynb").write_text("mine")
    context = multiprocessing.get_context("fork")
    reports = context.SimpleQueue()
    # What a file may have at most is another name for no room.
    arguments = (50_000, task(shared, home, "replace"), reports)
    process = context.Process(target=_carry_out_within, args=arguments)
    process.start()
    report = reports.get()
    process.join()
    assert (report["ok"], report["why"]) == (False, "the home is full")
    assert files(home) == {"bio/lab/a.ipynb": "mine"}
    assert sorted(path.name for path in (home / "bio").iterdir()) == ["drop", "lab", "shared"]


@pytest.mark.parametrize("rule", ["replace", "beside"])
def test_what_got_its_name_before_the_disk_was_full_loses_it_again(
    rule: str, shared: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shared / "lab/more").mkdir()
    (shared / "lab/more/y.csv").write_text("3")
    (home / "bio/lab").mkdir(parents=True)
    (home / "bio/lab/a.ipynb").write_text("mine")
    (home / "bio/lab/data").write_text("in the way")
    before = files(home)
    real = os.mkdir

    def mkdir(path: Any, *args: Any, **kwargs: Any) -> None:
        if path == "more":
            raise OSError(28, "No space left on device")
        real(path, *args, **kwargs)

    monkeypatch.setattr(os, "mkdir", mkdir)
    report = carry_out(task(shared, home, rule), -1)
    assert (report["ok"], report["why"]) == (False, "the home is full")
    assert files(home) == before
    monkeypatch.undo()
    assert carry_out(task(shared, home, rule), -1)["ok"]


def test_what_a_run_left_when_the_power_went_is_removed(shared: Path, home: Path) -> None:
    left = home / "bio/.hand-out-0123456789abcdef"
    left.mkdir(parents=True)
    (left / "3").write_text("half")
    assert carry_out(task(shared, home), -1)["ok"]
    assert not left.exists()


def test_links_of_another_role_go_and_the_users_own_stay(shared: Path, home: Path) -> None:
    own = home / "bio"
    own.mkdir()
    (own / "collected").symlink_to(shared.parent / "collected")
    (own / "together").mkdir()
    (own / "drop-boxes").symlink_to("/somewhere/else")
    (own / "drop").symlink_to(shared.parent / "drop-boxes/nb-eve")
    job = {**task(shared, home), "do": "link"}
    assert carry_out(job, -1) == {"ok": True}
    assert not (own / "collected").is_symlink()
    assert (own / "together").is_dir()
    assert str((own / "drop-boxes").readlink()) == "/somewhere/else"
    assert (own / "drop").readlink() == shared.parent / "drop-boxes/nb-ada"
