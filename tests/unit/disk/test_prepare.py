"""What it takes to turn quotas on, and doing it so that a failure leaves homes where they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.cli import disk_work
from appliance.cli.output import Output
from appliance.config.schema import Config
from appliance.disk import prepare
from appliance.disk.file_systems import FileSystem, Mount, QuotaState
from appliance.disk.prepare import Plan, Step, carry_out, plan_for, with_options
from appliance.errors import ApplianceError
from appliance.outgoing import SYSTEM_AUTHORITIES, apt_options
from appliance.places import Places

FSTAB = """\
# <file system> <mount point> <type> <options> <dump> <pass>
UUID=1-2 /     ext4    errors=remount-ro 0       1
/dev/vdb1\t/home\txfs\tdefaults,noatime\t0\t2
/dev/vdc /srv/with\\040blank ext4 defaults
"""
MOUNT = Mount("8:1", "/", "/home", "/dev/vdb1", "ext4", ("rw",))
OFF = QuotaState(why="quotas are not turned on")
HOME = FileSystem("/home", MOUNT, 100, 50, 100, 50, OFF)


def plan(one: FileSystem, *, fstab: str = FSTAB, command: bool = True, module: bool = True) -> Plan:
    return plan_for(
        one, fstab=fstab, has_command=lambda _name: command, has_module=lambda _name: module
    )


def on(kind: str = "ext4", point: str = "/home", state: QuotaState = OFF) -> FileSystem:
    return replace(HOME, mount=replace(MOUNT, kind=kind, point=point), quota=state)


def commands(found: Plan) -> list[str]:
    return [" ".join(step.command) for step in found.steps if step.command]


def test_what_is_on_needs_nothing() -> None:
    both = QuotaState(True, True, True, True)
    assert plan(on(state=both)) == Plan("/home", "ext4", "ready", "quotas are on")
    users = plan(on(state=QuotaState(users_counted=True, users_enforced=True)))
    assert (users.state, "classes' folders are measured" in users.says) == ("ready", True)
    counted = plan(on(state=QuotaState(users_counted=True)))
    assert (counted.state, counted.steps) == ("ready", ())


def test_ext4_of_its_own_is_unmounted() -> None:
    found = plan(on())
    assert commands(found) == [
        "umount /home",
        "tune2fs -O quota,project -Q usrquota,prjquota /dev/vdb1",
        "mount /home",
    ]
    assert "server stop --all" in found.by_hand[0]


def test_the_root_gets_them_while_it_is_in_use() -> None:
    found = plan(on(point="/"))
    assert found.steps[0].options == ("usrjquota=aquota.user", "jqfmt=vfsv1")
    assert commands(found) == [
        "mount -o remount,usrjquota=aquota.user,jqfmt=vfsv1 /",
        "quotacheck -cum /",
        "quotaon -u /",
    ]
    assert commands(plan(on(point="/"), command=False))[0] == "apt-get install -y quota"


def test_without_the_kernels_module_nothing_is_touched() -> None:
    """A disk with the feature that the kernel can't use would not be mounted any more."""
    for point in ("/", "/home"):
        found = plan(on(point=point), module=False)
        assert (found.state, found.steps) == ("by-hand", ())
        assert "quota_v2" in found.says


def test_xfs_is_mounted_anew_or_with_the_machine() -> None:
    found = plan(on("xfs"))
    assert found.steps[0].options == ("usrquota", "prjquota")
    assert commands(found) == ["umount /home", "mount /home"]
    root = plan(on("xfs", "/"))
    assert (root.state, root.steps) == ("by-hand", ())
    assert any("rootflags=uquota,pquota" in line for line in root.by_hand)


@pytest.mark.parametrize("kind", ["btrfs", "nfs4", "zfs"])
def test_others_are_measured(kind: str) -> None:
    found = plan(on(kind))
    assert found.state == "by-hand"
    assert "measured" in found.says


@pytest.mark.parametrize("one", [on(point="/"), on("xfs")])
def test_what_would_be_forgotten_at_the_next_start_is_not_done(one: FileSystem) -> None:
    found = plan(one, fstab="# empty\n")
    assert (found.state, found.steps) == ("by-hand", ())
    assert "/etc/fstab" in found.says


def test_one_line_of_fstab_changes_and_nothing_else() -> None:
    changed = with_options(FSTAB, "/home", ("usrquota", "prjquota"))
    assert changed == FSTAB.replace("defaults,noatime", "defaults,noatime,usrquota,prjquota")
    assert with_options(changed, "/home", ("usrquota", "prjquota")) == changed
    options = ("usrjquota=aquota.user", "jqfmt=vfsv1")
    root = with_options(FSTAB.replace("errors", "usrjquota=old,errors"), "/", options)
    assert "errors=remount-ro,usrjquota=aquota.user,jqfmt=vfsv1 0" in (root or "")
    blank = with_options(FSTAB, "/srv/with blank", ("usrquota",))
    assert blank is not None
    assert blank.endswith("ext4 defaults,usrquota\n")
    assert with_options(FSTAB, "/none", ("usrquota",)) is None


def test_a_failure_mounts_again_what_was_unmounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def run(command: Sequence[str], _network: object = None) -> None:
        ran.append(" ".join(command))
        if command[0] == "tune2fs":
            raise ApplianceError("tune2fs failed", why="it is mounted")

    monkeypatch.setattr(prepare, "run", run)
    with pytest.raises(ApplianceError, match="it is mounted"):
        carry_out(plan(on()), say=lambda _text: None, fstab=tmp_path / "fstab")
    assert ran[-1] == "mount /home"


def test_fstab_is_kept_before_it_is_changed(tmp_path: Path) -> None:
    fstab = tmp_path / "fstab"
    fstab.write_text(FSTAB)
    fstab.chmod(0o644)
    one = Plan("/home", "xfs", "steps", "", steps=(Step("note it", options=("usrquota",)),))
    carry_out(one, say=lambda _text: None, fstab=fstab)
    assert "noatime,usrquota\t" in fstab.read_text()
    assert (tmp_path / "fstab.before-quotas").read_text() == FSTAB
    assert fstab.stat().st_mode & 0o777 == 0o644


def test_packages_come_by_the_proxy_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apt = tmp_path / "apt-get"
    apt.write_text(f'#!/bin/sh\necho "$https_proxy $*" >{tmp_path}/asked\n')
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    step = Step("install", ("apt-get", "install", "-y", "quota"))
    one = Plan("/", "ext4", "steps", "", steps=(step,))
    network = {"proxy": "http://proxy.example:3128", "ca_file": "/etc/school.pem"}
    places = replace(Places.installed(), state=tmp_path)
    monkeypatch.setattr(disk_work, "plans_for", lambda _places: [one])
    monkeypatch.setattr(disk_work, "set_all", lambda _config, _places: [])
    monkeypatch.setattr(
        disk_work, "read_in_force", lambda _places: Config.model_validate({"network": network})
    )
    disk_work.prepare(places, Output(quiet=True), dry_run=False, agreed=True)
    authorities = f"{places.rendered}/authorities.pem"
    asked = (tmp_path / "asked").read_text()
    assert asked == (
        f"http://proxy.example:3128 -o Acquire::https::CAInfo={authorities} install -y quota\n"
    )


def test_apt_is_told_nothing_that_it_knows() -> None:
    assert apt_options({}) == []
    assert apt_options({"SSL_CERT_FILE": SYSTEM_AUTHORITIES}) == []
