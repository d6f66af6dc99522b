"""Who else may use what ext4 keeps for root. That the kernel does it, machines prove (faults)."""

from __future__ import annotations

import errno
import grp
import os
from pathlib import Path

import pytest

from appliance.disk import reserved
from appliance.disk.file_systems import Mount
from appliance.disk.reserved import share_with_hub

GROUP = grp.getgrgid(0).gr_name


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    calls: list[tuple[str, ...]] = []

    def note(mount: Mount, name: str, value: str) -> None:
        calls.append((mount.point, name, value))

    monkeypatch.setattr(reserved, "_set_option", note)
    return calls


def table(folder: Path, kind: str, options: str) -> Path:
    number = folder.stat().st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    file = folder / "mountinfo"
    file.write_text(f"22 1 {device} / /disk rw,nosuid - {kind} /dev/vda1 {options}\n")
    return file


def test_the_hub_may_use_it(tmp_path: Path, told: list[tuple[str, ...]]) -> None:
    mounts = table(tmp_path, "ext4", "rw,errors=remount-ro")
    assert share_with_hub(tmp_path, mounts=mounts, group=GROUP)
    assert told == [("/disk", "resgid", "0")]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("xfs", "rw"),
        ("ext4", "ro"),
        ("ext4", "rw,resgid=993"),
        ("ext4", "rw,resuid=1000,errors=remount-ro"),
    ],
)
def test_what_has_none_and_what_an_admin_chose_stays(
    tmp_path: Path, told: list[tuple[str, ...]], kind: str, options: str
) -> None:
    mounts = table(tmp_path, kind, options)
    assert not share_with_hub(tmp_path, mounts=mounts, group=GROUP)
    assert told == []


def test_a_container_may_not_and_a_trial_has_no_such_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = table(tmp_path, "ext4", "rw")

    def refuse(*_: object) -> int:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(reserved, "_call", refuse)
    assert not share_with_hub(tmp_path, mounts=mounts, group=GROUP)
    assert not share_with_hub(tmp_path, mounts=mounts, group="no-such-group")
