"""Bringing backups back: on the same machine, on another, half way and back again."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from appliance.audit import Action, AuditLog, at_the_terminal
from appliance.backup import create as create_
from appliance.backup import ids
from appliance.backup import restore as restore_
from appliance.backup import swap as swap_
from appliance.backup.create import Wanted, create
from appliance.backup.errors import BackupError, Hostile, NoRoom
from appliance.backup.manifest import MANIFEST_FILE, Manifest
from appliance.backup.one_user import Request, restore_user
from appliance.backup.place import Backup, Place, Room
from appliance.backup.plan import Files, Plan, make_plan
from appliance.backup.restore import Restorer, heal, undo_last
from appliance.backup.sealing import open_key, passphrase_file, stored_passphrase
from appliance.backup.swap import Swap
from appliance.backup.tar import LONGEST
from appliance.backup.trees import everything_in, remove
from appliance.backup.unpack import as_user, unpack
from appliance.backup.verify import verify
from appliance.db import migrations
from appliance.errors import ApplianceError, BadRequest, Conflict, NotFound
from appliance.names import Username
from appliance.places import Places
from appliance.systemd_spawner.acl import ACCESS, CHANGE, DEFAULT, LOOK, Grant, put_list
from tests.component.backup.conftest import REAL_CHECK
from tests.fakes.backup_machine import UID, FakeMachine, places_in


def marked(places: Places, word: str) -> None:
    """Leave a word in all that is the state of a machine."""
    with closing(sqlite3.connect(places.database)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS words (word TEXT)")
        connection.execute("DELETE FROM words")
        connection.execute("INSERT INTO words VALUES (?)", (word,))
        connection.commit()
    (places.hub_state / "xsrf.secret").write_text(word)
    (places.certificates / "pair.pem").write_text(word)
    (places.settings / "user-requirements.txt").write_text(word)


def marks(places: Places) -> set[str]:
    """The words that are there."""
    with closing(sqlite3.connect(places.database)) as connection:
        (found,) = connection.execute("SELECT word FROM words").fetchone()
    files = (
        places.hub_state / "xsrf.secret", places.certificates / "pair.pem",
        places.settings / "user-requirements.txt",
    )  # fmt: skip
    return {found, *(file.read_text() for file in files)}


def plan_of(places: Places, backup: Backup, machine: FakeMachine, **more: Any) -> Plan:
    words = {"identities": (), "files": Files.MISSING, **more}
    return make_plan(backup, places, machine, **words)


def restored(places: Places, backup: Backup, machine: FakeMachine, **more: Any) -> list[str]:
    plan = plan_of(places, backup, machine, **more)
    return Restorer(places, backup, machine, more.get("identities", ())).carry_out(plan)


@pytest.fixture
def backup(places: Places, place: Place) -> Backup:
    marked(places, "then")
    return create(places, Wanted(place)).backup


@pytest.fixture
def machine() -> FakeMachine:
    return FakeMachine()


@pytest.fixture
def new(tmp_path: Path) -> Places:
    """Another machine, on which the appliance was just installed."""
    return places_in(tmp_path / "new")


def test_on_the_same_machine_the_state_goes_back_and_files_stay(
    places: Places, backup: Backup, machine: FakeMachine
) -> None:
    marked(places, "now")
    (places.homes / "nb-ada" / "today.txt").write_text("work of today")
    shutil.rmtree(places.homes / "nb-bob")
    restored(places, backup, machine)
    assert marks(places) == {"then"}
    assert (places.homes / "nb-ada" / "today.txt").exists()
    assert (places.homes / "nb-bob" / "lab.ipynb").read_text() == "nb-bob"
    assert machine.did == ["accounts nb-ada,nb-bob", "stop", "render", "start", "wait"]
    # And back to what was before, as often as somebody likes.
    assert undo_last(places, machine) == backup.manifest.name
    assert marks(places) == {"now"}
    assert not (places.homes / "nb-bob").exists()
    with pytest.raises(NotFound, match="cannot undo"):
        undo_last(places, machine)
    restored(places, backup, machine)
    assert marks(places) == {"then"}


def test_all_files_go_back_if_asked_for(
    places: Places, backup: Backup, machine: FakeMachine
) -> None:
    lab = places.homes / "nb-ada" / "lab.ipynb"
    lab.write_text("spoilt")
    restored(places, backup, machine, files=Files.ALL)
    assert lab.read_text() == "nb-ada"
    undo_last(places, machine)
    assert lab.read_text() == "spoilt"


def test_a_new_machine_becomes_the_old_one(
    places: Places, new: Places, place: Place, machine: FakeMachine
) -> None:
    marked(places, "then")
    shared = places.class_files / "classes" / "bio" / "shared"
    shared.mkdir(parents=True)
    (shared / "task.txt").write_text("task")
    (places.class_files / "archives" / "old-class").mkdir()
    (places.class_files / "archives" / "old-class" / "ada.tar.gz").write_text("x")
    folder = places.state / "services" / "culler"
    folder.mkdir(parents=True)
    (folder / "state").write_text("kept")
    stores = {"format": 1, "accounts": {"culler": "svc-culler"}}
    (places.spawner_state / "service-accounts.json").write_text(json.dumps(stores))
    backup = create(places, Wanted(place)).backup
    marked(new, "fresh")
    restored(new, backup, machine)
    assert marks(new) == {"then"}
    for name in ("nb-ada", "nb-bob"):
        assert (new.homes / name / "lab.ipynb").read_text() == name
        assert (new.homes / name).stat().st_mode & 0o777 == 0o700
    assert (new.class_files / "classes/bio/shared/task.txt").read_text() == "task"
    assert (new.class_files / "archives/old-class/ada.tar.gz").read_text() == "x"
    assert (new.state / "services/culler/state").read_text() == "kept"
    accounts = json.loads((new.spawner_state / "accounts.json").read_text())
    assert accounts["next_id"] == 20_002
    assert [row["uid"] for row in accounts["accounts"]] == [UID, UID + 1]
    assert new.config_file.read_text() == places.config_file.read_text()
    assert (new.hub_state.stat().st_mode & 0o777) == 0o700


def test_an_encrypted_one_goes_on_being_encrypted_on_the_new_machine(
    places: Places, new: Places, place: Place, machine: FakeMachine
) -> None:
    word = "correct horse battery staple"
    passphrase_file(places).write_text(word)
    marked(places, "then")
    backup = create(places, Wanted(place)).backup
    keys = (open_key((backup.folder / "key.age").read_bytes(), word),)
    plan = plan_of(new, backup, machine, identities=keys)
    Restorer(new, backup, machine, keys, word).carry_out(plan)
    assert marks(new) == {"then"}
    assert stored_passphrase(new) == word
    assert passphrase_file(new).stat().st_mode & 0o777 == 0o600


def test_the_audit_log_loses_nothing(
    places: Places, new: Places, place: Place, machine: FakeMachine
) -> None:
    marked(places, "then")

    def note(where: Path, *targets: str) -> None:
        AuditLog(where).add(at_the_terminal(), Action.CREATE_USER, list(targets))

    note(places.hub_audit, "before")
    note(places.root_audit, "before")
    backup = create(places, Wanted(place)).backup
    note(places.hub_audit, "after")
    note(new.hub_audit, "on the new machine")
    note(new.root_audit, "on the new machine")
    restored(places, backup, machine)
    lines = (places.hub_audit / "audit.jsonl").read_text()
    assert lines.count('"before"') == 1
    assert lines.count('"after"') == 1
    restored(new, backup, machine)
    for log in (new.hub_audit, new.root_audit):
        targets = [json.loads(line)["targets"] for line in (log / "audit.jsonl").open()]
        assert targets[:2] == [["before"], ["on the new machine"]]
    assert targets[-1] == [backup.manifest.name]


@pytest.mark.parametrize("verb", ["stop", "render", "start", "wait"])
def test_what_fails_on_the_way_leaves_all_as_it_was(
    places: Places, backup: Backup, verb: str
) -> None:
    marked(places, "now")
    shutil.rmtree(places.homes / "nb-bob")
    machine = FakeMachine(fails_at=verb)
    with pytest.raises(BackupError, match="all is as it was before"):
        restored(places, backup, machine)
    assert marks(places) == {"now"}
    assert not (places.homes / "nb-bob").exists()
    assert machine.did[-1] == "start"
    assert not Swap(places).is_cut_off
    restored(places, backup, machine)
    assert marks(places) == {"then"}


class PowerCut(BaseException):
    """Nothing runs after it."""


def test_a_power_cut_at_any_rename_is_healed(
    places: Places, backup: Backup, machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(places.homes / "nb-bob")
    marked(places, "now")
    real = swap_.Item.swap
    cuts = 0
    while True:
        count = 0

        def cut(item: Any, at: int = cuts) -> None:
            nonlocal count
            if count == at:
                raise PowerCut
            count += 1
            real(item)

        with monkeypatch.context() as patched:
            patched.setattr(swap_.Item, "swap", cut)
            # A dead machine puts nothing back.
            patched.setattr(restore_, "undo", lambda *_words: None)
            try:
                restored(places, backup, machine)
            except PowerCut:
                assert Swap(places).is_cut_off
            else:
                break
        assert heal(places, machine)
        assert not heal(places, machine)
        assert marks(places) == {"now"}
        assert not (places.homes / "nb-bob").exists()
        cuts += 1
    assert cuts >= 5
    assert marks(places) == {"then"}


def test_a_new_restore_heals_one_that_was_cut_off(
    places: Places, backup: Backup, machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked(places, "now")
    with monkeypatch.context() as patched:
        patched.setattr(restore_, "undo", lambda *_words: None)
        with pytest.raises(ApplianceError):
            restored(places, backup, FakeMachine(fails_at="render"))
    assert Swap(places).is_cut_off
    restored(places, backup, machine)
    assert marks(places) == {"then"}
    undo_last(places, machine)
    assert marks(places) == {"now"}


def test_users_since_then_keep_their_numbers_to_themselves(
    places: Places, backup: Backup, machine: FakeMachine
) -> None:
    store = places.spawner_state / "accounts.json"
    now = json.loads(store.read_text())
    now["accounts"][1]["state"] = "retired"
    now["accounts"].append({"user": "eve", "name": "nb-eve", "uid": 20_002, "state": "ready"})
    now["next_id"] = 20_003
    store.write_text(json.dumps(now))
    plan = plan_of(places, backup, machine)
    assert plan.merged.to_unseal == [("nb-bob", UID + 1)]
    restored(places, backup, machine)
    found = json.loads(store.read_text())
    states = {row["name"]: row["state"] for row in found["accounts"]}
    assert states == {"nb-ada": "ready", "nb-bob": "ready", "nb-eve": "retiring"}
    assert found["next_id"] == 20_003


def test_what_another_has_on_this_machine_is_in_the_way(
    new: Places, backup: Backup, machine: FakeMachine
) -> None:
    rows = [{"user": "zoe", "name": "nb-zoe", "uid": UID, "state": "ready"}]
    store = {"format": 1, "next_id": 20_001, "accounts": rows}
    (new.spawner_state / "accounts.json").write_text(json.dumps(store))
    marked(new, "fresh")
    with pytest.raises(Conflict, match=f"the id {UID} is nb-ada's in the backup"):
        restored(new, backup, machine)
    (new.spawner_state / "accounts.json").unlink()
    machine.in_the_way = ["the id 20000 of nb-ada is the Unix account mallory's here"]
    with pytest.raises(Conflict, match="mallory"):
        restored(new, backup, machine)
    assert marks(new) == {"fresh"}
    assert machine.did == []


def changed(backup: Backup, change: Callable[[Manifest], Manifest]) -> Backup:
    """The backup with another manifest."""
    manifest = change(backup.manifest)
    (backup.folder / MANIFEST_FILE).write_text(manifest.to_json())
    return Backup.at(backup.folder)


def test_a_database_of_a_later_version_is_refused_in_words(
    places: Places, backup: Backup, machine: FakeMachine
) -> None:
    later = changed(backup, lambda manifest: replace(manifest, schema="9999"))
    with pytest.raises(BackupError, match="schema 9999"):
        plan_of(places, later, machine)
    assert migrations.HEAD != "9999"
    earlier = changed(backup, lambda manifest: replace(manifest, schema="0001"))
    assert any("earlier version" in note for note in plan_of(places, earlier, machine).notes)


def test_a_damaged_backup_changes_nothing(
    places: Places, backup: Backup, machine: FakeMachine
) -> None:
    marked(places, "now")
    path = backup.folder / "home-nb-ada.tar.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BackupError, match="home-nb-ada"):
        restored(places, backup, machine)
    assert marks(places) == {"now"}
    assert machine.did == []


def test_too_little_room_changes_nothing(
    places: Places, backup: Backup, machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = replace(backup.manifest.parts[-1], content_size=2**60)
    monkeypatch.setattr(Room, "check", REAL_CHECK)
    monkeypatch.setattr(restore_, "verify", lambda *_words, **_named: None)
    plan = plan_of(places, backup, machine, files=Files.ALL)
    plan.files[-1] = replace(plan.files[-1], part=huge)
    with pytest.raises(NoRoom):
        Restorer(places, backup, machine).carry_out(plan)
    assert machine.did == []


def test_an_address_of_the_old_machine_is_dropped(
    places: Places, new: Places, place: Place, machine: FakeMachine
) -> None:
    places.config_file.write_text("http:\n  address: 192.0.2.77\n  port: 8081\n")
    backup = create(places, Wanted(place)).backup
    notes = restored(new, backup, machine)
    assert any("192.0.2.77" in note for note in notes)
    assert "192.0.2.77" not in new.config_file.read_text()
    assert "8081" in new.config_file.read_text()


def evil(name: str, **values: Any) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    for key, value in values.items():
        setattr(member, key, value)
    return member


EVIL = {
    "above": evil("../../outside"),
    "absolute": evil("/tmp/outside"),
    "inside": evil("./a/../../outside"),
    "device": evil("./null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    "hard link": evil("./a", type=tarfile.LNKTYPE, linkname="../../../etc/passwd"),
    "root's program": evil("./su", mode=0o4755),
}


@pytest.mark.parametrize("kind", EVIL)
def test_what_no_backup_of_ours_holds_is_refused(
    backup: Backup, places: Places, machine: FakeMachine, kind: str
) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(EVIL[kind])
    put_in(backup, content.getvalue())
    with pytest.raises(Hostile):
        verify(Backup.at(backup.folder))
    marked(places, "now")
    with pytest.raises(Hostile):
        restored(places, Backup.at(backup.folder), machine)
    assert marks(places) == {"now"}


def put_in(backup: Backup, content: bytes) -> None:
    """A manifest that is right about an archive that is wrong."""
    import gzip

    packed = gzip.compress(content)
    part = backup.manifest.find("home-nb-ada")
    assert part is not None
    (backup.folder / part.file).write_bytes(packed)
    wrong = replace(
        part, size=len(packed), sha256=sha256(packed).hexdigest(),
        content_size=len(content), content_sha256=sha256(content).hexdigest(),
    )  # fmt: skip
    parts = tuple(wrong if one is part else one for one in backup.manifest.parts)
    changed(backup, lambda manifest: replace(manifest, parts=parts))


def test_nothing_is_written_through_a_link(backup: Backup, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.addfile(evil("./way", type=tarfile.SYMTYPE, linkname=str(outside)))
        member = evil("./way/in", size=4)
        tar.addfile(member, io.BytesIO(b"evil"))
    put_in(backup, content.getvalue())
    target = tmp_path / "target"
    target.mkdir()
    part = Backup.at(backup.folder).manifest.find("home-nb-ada")
    assert part is not None
    with pytest.raises(BackupError):
        unpack(Backup.at(backup.folder), part, target, identities=(), keep_owners=False)
    assert list(outside.iterdir()) == []


def one(places: Places, backup: Backup, user: str, file: str = "") -> Path:
    return restore_user(
        places, backup, Request(Username(user), file), identities=(), prefix=lambda *_words: []
    )


def test_one_users_files_come_back_beside_what_is_there(places: Places, place: Place) -> None:
    home = places.homes / "nb-ada"
    (home / "deep").mkdir()
    (home / "deep" / "a[1] *.txt").write_text("old")
    backup = create(places, Wanted(place)).backup
    (home / "lab.ipynb").write_text("spoilt")
    folder = one(places, backup, "ada")
    assert folder == home / f"restored-{backup.manifest.name}"
    assert (folder / "lab.ipynb").read_text() == "nb-ada"
    assert (home / "lab.ipynb").read_text() == "spoilt"
    single = one(places, backup, "ada", "deep/a[1] *.txt")
    assert single.name.endswith("-2")
    assert [str(path.relative_to(single)) for path in single.rglob("*") if path.is_file()] == [
        "deep/a[1] *.txt"
    ]
    for wrong in ("../nb-bob/lab.ipynb", "/etc/passwd"):
        with pytest.raises(BadRequest):
            one(places, backup, "ada", wrong)
    with pytest.raises(NotFound, match="no file or folder of that name"):
        one(places, backup, "ada", "nothing.txt")
    with pytest.raises(NotFound, match="no such user"):
        one(places, backup, "zoe")


def test_a_link_in_the_place_of_the_folder_is_not_followed(
    places: Places, backup: Backup, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (places.homes / "nb-ada" / f"restored-{backup.manifest.name}").symlink_to(outside)
    folder = one(places, backup, "ada")
    assert folder.name.endswith("-2")
    assert list(outside.iterdir()) == []
    assert os.geteuid() == UID


def dig(folder: Path, levels: int, name: str = "a") -> None:
    """Folders in folders, as a loop in a notebook makes them; a file in the last."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    program = os.open("program", os.O_WRONLY | os.O_CREAT, dir_fd=here)
    if os.geteuid() == 0:
        os.fchown(program, 20_007, 20_007)
    os.fchmod(program, 0o4755)
    os.close(program)
    os.close(here)


