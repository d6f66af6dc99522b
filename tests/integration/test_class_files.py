"""Classes' files among real accounts: who gets at what, and what hostile homes and full ones do."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.integration.images import Debian
from tests.integration.preloaded import Preloaded, open_native
from tests.integration.ssh import Result

pytestmark = pytest.mark.machine

CLASSES: Final = "/srv/appliance/classes"
STORE: Final = "/var/lib/appliance/spawner/classes.json"
BIO: Final = "Biology 7b"
ART: Final = "Art"


@dataclass(frozen=True)
class School:
    """A machine with two classes: Biology 7b of tina's with amy and bob, Art of tom's with eve."""

    room: Preloaded

    def call(self, method: str, *arguments: Any, **words: Any) -> Any:
        """What one of `ClassFiles`' methods answers."""
        told = self.room.machine.execute(
            "/opt/appliance/hub/bin/python -I /opt/inside/class_files.py",
            stdin=json.dumps([[method, arguments, words]]),
            timeout=120,
        )
        (answer,) = json.loads(told)
        return answer

    def set_class(self, name: str, members: Sequence[str], teachers: Sequence[str]) -> Any:
        return self.call("set_class", name, members=members, teachers=teachers)

    def sh(self, line: str) -> str:
        return self.room.machine.execute(line)

    def attempt(self, user: str, line: str) -> Result:
        """A line of shell as a user, with the groups and the umask that her server has."""
        stored = json.loads(self.sh(f"cat {STORE}"))["classes"]
        groups = [
            str(one[f"{kind}_group"])
            for one in stored
            for kind in ("students", "teachers")
            if user in one[kind]
        ]
        account = f"nb-{user}"
        words = f"--reuid={account} --regid={account} --groups={','.join([account, *groups])}"
        command = shlex.quote(f"umask 0077; cd ~{account}; {line}")
        return self.room.machine.attempt(f"setpriv {words} --bounding-set=-all bash -c {command}")

    def do(self, user: str, line: str) -> str:
        result = self.attempt(user, line)
        assert result.code == 0, result.describe()
        return result.stdout

    def cannot(self, user: str, *lines: str) -> None:
        for line in lines:
            result = self.attempt(user, line)
            assert result.code != 0, result.describe()
            assert "Permission denied" in result.stderr, result.describe()


@pytest.fixture(scope="module")
def school() -> Iterator[School]:
    with open_native(Debian.BOOKWORM) as room:
        school = School(room)
        assert school.set_class(BIO, ["amy", "bob"], ["tina"])["slug"] == "biology-7b"
        assert school.set_class(ART, ["eve"], ["tom"])["slug"] == "art"
        school.sh("mkdir -p /opt/lab && echo new >/opt/lab/a.txt")
        for name, teacher in ((BIO, "tina"), (ART, "tom")):
            answer = school.call("put_file", name, teacher, "lab/a.txt", "/opt/lab/a.txt")
            assert answer is None
        for name, user in ((BIO, "amy"), (BIO, "bob"), (BIO, "tina"), (ART, "eve"), (ART, "tom")):
            assert school.call("hand_out", name, user, "lab", "keep")["copied"] == 1
        yield school


