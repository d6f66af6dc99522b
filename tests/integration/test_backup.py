"""Backups of a machine that is at work: made, damaged, brought back, each as its owner."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.fakes.wheels import make_wheel
from tests.integration.classroom import wait_for
from tests.integration.images import Debian
from tests.integration.preloaded import Preloaded, open_native

pytestmark = pytest.mark.machine

PLACE: Final = "/var/lib/appliance/backups"
SHARED: Final = "/srv/appliance/classes/biology/shared"
# The test machine's disk is a layer, whose lower folders can't be moved.
OWN_LAYER: Final = """\
cd /var/lib/appliance
for folder in $PWD/hub $PWD/spawner $PWD/certificates /etc/appliance; do
  cp -a $folder $folder.copy && rm -rf $folder && mv $folder.copy $folder
done
"""
ACCESS: Final = f"""\
python3 -c 'import os
for path in "{SHARED}", "{SHARED}/task.txt", "{SHARED}/..":
    status = os.stat(path)
    lists = {{name: os.getxattr(path, name) for name in os.listxattr(path)}}
    print(status.st_uid, status.st_gid, oct(status.st_mode), lists)'
"""
OVERDUE: Final = """\
import datetime, json, pathlib, time
folder = pathlib.Path("/var/lib/appliance/upkeep")
since = datetime.datetime.now().astimezone() - datetime.timedelta(days=2)
(folder / "backup.json").write_text(json.dumps({"since": since.isoformat()}))
# What else a round would do needs a network.
names = ("environment", "updates", "next-python")
(folder / "last.json").write_text(json.dumps(dict.fromkeys(names, time.time())))
"""
COUNT: Final = """\
import threading, time
def count():
    for number in range(10**6):
        with open("count.txt", "a") as file:
            file.write(f"{number}\\n")
        time.sleep(0.01)