@pytest.fixture
def undug(tmp_path: Path) -> Iterator[None]:
    """pytest can't remove such folders either."""
    yield
    for folder in list(tmp_path.iterdir()):
        remove(folder)


@pytest.mark.usefixtures("undug")
def test_no_depth_of_folders_is_in_the_way_of_a_restore(
    places: Places, place: Place, machine: FakeMachine
) -> None:
    shared = places.class_files / "classes" / "bio" / "shared"
    shared.mkdir(parents=True)
    dig(shared, 1100)
    dig(places.homes / "nb-ada", 2050)
    dig(places.homes / "nb-bob", 30, "b" * 200)
    made = create(places, Wanted(place)).backup
    for _ in range(2):
        # What the first one kept of before goes with the second.
        restored(places, made, machine, files=Files.ALL)
    kept = [entry.shown for entry in everything_in(places.homes / "nb-ada")]
    assert "lab.ipynb" in kept
    # What no path leads to is left out.
    assert LONGEST - 10 < max(map(len, kept)) < LONGEST
    assert (places.homes / "nb-bob" / "lab.ipynb").read_text() == "nb-bob"
    [program] = [one for one in everything_in(shared) if one.name == "program"]
    assert (program.shown.count("/"), program.status.st_mode & 0o7777) == (1100, 0o755)


