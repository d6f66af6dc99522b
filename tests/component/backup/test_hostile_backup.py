"""Backups that somebody else made: root unpacks them, and nothing of root's becomes theirs."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from appliance.audit import AuditLog
from appliance.backup.audit_lines import carry_over
from appliance.backup.create import Wanted, create
from appliance.backup.errors import BackupError, Hostile
from appliance.backup.ids import give_to_same_names
from appliance.backup.manifest import MANIFEST_FILE, Manifest
from appliance.backup.place import Backup, Place
from appliance.backup.plan import Files, make_plan
from appliance.backup.restore import Restorer
from appliance.backup.tame import take_powers
from appliance.errors import ApplianceError
from appliance.places import Places
from tests.fakes.backup_machine import FakeMachine


@pytest.fixture
def backup(places: Places, place: Place) -> Backup:
    return create(places, Wanted(place)).backup


def forged(backup: Backup, part: str, archive: bytes, **values: Any) -> Backup:
    """A part with another archive, and a manifest that is right about it."""
    packed = gzip.compress(archive)
    before = backup.manifest.find(part)
    assert before is not None
    (backup.folder / before.file).unlink()
    (backup.folder / before.file).write_bytes(packed)
    sums = {
        "size": len(packed), "sha256": sha256(packed).hexdigest(),
        "content_size": len(archive), "content_sha256": sha256(archive).hexdigest(),
    }  # fmt: skip
    after = replace(before, **{**sums, **values})
    return lying(
        backup,
        lambda manifest: replace(
            manifest, parts=tuple(after if one is before else one for one in manifest.parts)
        ),
    )


def lying(backup: Backup, change: Callable[[Manifest], Manifest]) -> Backup:
    (backup.folder / MANIFEST_FILE).write_text(change(backup.manifest).to_json())
    return Backup.at(backup.folder)


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for member, data in members:
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return content.getvalue()


def file(name: str, data: bytes, **values: Any) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.uid, member.gid = os.geteuid(), os.getegid()
    for key, value in values.items():
        setattr(member, key, value)
    return member, data


def link(name: str, target: Path) -> tuple[tarfile.TarInfo, bytes]:
    return file(name, b"", type=tarfile.SYMTYPE, linkname=str(target))


def restored(places: Places, backup: Backup, **more: Any) -> list[str]:
    machine = FakeMachine()
    plan = make_plan(backup, places, machine, identities=(), files=more.get("files", Files.MISSING))
    return Restorer(places, backup, machine).carry_out(plan)


ROWS = {
    "root": {"user": "eve", "name": "root", "uid": 0, "state": "ready"},
    "retired root": {"user": "eve", "name": "root", "uid": 0, "state": "retiring"},
    "the hub": {"user": "eve", "name": "appliance-hub", "uid": 20_005, "state": "ready"},
    "an option": {"user": "eve", "name": "--help", "uid": 20_005, "state": "ready"},
    "a way out": {"user": "eve", "name": "nb-../x", "uid": 20_005, "state": "ready"},
    "no user": {"user": "../../x", "name": "nb-x", "uid": 20_005, "state": "ready"},
    "no number": {"user": "eve", "name": "nb-x", "uid": "many", "state": "ready"},
}


@pytest.mark.parametrize("kind", ROWS)
def test_accounts_that_are_not_ours_are_refused(backup: Backup, places: Places, kind: str) -> None:
    store = {"format": 1, "next_id": 20_009, "accounts": [ROWS[kind]]}
    content = archive(file("./accounts.json", json.dumps(store).encode()))
    with pytest.raises(Hostile):
        restored(places, forged(backup, "spawner", content))


STORES = {
    "classes.json": {"classes": [{"slug": "../x", "students_group": 0, "teachers_group": 1}]},
    "service-accounts.json": {"accounts": {"culler": "root"}},
}


@pytest.mark.parametrize("name", STORES)
def test_neither_are_groups_and_services(backup: Backup, places: Places, name: str) -> None:
    content = archive(file(f"./{name}", json.dumps(STORES[name]).encode()))
    with pytest.raises(Hostile):
        restored(places, forged(backup, "spawner", content))


def test_stores_that_are_links_are_not_read(backup: Backup, places: Places, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    with pytest.raises(Hostile, match="no ordinary file"):
        restored(
            places,
            forged(backup, "spawner", archive(link("./accounts.json", tmp_path / "secret.json"))),
        )


@pytest.mark.parametrize(
    ("name", "account", "uid"),
    [
        ("home-nb-ada", "nb-ada", 0xDEAD),
        ("home-nb-ada", "root", None),
        ("home-ubuntu", "ubuntu", None),
        ("home-", "", None),
        ("home-..", "..", None),
        ("service-", "appliance-hub", None),
        ("service-culler", "root", None),
        ("class-", "", None),
        ("class-..", "", None),
    ],
)
def test_folders_of_others_are_left_alone(
    backup: Backup, places: Places, name: str, account: str, uid: int | None
) -> None:
    (places.homes / "ubuntu").mkdir()
    (places.homes / "ubuntu" / "mine").write_text("mine")
    part = backup.manifest.find("home-nb-ada")
    assert part is not None
    wrong = replace(part, name=name, account=account, uid=part.uid if uid is None else uid)
    with pytest.raises(BackupError, match=r"cannot use|damaged"):
        restored(
            places,
            lying(backup, lambda manifest: replace(manifest, parts=(*manifest.parts[:-2], wrong))),
            files=Files.ALL,
        )
    assert (places.homes / "ubuntu" / "mine").read_text() == "mine"
    assert (places.homes / "nb-bob" / "lab.ipynb").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: replace(manifest, name="../../../etc/cron.d/x"),
        lambda manifest: replace(manifest, host="\x1b]0;evil\x07"),
        lambda manifest: replace(manifest, schema="0001\n"),
        lambda manifest: replace(
            manifest, parts=(replace(manifest.parts[0], content_size=-(2**60)),)
        ),
        lambda manifest: replace(manifest, parts=(replace(manifest.parts[0], name="a\nb"),)),
    ],
)
def test_what_a_manifest_says_is_looked_at(
    backup: Backup, change: Callable[[Manifest], Manifest]
) -> None:
    with pytest.raises(BackupError, match="damaged"):
        lying(backup, change)


def test_more_than_the_manifest_says_does_not_fill_the_disk(backup: Backup, places: Places) -> None:
    content = archive(file("./big", b"\0" * 3_000_000))
    small = forged(backup, "home-nb-ada", content, content_size=20_000)
    with pytest.raises(BackupError, match="more than was put there"):
        restored(places, small, files=Files.ALL)
    assert (places.homes / "nb-ada" / "lab.ipynb").read_text() == "nb-ada"


def test_settings_become_roots_and_lead_nowhere(
    backup: Backup, places: Places, tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    content = archive(
        file("./config.yaml", b"limits:\n  memory: 2G\n", mode=0o666),
        link("./history", tmp_path / "outside"),
        link("./templates", Path("config.yaml")),
    )
    notes = restored(places, forged(backup, "settings", content))
    assert places.config_file.stat().st_mode & 0o7022 == 0
    assert not places.config_history.is_symlink()
    assert (places.settings / "templates").is_symlink()
    assert any("history leads elsewhere" in note for note in notes)


def test_settings_are_not_written_through_a_link(
    backup: Backup, places: Places, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.write_text("limits:\n  memory: 2G\nhttp:\n  address: 192.0.2.77\n")
    before = target.read_text()
    with pytest.raises(ApplianceError, match="cannot use the configuration"):
        restored(places, forged(backup, "settings", archive(link("./config.yaml", target))))
    assert target.read_text() == before


def test_root_audit_is_not_written_through_a_link(
    backup: Backup, places: Places, tmp_path: Path
) -> None:
    (places.root_audit / "audit.jsonl").write_text('{"line": 1}\n')
    target = tmp_path / "target"
    content = archive(link("./audit.jsonl", target), file("./sudoers", b"x"))
    with pytest.raises(Hostile):
        restored(places, with_audit(backup, content))
    assert not target.exists()
    assert not (places.root_audit / "sudoers").exists()


def with_audit(backup: Backup, content: bytes) -> Backup:
    assert backup.manifest.find("audit") is not None
    return forged(backup, "audit", content)


@pytest.mark.parametrize("side", ["live", "staged"])
def test_the_hubs_own_log_leads_root_nowhere(tmp_path: Path, side: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o755)
    live, staged = tmp_path / "live", tmp_path / "staged"
    for folder in (live, staged):
        if folder.name == side:
            folder.symlink_to(outside)
        else:
            folder.mkdir()
    (live / "audit.jsonl").write_text("* * * * * root evil\n")
    carry_over(live, staged, owner=None)
    left = {"audit.jsonl"} if side == "live" else set()
    assert {path.name for path in outside.iterdir()} == left
    assert outside.stat().st_mode & 0o777 == 0o755


def test_a_link_in_the_place_of_the_log_is_not_followed(tmp_path: Path) -> None:
    live, staged, target = tmp_path / "live", tmp_path / "staged", tmp_path / "target"
    live.mkdir()
    staged.mkdir()
    (live / "audit.jsonl").write_text("mine\n")
    (staged / "audit.jsonl").symlink_to(target)
    carry_over(live, staged, owner=None)
    assert not target.exists()
    assert (staged / "audit.jsonl").read_text() == "mine\n"
    assert AuditLog(staged)


def test_programs_in_class_folders_have_nobodys_rights(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("")
    outside.chmod(0o4755)
    folder = tmp_path / "class"
    (folder / "shared").mkdir(parents=True)
    (folder / "shared").chmod(0o2770)
    (folder / "shared" / "program").write_text("")
    (folder / "shared" / "program").chmod(0o6755)
    (folder / "shared" / "way").symlink_to(outside)
    take_powers(folder, "class-bio")
    assert (folder / "shared" / "program").stat().st_mode & 0o7777 == 0o755
    assert (folder / "shared").stat().st_mode & 0o7777 == 0o2770
    assert outside.stat().st_mode & 0o7777 == 0o4755


def test_owners_change_for_accounts_of_ours_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    given: list[Any] = []
    monkeypatch.setattr(os, "chown", lambda *words, **_named: given.append(words))
    give_to_same_names(tmp_path, {"users": {"root": os.geteuid() or 4242, "nobody": 0}})
    assert given == []


def test_everybodys_folder_is_no_place_for_backups(places: Places, tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o1777)
    with pytest.raises(BackupError, match="everybody on this machine"):
        create(places, Wanted(Place(folder)))
    folder.chmod(0o755)
    assert create(places, Wanted(Place(folder)))


def test_what_another_account_put_there_is_not_the_latest(
    places: Places, place: Place, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = place.folder / "2099-01-01T00-00-00Z"
    later.mkdir()
    manifest = replace(backup.manifest, created="2099-01-01T00:00:00+00:00", name=later.name)
    (later / MANIFEST_FILE).write_text(manifest.to_json())
    assert place.find("latest").folder == later
    real = Path.lstat

    def of_another(path: Path) -> os.stat_result:
        found = real(path)
        if path != later:
            return found
        return os.stat_result((*found[:4], 31_337, *found[5:]))

    monkeypatch.setattr(Path, "lstat", of_another)
    assert place.find("latest").folder == backup.folder
    with pytest.raises(BackupError, match="another account"):
        place.find(later.name)
