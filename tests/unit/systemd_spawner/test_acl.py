from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from appliance.errors import SpawnRefused
from appliance.systemd_spawner import acl
from appliance.systemd_spawner.acl import CHANGE, ENTER, LOOK, Grant, pack, put_list


def rows(content: bytes) -> list[tuple[int, int, int]]:
    assert struct.unpack_from("<I", content) == (2,)
    return list(struct.iter_unpack("<HHI", content[4:]))


def test_a_list_has_the_order_and_the_mask_that_the_kernel_wants() -> None:
    packed = pack([Grant(LOOK, group=10_001), Grant(CHANGE, group=10_000), Grant(ENTER, user=7)])
    nobody = 0xFFFFFFFF
    assert rows(packed) == [
        (0x01, 7, nobody),
        (0x02, 1, 7),
        (0x04, 0, nobody),
        (0x08, 7, 10_000),
        (0x08, 5, 10_001),
        (0x10, 7, nobody),
        (0x20, 0, nobody),
    ]


def test_the_mask_is_no_more_than_what_is_granted() -> None:
    assert (0x10, ENTER, 0xFFFFFFFF) in rows(pack([Grant(ENTER, group=10_000)]))


def test_the_kernel_keeps_what_was_packed_and_hands_it_on(tmp_path: Path) -> None:
    grants = [Grant(LOOK, group=10_000), Grant(CHANGE, user=12_345)]
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    before = os.umask(0o077)
    try:
        put_list(folder, grants, inherited=grants)
        (tmp_path / "lab").mkdir()
        (tmp_path / "lab/notes").write_text("a")
    finally:
        os.umask(before)
        os.close(folder)
    assert os.getxattr(tmp_path, acl.ACCESS) == pack(grants)
    assert os.getxattr(tmp_path / "lab", acl.DEFAULT) == pack(grants)
    inherited = rows(os.getxattr(tmp_path / "lab/notes", acl.ACCESS))
    assert {(0x02, 7, 12_345), (0x08, 5, 10_000)} <= set(inherited)
    assert (0x10, 6, 0xFFFFFFFF) in inherited


def test_a_folder_can_stop_handing_it_on(tmp_path: Path) -> None:
    grants = [Grant(LOOK, group=10_000)]
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        put_list(folder, grants, inherited=grants)
        for _ in range(2):
            put_list(folder, grants, inherited=None)
    finally:
        os.close(folder)
    assert acl.DEFAULT not in os.listxattr(tmp_path)


def test_a_file_system_without_lists_is_named() -> None:
    grants = [Grant(LOOK, group=10_000)]
    folder = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(SpawnRefused, match="no access lists"):
            put_list(folder, grants, inherited=grants)
    finally:
        os.close(folder)
