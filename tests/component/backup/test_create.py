"""Backups of real files by real tar, of a database that is written meanwhile, in odd places."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.backup import create as create_
from appliance.backup.create import Wanted, create
from appliance.backup.errors import BackupError, NoRoom, WrongKey
from appliance.backup.manifest import KEY_FILE, MANIFEST_FILE
from appliance.backup.place import Backup, Place, Room, only_one
from appliance.backup.sealing import make_sealing, open_key, passphrase_file
from appliance.backup.tame import check_plain
from appliance.backup.verify import verify
from appliance.errors import ApplianceError, Conflict, NotFound
from appliance.places import Places
from tests.component.backup.conftest import REAL_CHECK

ROOT = Path(__file__).parents[3]
WORD = "correct horse battery staple"


def unpacked(backup: Backup, part: str, target: Path) -> Path:
    """By the tools that people have, not by ours."""
    target.mkdir()
    found = backup.manifest.find(part)
    assert found is not None
    subprocess.run(["tar", "xzf", str(backup.folder / found.file), "-C", str(target)], check=True)
    return target


def test_all_that_a_machine_is_can_be_had_with_ordinary_tools(
    places: Places, place: Place, tmp_path: Path
) -> None:
    (places.class_files / "classes" / "bio" / "shared").mkdir(parents=True)
    (places.class_files / "classes" / "bio" / "shared" / "a.txt").write_text("task")
    (places.certificates / "pair.pem").write_text("key")
    (places.settings / "user-requirements.txt").write_text("pandas\n")
    made = create(places, Wanted(place))
    names = {part.name for part in made.backup.manifest.parts}
    assert names == {
        "spawner", "database", "hub", "certificates", "audit", "settings", "class-bio",
        "home-nb-ada", "home-nb-bob",
    }  # fmt: skip
    assert made.verified.opened
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=made.backup.folder, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    home = unpacked(made.backup, "home-nb-ada", tmp_path / "a")
    assert (home / "lab.ipynb").read_text() == "nb-ada"
    settings = unpacked(made.backup, "settings", tmp_path / "s")
    assert (settings / "user-requirements.txt").read_text() == "pandas\n"
    assert (settings / "config.yaml").exists()
    hub = unpacked(made.backup, "hub", tmp_path / "h")
    assert (hub / "xsrf.secret").exists()
    assert not list(hub.glob("*.sqlite*"))
    assert made.backup.folder.stat().st_mode & 0o777 == 0o700
    for file in made.backup.folder.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600


def test_files_of_every_kind_and_name_come_back(
    places: Places, place: Place, tmp_path: Path
) -> None:
    home = places.homes / "nb-ada"
    odd = os.fsencode(home) + b"/\xff\xfe\n-rf"
    with open(odd, "w") as file:  # noqa: PTH123 - a name that is no text
        file.write("odd")
    (home / "link").symlink_to("/etc/passwd")
    os.mkfifo(home / "fifo")
    with (home / "holes").open("wb") as holes:
        holes.truncate(2**33)
        holes.seek(2**32)
        holes.write(b"middle")
    os.link(home / "lab.ipynb", home / "hard")
    os.setxattr(home / "lab.ipynb", "user.note", b"kept")
    (home / ".cache").mkdir()
    (home / ".cache" / "big").write_text("x")
    (home / "deep" / "__pycache__").mkdir(parents=True)
    (home / "deep" / ".local" / "share" / "Trash").mkdir(parents=True)
    (home / ".local" / "share" / "Trash").mkdir(parents=True)
    (home / ".local" / "share" / "Trash" / "x").write_text("gone")
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        os.chdir(home)
        listener.bind("sock")
        os.chdir("/")
        started = time.monotonic()
        exclude = [".cache", ".local/share/Trash", "__pycache__"]
        made = create(places, Wanted(place, exclude=exclude))
    assert time.monotonic() - started < 60, "holes aren't read byte by byte"
    assert made.backup.manifest.notes_count == 0
    back = tmp_path / "back"
    back.mkdir()
    part = made.backup.manifest.find("home-nb-ada")
    assert part is not None
    subprocess.run(
        ["tar", "--xattrs", "-xzf", made.backup.folder / part.file, "-C", back], check=True
    )
    assert open(os.fsencode(back) + b"/\xff\xfe\n-rf").read() == "odd"  # noqa: PTH123, SIM115
    assert (back / "link").readlink() == Path("/etc/passwd")
    assert (back / "fifo").is_fifo()
    assert (back / "holes").stat().st_size == 2**33
    assert (back / "holes").stat().st_blocks < 1000
    assert (back / "hard").stat().st_ino == (back / "lab.ipynb").stat().st_ino
    assert os.getxattr(back / "lab.ipynb", "user.note") == b"kept"
    assert not (back / ".cache").exists()
    assert not (back / "deep" / "__pycache__").exists()
    # A path is one from the home on.
    assert (back / "deep" / ".local" / "share" / "Trash").is_dir()
    assert not (back / ".local" / "share" / "Trash").exists()


needs_devices = pytest.mark.skipif(os.geteuid() != 0, reason="root alone makes devices")


@needs_devices
def test_a_device_and_a_set_uid_program_of_roots_stop_no_backup(
    places: Places, place: Place, tmp_path: Path
) -> None:
    home, shelf = places.homes / "nb-ada", places.class_files / "classes" / "bio"
    chroot = home / ("long" * 30) / "chroot"
    chroot.mkdir(parents=True)
    for name, number in (("null", 3), ("zero", 5)):
        os.mknod(chroot / name, stat.S_IFCHR | 0o666, os.makedev(1, number))
    os.mknod(home / "disk", stat.S_IFBLK | 0o600, os.makedev(7, 0))
    os.link(home / "disk", home / "disk-too")
    program = chroot / "su"
    program.write_bytes(b"program" * 100_000)
    program.chmod(0o6755)
    (home / "zz").write_text("after all of them")
    shelf.mkdir()
    (shelf / "ping").write_text("ping")
    (shelf / "ping").chmod(0o4755)
    made = create(places, Wanted(place))
    found = {one.part: one for one in made.left_out}
    assert {name: one.count for name, one in found.items()} == {"home-nb-ada": 5, "class-bio": 1}
    notes = "\n".join(found["home-nb-ada"].notes)
    assert f"'./{'long' * 30}/chroot/null': a device, which isn't in the backup" in notes
    assert "'./disk-too': a device, which isn't in the backup" in notes
    assert "chroot/su': in the backup without its set-uid and set-gid bits" in notes
    part = made.backup.manifest.find("home-nb-ada")
    assert part is not None
    assert (part.notes_count, part.notes) == (5, found["home-nb-ada"].notes)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert verify(made.backup, scratch=scratch).restored
    back = unpacked(made.backup, "home-nb-ada", tmp_path / "back")
    assert {path.name for path in back.rglob("*") if not path.is_dir()} == {
        "lab.ipynb", "su", "zz",
    }  # fmt: skip
    (kept,) = back.rglob("su")
    assert kept.read_bytes() == program.read_bytes()
    assert kept.stat().st_mode & 0o7777 == 0o755
    assert (back / "zz").read_text() == "after all of them"


def test_what_a_restore_gives_to_root_is_plain_in_a_backup(
    places: Places, place: Place, tmp_path: Path
) -> None:
    os.mkfifo(places.settings / "fifo")
    (places.settings / "mine").write_text("mine")
    os.link(places.settings / "mine", places.settings / "mine-too")
    made = create(places, Wanted(place))
    back = unpacked(made.backup, "settings", tmp_path / "back")
    check_plain(back, "settings")
    assert (back / "mine-too").read_text() == "mine"
    (left_out,) = made.left_out
    assert left_out.notes == ("'./fifo': no ordinary file, so it isn't in the backup",)


class Writer:
    """Adds pairs of rows in one transaction, as fast as it can, as the hub would."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pairs = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE pairs (one INTEGER, filler TEXT)")

    def _run(self) -> None:
        with closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as connection:
            while not self.over.is_set():
                connection.execute("BEGIN IMMEDIATE")
                for _ in range(2):
                    row = (self.pairs, "x" * 500)
                    connection.execute("INSERT INTO pairs VALUES (?, ?)", row)
                connection.execute("COMMIT")
                self.pairs += 1


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    writer = Writer(path)
    writer.thread.start()
    try:
        yield writer
    finally:
        writer.over.set()
        writer.thread.join()