def test_everybody_gets_at_what_is_theirs_and_at_nothing_else(school: School) -> None:
    top = f"{CLASSES}/biology-7b"
    # The teacher: everything.
    school.do("tina", "echo task >biology-7b/shared/task.txt; mkdir biology-7b/shared/week1")
    school.do("tina", "echo for all >biology-7b/together/notes.txt")
    school.do("tina", "ls biology-7b/drop-boxes/nb-amy; mkdir biology-7b/collected/x")
    # Students: read what is shared, write what is common and their own.
    assert school.do("amy", "cat biology-7b/shared/task.txt biology-7b/shared/lab/a.txt") == (
        "task\nnew\n"
    )
    school.cannot(
        "amy",
        "echo >biology-7b/shared/task.txt",
        "echo >biology-7b/shared/new",
        "echo >biology-7b/shared/week1/new",
        "rm -f biology-7b/shared/task.txt",
        "ls biology-7b/collected biology-7b/drop-boxes || ls " + f"{top}/collected",
        f"ls {top}/drop-boxes",
        f"ls {top}/drop-boxes/nb-bob",
        f"echo >{top}/drop-boxes/nb-bob/x",
        f"rmdir {top}/drop-boxes/nb-amy",
        f"rmdir {top}/together",
        f"touch {top}/x",
        f"ls {CLASSES}",
        f"ls {CLASSES}/art",
        f"cat {CLASSES}/art/shared/lab/a.txt",
    )
    # What one writes with a private umask, the others can change.
    school.do("amy", "echo amy >>biology-7b/together/notes.txt; mkdir biology-7b/together/amy")
    school.do("amy", "echo 1 >biology-7b/together/amy/list")
    assert school.do("bob", "echo 2 >>biology-7b/together/amy/list; cat biology-7b/together/*/list")
    assert school.do("tina", "cat biology-7b/together/amy/list") == "1\n2\n"
    # A drop box is between one student and the teachers.
    school.do("amy", "echo mine >biology-7b/drop/essay")
    school.cannot("bob", f"cat {top}/drop-boxes/nb-amy/essay")
    school.do("tina", "echo good >>biology-7b/drop-boxes/nb-amy/essay")
    assert school.do("amy", "cat biology-7b/drop/essay") == "mine\ngood\n"
    # nbgrader's exchange: teachers give out, and what students hand in, they alone read.
    school.call("set_class", BIO, members=["amy", "bob"], teachers=["tina"], nbgrader=True)
    school.do("tina", f"mkdir -m 755 {top}/exchange/outbound/ps1")
    school.do("amy", f"ls {top}/exchange/outbound/ps1; mkdir -m 777 {top}/exchange/inbound/amy+ps1")
    school.do("tina", f"ls {top}/exchange/inbound/amy+ps1")
    school.cannot("bob", f"ls {top}/exchange/inbound", f"ls {top}/exchange/inbound/amy+ps1")
    school.cannot("amy", f"mkdir {top}/exchange/outbound/x", f"ls {top}/nbgrader")
    # The other class, its teacher and a user of none: nothing at all.
    for user in ("eve", "tom"):
        school.cannot(user, f"ls {top}", f"cat {top}/shared/task.txt", f"touch {top}/together/x")
    school.cannot("eve", "ls ~nb-amy")


def test_a_server_has_the_groups_of_its_users_classes(school: School) -> None:
    room = school.room
    room.add("amy")
    status = room.start("amy")
    assert "preloaded" in status
    kernel = room.start_kernel("amy")
    printed = room.run(
        "amy",
        kernel,
        "open('biology-7b/together/from-kernel', 'w').write('x')\n"
        "print(open('biology-7b/shared/lab/a.txt').read())\n"
        "try: open('biology-7b/shared/no', 'w')\n"
        "except OSError as err: print(err.strerror)\n",
    )
    assert printed == "new\n\nPermission denied\n"
    assert school.do("bob", "cat biology-7b/together/from-kernel") == "x"
    # Another class while the server runs: its owner is told to start it anew.
    answer = school.set_class("Chess", ["amy", "bob"], ["tina"])
    assert answer == {"slug": "chess", "needs_restart": ["amy"]}
    assert school.set_class(BIO, ["amy", "bob"], ["tina"])["needs_restart"] == []
    assert room.run("amy", kernel, "import os; print(os.path.exists('chess'))") == "False\n"
    room.stop("amy")
    room.start("amy")
    kernel = room.start_kernel("amy")
    assert room.run("amy", kernel, "import os; print(os.listdir('chess/together'))") == "[]\n"
    assert school.set_class("Chess", ["amy", "bob"], ["tina"])["needs_restart"] == []
    # Out of the class, she keeps what is hers; after the next start that is all.
    assert school.set_class("Chess", ["bob"], ["tina"])["needs_restart"] == ["amy"]
    room.stop("amy")
    assert school.attempt("amy", "ls chess/together/").code != 0


def test_a_hand_out_reaches_latecomers_and_respects_what_is_there(school: School) -> None:
    school.do("amy", "echo mine >biology-7b/lab/a.txt")
    school.set_class(BIO, ["amy", "bob", "zoe"], ["tina"])
    late = school.call("hand_out", BIO, "zoe", "lab", "keep")
    assert (late["copied"], late["kept"]) == (1, 0)
    assert school.do("zoe", "stat -c '%U %a' biology-7b/lab/a.txt") == "nb-zoe 600\n"
    assert school.call("hand_out", BIO, "amy", "lab", "keep")["kept"] == 1
    assert school.call("hand_out", BIO, "amy", "lab", "replace")["replaced"] == 1
    assert (
        school.do("amy", "cat biology-7b/lab/a.txt biology-7b/lab/a.before-*.txt") == "new\nmine\n"
    )
    for user, folder, why in (
        ("eve", "lab", "'eve' is not in the class"),
        ("amy", "nothing", "there is no such folder"),
        ("amy", "../art/shared/lab", "begins with a dot"),
        ("amy", "shared/lab", "stand for the class's own folders"),
    ):
        assert why in school.call("hand_out", BIO, user, folder, "keep")["error"]
    assert "does not teach" in school.call("put_file", BIO, "amy", "x", "/etc/hostname")["error"]
    assert "does not teach" in school.call("list_folder", BIO, "tom", "")["error"]