def test_what_containers_leave_in_homes_is_in_nobodys_way(
    places: Places, new: Places, place: Place, machine: FakeMachine
) -> None:
    shared = places.class_files / "classes" / "bio"
    shared.mkdir(parents=True)
    for folder in (places.homes / "nb-ada", shared):
        # A whiteout, for which nobody needs a right.
        os.mknod(folder / "gone", stat.S_IFCHR | 0o600, os.makedev(0, 0))
    restored(new, create(places, Wanted(place)).backup, machine)
    assert (new.homes / "nb-ada" / "lab.ipynb").read_text() == "nb-ada"
    assert stat.S_ISCHR((new.homes / "nb-ada" / "gone").lstat().st_mode)


class RealOwners(FakeMachine):
    """Homes are unpacked by processes of the users', as on a real machine."""

    def as_user(self, uid: int) -> list[str]:
        return as_user(uid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become others")
def test_homes_are_their_owners_and_class_files_keep_their_access_lists(
    places: Places, new: Places, place: Place
) -> None:
    rows = [{"user": "amy", "name": "nb-amy", "uid": 20_007, "state": "ready"}]
    store = {"format": 1, "next_id": 20_008, "accounts": rows}
    (places.spawner_state / "accounts.json").write_text(json.dumps(store))
    home = places.homes / "nb-amy"
    home.mkdir(mode=0o700)
    (home / "mine").write_text("x")
    (home / "program").write_text("x")
    (home / "program").chmod(0o4755)
    (home / "roots").write_text("x")
    for path in (home, home / "mine", home / "program"):
        os.chown(path, 20_007, 20_007)
    shared = places.class_files / "classes" / "bio" / "shared"
    shared.mkdir(parents=True)
    folder = os.open(shared, os.O_RDONLY)
    grants = [Grant(CHANGE, group=10_001), Grant(LOOK, group=10_000)]
    put_list(folder, grants, inherited=grants)
    os.close(folder)
    (shared / "by-amy").write_text("x")
    os.chown(shared / "by-amy", 20_007, 20_007)
    lists = [os.getxattr(shared, name) for name in (ACCESS, DEFAULT)]
    backup = create(places, Wanted(place)).backup
    restored(new, backup, RealOwners())
    back = new.homes / "nb-amy"
    for path in (back, back / "mine", back / "program", back / "roots"):
        assert (path.stat().st_uid, path.stat().st_gid) == (20_007, 20_007)
    again = new.class_files / "classes" / "bio" / "shared"
    assert [os.getxattr(again, name) for name in (ACCESS, DEFAULT)] == lists
    assert (again / "by-amy").stat().st_uid == 20_007
    assert os.getxattr(again / "by-amy", ACCESS) == os.getxattr(shared / "by-amy", ACCESS)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_keys_are_for_the_same_program_where_it_has_another_number(
    places: Places, new: Places, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each machine counts its system accounts for itself."""
    there, here = 996, 4_242
    numbers = {"users": {}, "groups": {"appliance-proxy": there}}
    monkeypatch.setattr(create_, "system_ids", lambda: numbers)
    monkeypatch.setattr(ids, "gid_of", {"appliance-proxy": here}.get)
    pair = places.certificates / "pair.pem"
    pair.write_text("key")
    pair.chmod(0o640)
    os.chown(pair, 0, there)
    restored(new, create(places, Wanted(place)).backup, ProxysOwn())
    status = (new.certificates / "pair.pem").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (0, here, 0o640)


class ProxysOwn(FakeMachine):
    def system_id(self, account: str) -> tuple[int, int]:
        return (4_242, 4_242) if account == "appliance-proxy" else super().system_id(account)
