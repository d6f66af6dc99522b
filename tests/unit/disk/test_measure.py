"""What a folder takes: the same as du(1) says, whatever is in it."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.disk import measure as measure_
from appliance.disk.measure import DEPTH_MAX, measure

LATER = time.monotonic() + 3600

sizes = st.integers(0, 300_000)


@st.composite
def things(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    """Kinds, numbers of earlier things that they are about, and sizes."""
    kinds = st.sampled_from(["file", "folder", "hard link", "link", "holes", "fifo"])
    return draw(st.lists(st.tuples(kinds, st.integers(0, 50), sizes), max_size=40))


def make(top: Path, wanted: list[tuple[str, int, int]]) -> None:
    folders, files = [top], []
    for number, (kind, which, size) in enumerate(wanted):
        path = folders[which % len(folders)] / f"{kind} {number} \udce4"
        if kind == "folder":
            path.mkdir()
            folders.append(path)
        elif kind == "hard link" and files:
            os.link(files[which % len(files)], path)
        elif kind == "link":
            path.symlink_to(folders[which % len(folders)])
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "holes":
            with path.open("wb") as file:
                file.truncate(size * 1000)
        else:
            path.write_bytes(b"x" * size)
            files.append(path)


def du(top: Path, *options: str) -> int:
    said = subprocess.run(
        ["du", "-s", "-x", *options, str(top)], capture_output=True, text=True, check=True
    ).stdout
    return int(said.split()[0])


@settings(max_examples=40, deadline=None)
@given(things())
def test_it_is_what_du_says(wanted: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        make(top, wanted)
        use = measure(top, deadline=LATER)
        assert use.complete
        assert use.bytes == du(top, "--block-size=1")
        assert use.files == du(top, "--inodes")


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "big").write_bytes(b"x" * 1_000_000)
    home = tmp_path / "home"
    home.mkdir()
    (home / "link").symlink_to(outside)
    assert measure(home, deadline=LATER).bytes < 100_000
    with pytest.raises(OSError, match="link"):
        measure(home / "link", deadline=LATER)


def test_time_ends_it_and_it_says_so(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / f"{number}").touch()
    use = measure(tmp_path, deadline=time.monotonic() - 1)
    assert not use.complete
    assert 0 < use.files < 1000
    assert measure(tmp_path, deadline=LATER).files == 1001


def test_folders_without_end_use_no_more_descriptors(tmp_path: Path) -> None:
    """Deeper than a path can say, and than may be opened at the same time."""
    depth = DEPTH_MAX + 10
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    use = measure(tmp_path, deadline=LATER)
    assert not use.complete
    assert use.files >= 900
    subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


def test_names_without_end_use_no_more_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        (tmp_path / str(number) / "inner").mkdir(parents=True)
    whole = measure(tmp_path, deadline=LATER)
    assert whole.complete
    monkeypatch.setattr(measure_, "NAMES_MAX", 3)
    found = measure(tmp_path, deadline=LATER)
    # All eight are counted, and three of them are entered.
    assert (found.files, found.complete) == (whole.files - 5, False)
    # One after the other they are no more than one at a time.
    monkeypatch.setattr(measure_, "NAMES_MAX", 8)
    assert measure(tmp_path, deadline=LATER) == whole


def test_links_without_end_are_counted_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure_, "NAMES_MAX", 2)
    for number in range(4):
        (tmp_path / f"{number}").write_text("x")
        os.link(tmp_path / f"{number}", tmp_path / f"{number}-again")
    # Two files are known by either name, two count twice, and there is the folder itself.
    assert measure(tmp_path, deadline=LATER).files == 2 + 2 * 2 + 1


def test_files_of_an_overlay_count_though_they_name_the_disk_of_their_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/file").write_bytes(b"x" * 50_000)
    plain, really = measure(tmp_path, deadline=LATER), os.stat

    def layered(path: str, *, dir_fd: int, follow_symlinks: bool) -> SimpleNamespace:
        found = really(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)
        names = ("st_dev", "st_ino", "st_mode", "st_nlink", "st_blocks")
        status = SimpleNamespace(**{name: getattr(found, name) for name in names})
        status.st_dev += not stat.S_ISDIR(found.st_mode)
        return status

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", layered)
        found = measure(tmp_path, deadline=LATER)
    assert found == plain
    assert plain.bytes >= 50_000