def test_a_link_in_the_shared_folder_leads_nowhere(school: School) -> None:
    school.do(
        "tina",
        "mkdir -p biology-7b/shared/trap && cd biology-7b/shared/trap && ln -s /etc/passwd a"
        " && ln -s ../../drop-boxes b && mkfifo c && echo fine >d && mkdir -m 700 e",
    )
    report = school.call("hand_out", BIO, "bob", "trap", "keep")
    assert report["copied"] == 1
    assert sorted(report["skipped"]) == [
        "a: it is a link",
        "b: it is a link",
        "c: it is no file",
        "e: it may not be read",
    ]
    school.do("tina", "ln -s lab biology-7b/shared/link")
    assert "it is a link" in school.call("hand_out", BIO, "bob", "link", "keep")["error"]


def test_a_full_home_is_told_and_left_as_it_was(school: School) -> None:
    school.sh(
        "uid=$(id -u nb-bob); mount -t tmpfs -o size=256k,mode=700,uid=$uid,gid=$uid x /home/nb-bob"
    )
    school.do("bob", "mkdir -p biology-7b/lab; echo mine >biology-7b/lab/a.txt")
    school.do(
        "tina", "cp -r biology-7b/shared/lab biology-7b/shared/big;"
        " head -c 200000 /dev/zero >biology-7b/shared/big/b; cp biology-7b/shared/big/{b,c}"
    )  # fmt: skip
    answer = school.call("hand_out", BIO, "bob", "big", "replace")
    assert "the home is full" in answer["error"]
    assert school.do("bob", "find biology-7b -type f | xargs cat") == "mine\n"
    assert school.do("bob", "ls -A biology-7b") == "drop\nlab\nshared\ntogether\n"
    school.do("tina", "rm biology-7b/shared/big/c")
    assert school.call("hand_out", BIO, "bob", "big", "replace")["copied"] == 2
    school.sh("umount /home/nb-bob")


def test_a_folder_that_may_not_be_written_is_told_and_left_as_it_was(school: School) -> None:
    school.do("bob", "mkdir -p biology-7b/week2; chmod 500 biology-7b/week2")
    school.do("tina", "cd biology-7b/shared; mkdir -p week2/a; echo 1 >week2/1; echo 2 >week2/a/2")
    answer = school.call("hand_out", BIO, "bob", "week2", "keep")
    assert "a folder in the home may not be written" in answer["error"]
    assert school.do(
        "bob", "find biology-7b/week2; ls -A biology-7b | grep -c hand-out || true"
    ) == ("biology-7b/week2\n0\n")
    school.do("bob", "chmod 700 biology-7b/week2")
    assert school.call("hand_out", BIO, "bob", "week2", "keep")["copied"] == 2


def test_a_collection_of_homes_that_are_in_use_and_hostile(school: School) -> None:
    school.do(
        "amy", "cd biology-7b/lab && ln -s /etc/shadow shadow; ln -s ../../../nb-eve eve; mkfifo p;"
        " echo 'a b' >$'two\\nlines'; mkdir -p deep/er; echo x >deep/er/x; touch gone"
    )  # fmt: skip
    school.do("bob", "mv biology-7b/lab biology-7b/real; ln -s /home/nb-amy biology-7b/lab")
    writing = (
        "cd ~nb-amy/biology-7b/lab; n=0; while [ -e ~nb-amy/go ]; do n=$((n+1));"
        " head -c $((n % 3000)) /dev/zero >log; rm -f gone; touch gone; mv deep deeper 2>/dev/null;"
        " mv deeper deep; ln -sfn /etc deep/er/swap; rm -f deep/er/swap; done"
    )
    school.sh("touch /home/nb-amy/go")
    school.sh(
        f"nohup setpriv --reuid=nb-amy --regid=nb-amy --clear-groups bash -c {shlex.quote(writing)}"
        " >/dev/null 2>&1 &"
    )
    places = [f"lab/{number}" for number in range(4)]
    reports = [
        school.call("collect", BIO, ["amy", "bob", "zoe"], "tina", "lab", place) for place in places
    ]
    school.sh("rm /home/nb-amy/go")
    for place, report in zip(places, reports, strict=True):
        assert report["bob"]["failure"] == "it cannot be opened: it is a link"
        assert (report["zoe"]["files"], report["zoe"]["failure"]) == (1, "")
        assert report["amy"]["failure"] == "", report
        assert {"shadow: it is a link", "p: it is no file"} <= set(report["amy"]["skipped"])
        folder = f"{CLASSES}/biology-7b/collected/{place}"
        assert school.sh(f"find {folder} -not -type f -not -type d") == ""
        manifest = json.loads(school.sh(f"cat {folder}/amy.manifest.json"))
        sums = {one["path"]: one["sha256"] for one in manifest["files"]}
        assert sums["a.txt"] == school.sh(f"sha256sum {folder}/amy/a.txt").split()[0]
        assert "two\nlines" in sums
    # Teachers share what was collected; students don't see it.
    assert school.do("tina", "cat biology-7b/collected/lab/0/zoe/a.txt") == "new\n"
    school.cannot("zoe", f"ls {CLASSES}/biology-7b/collected")
    again = school.call("collect", BIO, ["zoe"], "tina", "lab", "lab/0")
    assert again["zoe"]["failure"] == "it was collected to this place before"
    assert "does not teach" in school.call("collect", BIO, ["zoe"], "amy", "lab", "y")["error"]


