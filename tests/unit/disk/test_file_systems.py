"""Which file system a folder is on, and what the kernel says of its quotas."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.disk import file_systems, quotactl
from appliance.disk.file_systems import Mount, find, mount_of, parse_mounts, quota_state
from appliance.disk.quotactl import Kind, QuotaError, State

LINES = r"""
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
30 22 254:17 / /home rw,noatime shared:12 - xfs /dev/vdb1 rw,attr2,usrquota,prjquota
31 22 0:45 / /srv/with\040blank rw - btrfs /dev/vdc rw,space_cache
32 22 254:1 /var/x /mnt/bound rw - ext4 /dev/vda1 rw
33 22 broken
34 22 0:5 / /proc rw - proc
"""


def mount(**changes: object) -> Mount:
    values = {"device": "254:17", "root": "/", "point": "/home", "source": "/dev/vdb1",
              "kind": "xfs", "options": ("rw",)}  # fmt: skip
    return Mount(**{**values, **changes})  # type: ignore[arg-type]


def test_the_kernels_table_is_read() -> None:
    root, home, srv, bound = parse_mounts(LINES)
    assert (root.point, root.kind, root.source) == ("/", "ext4", "/dev/vda1")
    assert home.options == ("rw", "attr2", "usrquota", "prjquota")
    assert srv.point == "/srv/with blank"
    assert bound.root == "/var/x"


def test_a_folder_is_found_by_its_device_and_else_by_its_path(tmp_path: Path) -> None:
    number = tmp_path.stat().st_dev
    ours = f"{os.major(number)}:{os.minor(number)}"
    whole = mount(device=ours, point="/whole")
    bound = mount(device=ours, root="/inner", point="/b")
    assert mount_of(tmp_path, [bound, whole]) is whole
    above, nearer = mount(device="9:9", point="/"), mount(device="9:8", point=str(tmp_path.parent))
    other = mount(device="9:7", point=f"{tmp_path.parent}/oth")
    assert mount_of(tmp_path, [above, nearer, other]) is nearer
    assert mount_of(tmp_path, []) is None


def test_what_there_is_here(tmp_path: Path) -> None:
    (one,) = find([tmp_path, tmp_path / "missing", tmp_path])
    room = os.statvfs(tmp_path)
    assert one.folder == str(tmp_path)
    assert one.size <= room.f_blocks * room.f_frsize
    assert 0 <= one.used_percent <= 100
    assert 0 <= one.files_percent <= 100


@pytest.mark.parametrize("kind", ["btrfs", "tmpfs", "nfs4", "vfat"])
def test_others_have_no_quotas_that_we_use(kind: str, tmp_path: Path) -> None:
    state = quota_state(tmp_path, mount(kind=kind))
    assert not state.users_counted
    assert kind in state.why


@pytest.mark.parametrize(
    ("counted", "enforced"),
    [(set(), set()), ({Kind.USER}, set()), ({Kind.USER, Kind.PROJECT}, {Kind.USER})],
)
def test_what_the_kernel_says_is_believed(
    counted: set[Kind], enforced: set[Kind], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = State(frozenset(counted), frozenset(enforced))
    monkeypatch.setattr(file_systems, "read_state", lambda _folder: said)
    state = quota_state(tmp_path, mount())
    assert state.users_counted == (Kind.USER in counted)
    assert state.users_enforced == (Kind.USER in enforced)
    assert state.projects_counted == (Kind.PROJECT in counted)
    assert bool(state.why) == (not counted)


def test_a_kernel_that_says_no_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_folder: Path) -> State:
        raise QuotaError(1)

    monkeypatch.setattr(file_systems, "read_state", refuse)
    assert "in a container, its host must" in quota_state(tmp_path, mount()).why


def test_a_file_system_without_quotas_answers_so(tmp_path: Path) -> None:
    with pytest.raises(QuotaError):
        quotactl.read_quota(Path("/proc/self"), Kind.USER, os.getuid())