threading.Thread(target=count, daemon=True).start()
"""
# One bit is lost, as disks do it.
FLIP: Final = """\
python3 -c 'import sys
path = sys.argv[1]
data = bytearray(open(path, "rb").read())
data[len(data) // 2] ^= 1
open(path, "wb").write(data)' """

WHEELS: Final = "/srv/wheels"
HAS_PACKAGE: Final = "/opt/appliance/user/bin/python -c 'import tinytool'"


class Room:
    """A machine with people, files, a class and a notebook that counts."""

    def __init__(self, room: Preloaded) -> None:
        self.room = room
        self.machine = room.machine

    def sh(self, line: str, **words: Any) -> str:
        return self.machine.execute(line, timeout=120, **words)

    def answer(self, line: str) -> Any:
        return json.loads(self.sh(line))

    def users(self) -> list[str]:
        return sorted(one["name"] for one in self.answer("appliance user list --json"))

    def put_wheel(self) -> None:
        """A package for everybody, in a folder of the machine's owner."""
        with tempfile.TemporaryDirectory() as folder:
            wheel = make_wheel(Path(folder), "tinytool", "1.0")
            self.machine.write_file(f"{WHEELS}/{wheel.name}", wheel.read_bytes())

    def install_package(self) -> None:
        self.put_wheel()
        self.sh(f"appliance env install tinytool --wheels {WHEELS}")

    def log_in(self, user: str, password: str) -> bool:
        """Whether the pages let somebody in."""
        self.machine.write_file("/root/password", password, mode=0o600)
        told = self.sh(
            "cd /root; rm -f jar;"
            " xsrf=$(curl -sS -c jar http://127.0.0.1/hub/login"
            ' | sed -n \'s/.*name="_xsrf" value="\\([^"]*\\)".*/\\1/p\' | head -1);'
            " curl -sS -o /dev/null -w '%{http_code} %{redirect_url}' -b jar -c jar"
            f" --data-urlencode _xsrf=$xsrf --data-urlencode username={user}"
            " --data-urlencode password@password http://127.0.0.1/hub/login"
        )
        return told.startswith("302")


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    with open_native(Debian.BOOKWORM) as preloaded:
        found = Room(preloaded)
        found.sh("systemctl stop appliance-upkeep.timer")
        found.sh(OWN_LAYER)
        found.sh("systemctl restart appliance-hub appliance-spawner appliance-proxy")
        preloaded.add("cat")
        found.sh("appliance user add amy")
        preloaded.add("bob")
        found.machine.execute("appliance user passwd amy --stdin", stdin="violet lantern seventeen")
        found.sh("appliance class add biology --teacher cat")
        preloaded.start("cat")
        yield found


def test_made_while_a_kernel_counts_verified_and_brought_back(room: Room) -> None:
    preloaded = room.room
    room.machine.wait_until(f"test -d {SHARED}")
    room.sh(f"echo task >{SHARED}/task.txt")
    access = room.sh(ACCESS)
    room.sh("appliance config set limits.memory 700M")
    kernel = preloaded.start_kernel("cat")
    preloaded.run("cat", kernel, COUNT)
    room.machine.wait_until("test -s /home/nb-cat/count.txt")
    room.machine.write_file("/etc/appliance/user-requirements.txt", "")
    # What only root could have put there.
    room.sh(f"cd {SHARED} && cp /bin/su su && chmod 4755 su; mknod /home/nb-cat/null c 1 3")
    servers = room.sh("systemctl show -p MainPID --value appliance-user-cat.service")
    room.sh("systemctl start appliance-backup.service")
    journal = room.machine.journal("appliance-backup.service")
    (backup,) = room.answer("appliance backup list --json")
    assert backup["scheduled"], journal
    assert room.sh("systemctl show -p MainPID --value appliance-user-cat.service") == servers
    assert room.sh(f"stat -c '%U %a' {backup['path']}") == "root 700\n"
    found = room.answer("appliance backup verify --by-restoring --json")
    assert found["restored"]
    finding = room.answer("cat /var/lib/appliance/health/backup.json")
    assert finding["severity"] == "ok", finding
    assert finding["details"]["left_out"] == {"class-biology": 1, "home-nb-cat": 1}
    assert "home-nb-cat: './null': a device, which isn't in the backup" in journal
    for name in ("hub.sqlite", "hub.sqlite-wal", "hub.sqlite-shm"):
        assert room.sh(f"stat -c %U /var/lib/appliance/hub/{name}") == "appliance-hub\n"
    # Everything is lost or changed.
    room.sh("rm -rf /srv/appliance/classes/biology; echo x >/home/nb-cat/today.txt")
    room.sh("appliance user remove bob --yes && appliance user add eve")
    room.sh("appliance config set limits.memory 800M")
    room.machine.execute("appliance user passwd amy --stdin", stdin="copper window eleven")
    told = room.sh("appliance restore latest --dry-run")
    assert "1 running server will be stopped" in told
    assert room.users() == ["ada", "amy", "cat", "eve"]
    room.sh("appliance restore latest --yes")
    assert room.users() == ["ada", "amy", "bob", "cat"]
    assert room.sh("appliance config get limits.memory") == "700M\n"
    assert room.log_in("amy", "violet lantern seventeen")
    assert not room.log_in("amy", "copper window eleven")
    assert room.sh("cat /home/nb-cat/today.txt") == "x\n"
    assert room.sh(ACCESS) == access
    assert room.sh(f"stat -c '%U %a' {SHARED}/su") == "root 755\n"
    accounts = room.answer("cat /var/lib/appliance/spawner/accounts.json")["accounts"]
    assert len({row["uid"] for row in accounts}) == len(accounts)
    preloaded.start("cat")
    preloaded.start("bob")
    assert "backup.restore" in room.sh("appliance audit --action backup.")


def test_one_users_file_comes_back_while_the_server_runs(room: Room) -> None:
    room.sh("echo spoilt >/home/nb-cat/count.txt")
    told = room.answer("appliance restore latest --user cat --file count.txt --json")
    folder = told["folder"]
    assert room.sh(f"stat -c '%U %a' {folder}") == "nb-cat 700\n"
    assert room.sh(f"head -1 {folder}/count.txt") == "0\n"
    assert room.sh("cat /home/nb-cat/count.txt") == "spoilt\n"
    room.machine.fail("appliance restore latest --user cat --file ../nb-bob/x")


def test_undone(room: Room) -> None:
    room.sh("appliance restore --undo --yes")
    assert room.users() == ["ada", "amy", "cat", "eve"]
    assert room.log_in("amy", "copper window eleven")


def test_due_ones_are_made_by_themselves_and_the_last_of_a_day_is_kept(room: Room) -> None:
    room.sh("appliance backup create --without-homes")

    def names(*, scheduled: bool) -> set[str]:
        found = room.answer("appliance backup list --json")
        return {one["name"] for one in found if one["scheduled"] is scheduled}

    old, by_hand = names(scheduled=True), names(scheduled=False)
    assert len(old) == 1
    assert by_hand
    room.sh("systemctl is-enabled appliance-upkeep.timer")
    # Two days ago somebody began to want backups, and none was made.
    room.machine.write_file("/root/overdue.py", OVERDUE)
    room.sh("appliance config set backup.at $(date -d '-6 hours' +%H:%M)")
    room.sh("python3 /root/overdue.py; systemctl start appliance-upkeep.service")
    (new,) = wait_for(lambda: names(scheduled=True) - old, bool)
    room.machine.wait_until("! systemctl is-active -q appliance-backup.service")
    # At midnight the old one is the last of its own day.
    assert names(scheduled=True) == {new, *(one for one in old if one[:10] != new[:10])}
    assert names(scheduled=False) == by_hand
    # Once a night, not once a round.
    room.sh("systemctl start appliance-upkeep.service")
    room.machine.fail("systemctl is-active appliance-backup.service")


def test_encrypted_and_a_wrong_passphrase(room: Room) -> None:
    word = room.sh("appliance backup passphrase --generate").split()[0]
    room.sh("appliance backup create --without-homes")
    (backup, *_) = room.answer("appliance backup list --json")
    assert backup["encrypted"]
    parts = f"find {backup['path']} -name '*.age'"
    assert room.sh(f"{parts} -exec head -qn1 {{}} + | sort -u") == "age-encryption.org/v1\n"
    room.sh("appliance backup passphrase --forget")
    wrong = room.machine.attempt(
        "appliance restore latest --passphrase-stdin --yes", stdin="this is another one"
    )
    assert wrong.code == 1
    assert "the passphrase is another one" in wrong.stderr
    found = json.loads(
        room.machine.execute(
            "appliance backup verify --passphrase-stdin --json", stdin=word, timeout=120
        )
    )
    assert found["opened"]


def test_a_restore_that_was_cut_off_is_mended_before_the_programs_start(room: Room) -> None:
    room.sh(
        "systemctl stop appliance.target appliance-hub appliance-spawner"
        " appliance-hub.socket appliance-hub-admin.socket appliance-spawner.socket;"
        # What a power cut in the middle leaves: the hub's folder is exchanged, no other is.
        " cd /var/lib/appliance && cp -a hub restoring/other && rm restoring/other/hub.sqlite*"
        " && mv hub restoring/kept && mv restoring/other hub && mv restoring/kept restoring/other"
        ' && printf \'{"backup": "x", "items": [{"live": "%s", "staged": "%s", "inode": %s}]}\''
        " $PWD/hub $PWD/restoring/other $(stat -c %i hub) >restoring/journal.json"
        " && touch restoring/swapping && systemctl start appliance.target"
    )
    room.machine.wait_until("appliance status >/dev/null")
    assert room.users() == ["ada", "amy", "cat", "eve"]
    assert "a restore was cut off" in room.machine.journal("appliance-restore.service")


def test_a_hub_that_lost_its_database_says_so_until_it_is_brought_back(room: Room) -> None:
    room.machine.allowed.errors += [
        "cannot start: cannot find the appliance's accounts",
        "Failed to start appliance-hub.service",
    ]
    room.sh("appliance backup create --without-homes")
    place = "/var/lib/appliance/hub"
    room.sh(f"systemctl stop appliance-hub.service; rm {place}/hub.sqlite*")
    room.machine.wait_until("appliance status | grep -q 'and it is gone'")
    status = room.machine.attempt("appliance status").stdout
    assert f"there was a database {place}/hub.sqlite, and it is gone" in status
    page = room.sh("curl -sS -H 'Accept: text/html' http://127.0.0.1/hub/signup")
    assert "<code>sudo appliance restore NAME</code>" in page
    examined = room.machine.attempt("appliance doctor", timeout=120).stdout
    assert "the hub can't open its database" in examined
    assert f"sudo mv {place} {place}.lost" in examined
    room.machine.fail(f"test -e {place}/hub.sqlite")
    assert "there is no database" in room.machine.attempt("appliance backup create").stderr
    room.sh("appliance restore latest --yes")
    assert room.users() == ["ada", "amy", "cat", "eve"]
    # Or they have no use for who there was.
    room.sh(f"systemctl stop appliance-hub.service; rm {place}/hub.sqlite*")
    room.sh(f"mv {place} {place}.lost")
    room.machine.wait_until("appliance status >/dev/null")
    assert room.users() == []
    room.sh("appliance restore latest --yes")
    assert room.users() == ["ada", "amy", "cat", "eve"]


def test_a_damaged_one_is_neither_well_nor_brought_back(room: Room) -> None:
    room.sh("appliance backup create --without-homes")
    (backup, *_) = room.answer("appliance backup list --json")
    users = room.users()
    for name in ("database.sqlite.gz", "hub.tar.gz"):
        part = f"{backup['path']}/{name}"
        room.sh(f"cp {part} /root/part; {FLIP} {part}")
        for command in ("backup verify", "restore latest --yes"):
            refused = room.machine.attempt(f"appliance {command}", timeout=120)
            assert refused.code == 1, refused.describe()
            assert name in refused.stderr
        room.sh(f"cp /root/part {part}")
    assert room.users() == users
    room.sh("appliance backup verify")


@pytest.mark.long
def test_packages_are_those_of_the_backup_without_a_network(room: Room) -> None:
    room.install_package()
    room.sh("appliance backup create --without-homes")
    room.sh(f"rm -r {WHEELS}; appliance env remove tinytool")
    room.machine.fail(HAS_PACKAGE)
    told = room.sh("appliance restore latest --yes")
    assert "yet to be built" not in told
    room.sh(HAS_PACKAGE)


@pytest.mark.long
def test_a_new_machine_with_another_release_becomes_the_old_one(room: Room) -> None:
    """Debian 12's backup on 13: passwords, numbers, settings, packages, certificate, files."""
    room.install_package()
    word = room.sh("appliance backup passphrase --generate").split()[0]
    room.machine.execute("appliance user passwd amy --stdin", stdin="copper window eleven")
    room.sh("echo authority >/var/lib/appliance/certificates/ca.crt")
    room.sh(f"mkdir -p {SHARED}; echo task >{SHARED}/task.txt")
    room.sh("appliance backup create --to /root/out")
    packed = room.sh("cd /root/out && tar cf - 2* | base64 -w0")
    ids = room.answer("cat /var/lib/appliance/spawner/accounts.json")["accounts"]
    with open_native(Debian.TRIXIE) as preloaded:
        new = Room(preloaded)
        new.sh("systemctl stop appliance-upkeep.timer")
        new.sh(OWN_LAYER)
        new.sh("systemctl restart appliance-hub appliance-spawner appliance-proxy")
        new.put_wheel()
        new.machine.write_file("/root/in.base64", packed)
        new.sh("mkdir /root/in && cd /root/in && base64 -d ../in.base64 | tar xf -")
        told = new.machine.execute(
            "appliance restore /root/in/2* --passphrase-stdin --yes", stdin=word, timeout=300
        )
        assert "packages are yet to be built: sudo appliance env repair" in told
        new.sh(f"appliance env repair --wheels {WHEELS}")
        new.sh(HAS_PACKAGE)
        assert new.users() == room.users()
        assert new.log_in("amy", "copper window eleven")
        found = new.answer("cat /var/lib/appliance/spawner/accounts.json")["accounts"]
        assert [row for row in found if row in ids] == ids
        for row in ids:
            if row["state"] == "ready":
                assert new.sh(f"id -u {row['name']}").strip() == str(row["uid"])
                assert new.sh(f"stat -c %u /home/{row['name']}").strip() == str(row["uid"])
        assert new.sh("appliance config get limits.memory") == room.sh(
            "appliance config get limits.memory"
        )
        assert new.sh("cat /var/lib/appliance/certificates/ca.crt") == "authority\n"
        owner = new.sh("stat -c '%U %G %a' /var/lib/appliance/certificates")
        assert owner == "root appliance-proxy 750\n"
        assert new.sh(f"cat {SHARED}/task.txt") == "task\n"
        assert new.sh("cat /etc/appliance/backup.passphrase").strip() == word
        preloaded.start("cat")