def test_an_archive_is_roots_alone_and_a_class_goes_for_good(school: School) -> None:
    school.do("eve", "ln -s /etc/shadow trap; echo secret >diary; mkdir -m 000 closed; echo >art/w")
    school.do("eve", "echo together >art/together/x; chmod 600 art/together/x")
    report = school.call("archive_class", ART, "art-2026", ["eve", "tom"])
    place = "/srv/appliance/archives/art-2026"
    assert report["place"] == place
    assert report["homes"]["eve"] > 0
    assert report["skipped"] == {"eve": ["closed: it may not be read"]}
    assert school.sh(f"cd {place}; ls") == ("CLASS.tar.gz\neve.tar.gz\nmanifest.json\ntom.tar.gz\n")
    assert school.sh(f"tar -xOf {place}/eve.tar.gz eve/diary") == "secret\n"
    assert school.sh(f"tar -tvf {place}/eve.tar.gz eve/trap").split()[-1] == "/etc/shadow"
    assert school.sh(f"tar -xOf {place}/CLASS.tar.gz art/together/x") == "together\n"
    for user in ("eve", "tom"):
        school.cannot(user, "ls /srv/appliance/archives", f"ls {place}")
    assert "one of that name" in school.call("archive_class", ART, "art-2026", ["eve"])["error"]
    assert school.sh("ls /srv/appliance/archives") == "art-2026\n"

    assert school.call("forget_class", ART) is None
    assert school.call("forget_class", ART) is None
    assert school.sh(f"ls -A {CLASSES} /srv/appliance/removed | grep -c art || true") == "0\n"
    assert school.sh("getent group nbc-art nbt-art | wc -l") == "0\n"
    assert school.do("eve", "cat diary") == "secret\n"
    # A class of the same name begins with nothing.
    before = json.loads(school.sh(f"cat {STORE}"))["next_group"]
    assert school.set_class(ART, ["eve"], ["tom"])["slug"] == "art-2"
    groups = school.sh("getent group nbc-art-2 nbt-art-2 | cut -d: -f3").split()
    assert [int(one) for one in groups] == [before, before + 1]
    assert school.call("delete_archive", "art-2026") is None
    assert school.sh("ls -A /srv/appliance/archives") == ""


def test_a_job_that_was_running_when_the_daemon_was_killed_leaves_nothing(school: School) -> None:
    school.do("tina", "truncate -s 500M biology-7b/shared/big/huge")
    staged = "/home/nb-zoe/biology-7b/.hand-out-*"
    printed = school.sh(
        f"""(until ls -d {staged}; do sleep 0.01; done
        systemctl kill --signal=STOP 'appliance-files-*'
        systemctl kill --signal=KILL appliance-spawner.service) >/dev/null 2>&1 &
        echo '[["hand_out", ["{BIO}", "zoe", "big", "keep"], {{}}]]' |
        /opt/appliance/hub/bin/python -I /opt/inside/class_files.py; wait"""
    )
    assert "ended the connection without an answer" in printed
    school.room.machine.wait_until("systemctl is-active appliance-spawner.service")
    assert school.sh("ls /home/nb-zoe/biology-7b") == "drop\nlab\nshared\ntogether\n"
    school.do("tina", "rm biology-7b/shared/big/huge")
    assert school.call("hand_out", BIO, "zoe", "big", "keep")["skipped"] == []
    assert school.sh("systemctl list-units --no-legend --all 'appliance-files-*'") == ""
    assert school.sh("ls -A /home/nb-zoe/biology-7b | grep -c hand-out || true") == "0\n"
    assert school.sh("ls /home/nb-zoe/biology-7b/big") == "a.txt\nb\n"