def test_the_database_is_of_one_moment_while_it_is_written(
    places: Places, place: Place, tmp_path: Path
) -> None:
    with writing(places.database) as writer:
        while writer.pairs < 50:
            time.sleep(0.01)
        counts = []
        for number in range(5):
            before = writer.pairs
            made = create(places, Wanted(place, homes=False))
            after = writer.pairs
            copy = tmp_path / f"{number}.sqlite"
            packed = made.backup.folder / "database.sqlite.gz"
            copy.write_bytes(subprocess.check_output(["gzip", "-dc", packed]))
            with closing(sqlite3.connect(copy)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                halves = connection.execute(
                    "SELECT one FROM pairs GROUP BY one HAVING count(*) != 2"
                ).fetchall()
                (count,) = connection.execute("SELECT count(DISTINCT one) FROM pairs").fetchone()
            assert halves == [], "half of a transaction"
            # What was committed before it began is in it.
            assert before <= count <= after + 1
            counts.append(count)
    assert counts == sorted(counts)
    assert counts[0] < counts[-1], "nobody wrote meanwhile, so nothing was tested"
    left = {path.name for path in places.hub_state.iterdir()}
    assert "backup.sqlite" not in left


def test_what_changes_while_it_is_read_is_noted_and_the_rest_is_whole(
    places: Places, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = places.homes / "nb-ada" / "log"
    log.write_bytes(b"x" * 20_000_000)
    real = create_.store

    def slow(*words: Any, **named: Any) -> Any:
        if "nb-ada" in str(words[1]):
            with log.open("ab") as file:
                file.write(b"more" * 1000)
        return real(*words, **named)

    monkeypatch.setattr(create_, "store", slow)
    done = threading.Event()

    def grow() -> None:
        while not done.is_set():
            with log.open("ab") as file:
                file.write(b"more")
            time.sleep(0.001)

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        made = create(places, Wanted(place))
    finally:
        done.set()
        thread.join()
    part = made.backup.manifest.find("home-nb-ada")
    assert part is not None
    assert part.notes == ("./log: file changed as we read it",)


def test_what_has_not_changed_is_stored_once(places: Places, place: Place) -> None:
    first = create(places, Wanted(place)).backup
    (places.homes / "nb-bob" / "new").write_text("more")
    second = create(places, Wanted(place)).backup
    ada = "home-nb-ada.tar.gz"
    assert (first.folder / ada).stat().st_ino == (second.folder / ada).stat().st_ino
    bob = "home-nb-bob.tar.gz"
    assert (first.folder / bob).stat().st_ino != (second.folder / bob).stat().st_ino
    place.remove(first)
    assert verify(second).opened
    assert [one.folder for one in place.all()] == [second.folder]


def test_a_damaged_file_is_found_and_not_shared_with_the_next(places: Places, place: Place) -> None:
    first = create(places, Wanted(place)).backup
    path = first.folder / "home-nb-ada.tar.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BackupError, match=r"home-nb-ada\.tar\.gz"):
        verify(first)
    second = create(places, Wanted(place)).backup
    assert verify(second).opened
    (second.folder / "database.sqlite.gz").unlink()
    with pytest.raises(BackupError, match="database"):
        verify(second)


def test_encrypted_ones_open_with_the_passphrase_alone(
    places: Places, place: Place, tmp_path: Path
) -> None:
    passphrase_file(places).write_text(f"{WORD}\n")
    (places.homes / "nb-ada" / "lab.ipynb").write_text("MARKER" * 100)
    first = create(places, Wanted(place)).backup
    second = create(places, Wanted(place)).backup
    for file in second.folder.iterdir():
        assert b"MARKER" not in file.read_bytes()
        assert b"lab.ipynb" not in file.read_bytes()
    assert "passphrase" not in (second.folder / MANIFEST_FILE).read_text()
    ada = "home-nb-ada.tar.gz.age"
    assert (first.folder / ada).stat().st_ino == (second.folder / ada).stat().st_ino
    key = (second.folder / KEY_FILE).read_bytes()
    identity = open_key(key, WORD)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = verify(second, identities=(identity,), scratch=scratch)
    assert found.opened
    assert found.restored
    assert list(scratch.iterdir()) == []
    with pytest.raises(WrongKey, match="passphrase is another one"):
        open_key(key, "wrong horse battery staple")
    with pytest.raises(WrongKey):
        open_key(key[:-3], WORD)
    other = make_sealing((), "another long passphrase").identities
    with pytest.raises(WrongKey, match="another key"):
        verify(second, identities=other)
    # Without a key the stored bytes can be compared, no more.
    assert not verify(second).opened


def test_one_for_public_keys_is_verified_and_opens_by_the_secret_key(
    places: Places, place: Place
) -> None:
    import pyrage

    owner = pyrage.x25519.Identity.generate()
    wanted = Wanted(place, recipients=[str(owner.to_public())])
    first, second = create(places, wanted), create(places, wanted)
    assert first.verified.opened
    assert second.verified.opened
    assert verify(second.backup, identities=(owner,)).opened
    assert not (second.backup.folder / KEY_FILE).exists()
    ada = "home-nb-ada.tar.gz.age"
    assert (second.backup.folder / ada).stat().st_nlink == 2


def test_encryption_that_is_asked_for_and_not_possible_is_refused(
    places: Places, place: Place
) -> None:
    with pytest.raises(BackupError, match="neither a passphrase nor a public key"):
        create(places, Wanted(place, encrypted=True))
    assert place.all() == []


def test_a_full_disk_leaves_nothing_behind(
    places: Places, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = []

    def check(_self: Room, needed: int = 0) -> None:
        checks.append(needed)
        if len(checks) > 2:
            raise NoRoom("cannot make a backup", why="full")

    (places.homes / "nb-ada" / "big").write_bytes(os.urandom(20_000_000))
    monkeypatch.setattr(create_.Room, "check", check)
    with pytest.raises(NoRoom):
        create(places, Wanted(place))
    assert list(places.backups.iterdir()) == []


def test_room_is_kept_on_a_small_disk(tmp_path: Path) -> None:
    with pytest.raises(NoRoom, match="must stay so"):
        REAL_CHECK(Room(tmp_path, beside_homes=False), 2**60)


def test_a_killed_run_is_cleaned_up_by_the_next(places: Places, place: Place) -> None:
    (places.homes / "nb-ada" / "big").write_bytes(os.urandom(60_000_000))
    program = (
        "import sys; from pathlib import Path; from appliance.backup import create as c, database;"
        "database.as_account = lambda a: []; c.Room.check = lambda s, n=0: None;"
        "from tests.fakes.backup_machine import Places; from appliance.backup.place import Place;"
        f"p = Path({str(places.state.parent)!r});"
        "q = Places(software=p/'opt', settings=p/'etc', state=p/'var', run=p/'run',"
        " homes=p/'home', class_files=p/'srv');"
        "c.create(q, c.Wanted(Place(q.backups)))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    deadline = time.monotonic() + 30
    while not list(places.backups.glob(".*.new/home-nb-ada*")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert place.all() == []
    (half,) = places.backups.iterdir()
    made = create(places, Wanted(place))
    assert made.cleaned == [half.name]
    assert [one.name for one in places.backups.iterdir()] == [made.backup.folder.name]


def test_two_at_once_are_one(places: Places, place: Place) -> None:
    with only_one(places), pytest.raises(Conflict, match="another backup"):
        create(places, Wanted(place))
    assert create(places, Wanted(place)).verified.opened


def test_a_user_who_is_removed_meanwhile_is_no_failure(places: Places, place: Place) -> None:
    def progress(doing: str, _size: int) -> None:
        if doing == "home-nb-ada":
            shutil.rmtree(places.homes / "nb-bob", ignore_errors=True)

    made = create(places, Wanted(place), progress)
    assert made.backup.manifest.find("home-nb-bob") is None
    assert made.backup.manifest.find("home-nb-ada") is not None


def test_a_home_that_is_a_link_is_not_followed(places: Places, place: Place) -> None:
    shutil.rmtree(places.homes / "nb-bob")
    (places.homes / "nb-bob").symlink_to("/etc")
    made = create(places, Wanted(place))
    assert made.backup.manifest.find("home-nb-bob") is None


def test_a_place_that_is_no_mount_or_no_folder_is_refused(places: Places, tmp_path: Path) -> None:
    missing = Place(tmp_path / "nas" / "hub")
    with pytest.raises(BackupError, match="no disk is mounted"):
        create(places, Wanted(missing, must_be_mount=True))
    assert not (tmp_path / "nas").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(BackupError, match=r"Not a directory|File exists"):
        create(places, Wanted(Place(tmp_path / "file")))


def test_names_lead_nowhere_else(places: Places, place: Place) -> None:
    for name in ("..", "nothing", "2030-01-01T00-00-00Z"):
        with pytest.raises(NotFound):
            place.find(name)
    made = create(places, Wanted(place)).backup
    assert place.find("latest").folder == made.folder
    assert place.find(str(made.folder)).folder == made.folder
    manifest = made.folder / MANIFEST_FILE
    good = json.loads(manifest.read_text())
    for key, value in (("file", "../../etc/passwd"), ("account", "x/y"), ("name", "")):
        bad = json.loads(json.dumps(good))
        bad["parts"][0][key] = value
        manifest.write_text(json.dumps(bad))
        with pytest.raises(BackupError, match="damaged"):
            Backup.at(made.folder)
    manifest.write_text(json.dumps({**good, "format": 99}))
    with pytest.raises(BackupError, match="later version"):
        Backup.at(made.folder)
    assert place.all() == []
    assert place.unreadable() == [made.folder.name]


def test_damaged_stores_are_told_before_anything_is_made(places: Places, place: Place) -> None:
    (places.spawner_state / "accounts.json").write_text("{")
    with pytest.raises(ApplianceError, match=r"accounts\.json"):
        create(places, Wanted(place))
    assert list(places.backups.iterdir()) == []


def test_many_small_files(places: Places, place: Place) -> None:
    home = places.homes / "nb-ada"
    for number in range(50):
        folder = home / f"d{number}"
        folder.mkdir()
        for file in range(200):
            (folder / f"f{file}").write_bytes(b"")
    made = create(places, Wanted(place))
    assert made.verified.files > 10_000
