"""nbgrader unmodified, in two courses with accounts of their own: from a release to a grade.

The folders are those that the root daemon makes. The accounts are in a passwd(5) that only these
processes see.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

import appliance
from appliance.interfaces import Area
from appliance.names import Username
from appliance.singleuser.nbgrader import SETTINGS
from appliance.systemd_spawner.class_folders import ClassFolders
from appliance.systemd_spawner.class_store import STUDENT, TEACHER, StoredClass
from tests.fakes.peers import peer_environment

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be several users")

BIO: Final = StoredClass("Bio", "bio", 10_000, 10_001, nbgrader=True)
CHEM: Final = StoredClass("Chem", "chem", 10_002, 10_003, nbgrader=True)
CLASSES: Final = {"bio": BIO, "chem": CHEM}
PEOPLE: Final = {
    "amy": (21_001, {"bio": STUDENT}),
    "bob": (21_002, {"bio": STUDENT}),
    "tina": (21_003, {"bio": TEACHER, "chem": STUDENT}),
    "theo": (21_004, {"bio": TEACHER}),
    # Without the class's group, a link gives nothing.
    "eve": (21_005, {"chem": STUDENT, "bio": ""}),
    "tom": (21_006, {"chem": TEACHER}),
}
# The interpreter may be in a home that is closed to others.
RUN: Final = """\
passwd=$1 python=$2 closed=$3; shift 3
mount --bind "$passwd" /etc/passwd
if [ "$closed" ]; then
  mount --bind "$python" "$passwd.python"
  mount -t tmpfs -o mode=755 none "$closed"; mkdir -p "$python"
  mount --bind "$passwd.python" "$python"
fi
exec "$@"
"""
# Becomes the users, one command each. nbgrader is imported once: that takes more than what it does.
BECOME: Final = """\
import json, os, sys, tempfile
from nbgrader.apps import nbgraderapp
for line in sys.stdin:
    uid, groups, folder, environment, command = json.loads(line)
    with tempfile.TemporaryFile() as told:
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            told.seek(0)
            print(json.dumps([os.waitstatus_to_exitcode(status), told.read().decode()]), flush=True)
            continue
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(told.fileno(), 1)
        os.dup2(told.fileno(), 2)
        os.setgroups(groups)
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        os.umask(0o077)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        if command[0] != "nbgrader":
            os.execvp(command[0], command)
        sys.argv = command
        sys.exit(nbgraderapp.main())
"""


@dataclass(frozen=True)
class School:
    """Homes, class folders and nbgrader."""

    top: Path
    environment: Path
    people: subprocess.Popen[str]

    def home(self, user: str) -> Path:
        return self.top / "homes" / user

    def attempt(self, user: str, command: Sequence[str], folder: str) -> tuple[int, str]:
        """A command as a user, with the groups and the umask of her server."""
        uid, roles = PEOPLE[user]
        groups = [
            CLASSES[slug].teachers_group if role == TEACHER else CLASSES[slug].students_group
            for slug, role in roles.items()
            if role
        ]
        environment = _environment(self.top, self.environment)
        environment |= {"HOME": str(self.home(user)), "JUPYTERHUB_USER": user}
        asked = [uid, [uid, *groups], str(self.home(user) / folder), environment, command]
        assert self.people.stdin
        assert self.people.stdout
        self.people.stdin.write(f"{json.dumps(asked)}\n")
        self.people.stdin.flush()
        status, told = json.loads(self.people.stdout.readline())
        return int(status), str(told)

    def do(self, user: str, *command: str, folder: str = "") -> str:
        """A command that succeeds, in a folder of the home."""
        status, told = self.attempt(user, command, folder)
        assert status == 0, told
        return told

    def refuse(self, user: str, *command: str) -> None:
        status, told = self.attempt(user, command, "")
        assert status != 0, told


def _environment(top: Path, environment: Path) -> dict[str, str]:
    return {
        "PATH": f"{environment}/bin:/usr/bin:/bin", "PYTHONPATH": f"{top}/lib",
        "JUPYTER_CONFIG_PATH": f"{top}/etc", "LANG": "C.UTF-8",
    }  # fmt: skip


@contextmanager
def _people(top: Path, environment: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that becomes the users; they are in a passwd(5) that only it and they see."""
    python = Path(sys.base_prefix)
    closed = next((str(one) for one in [*python.parents][::-1] if not _is_open(one)), "")
    with subprocess.Popen(
        ["unshare", "--mount", "bash", "-ec", RUN, "run", f"{top}/passwd", str(python), closed,
         f"{environment}/bin/python", "-c", BECOME],
        env=_environment(top, environment), cwd="/", text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        yield process
        assert process.stdin
        process.stdin.close()
        assert process.wait(60) == 0


def _is_open(folder: Path) -> bool:
    return bool(folder.stat().st_mode & stat.S_IXOTH)


@pytest.fixture(scope="module")
def school() -> Iterator[School]:
    environment = peer_environment("nbgrader")
    # Pytest's own folders are closed to all users but the one who runs it.
    top = Path(tempfile.mkdtemp(prefix="nbgrader-", dir="/var/tmp"))
    try:
        top.chmod(0o755)
        _fill(top)
        with _people(top, environment) as people:
            yield School(top, environment, people)
    finally:
        shutil.rmtree(top)


def _fill(top: Path) -> None:
    lib = top / "lib/appliance"
    shutil.copytree(Path(appliance.__file__).parent / "singleuser", lib / "singleuser")
    (lib / "__init__.py").touch()
    for folder in ("etc", "homes", "passwd.python"):
        (top / folder).mkdir()
    (top / "etc/nbgrader_config.py").write_text(SETTINGS)
    lines = [f"nb-{user}:x:{uid}:{uid}::/:/bin/bash" for user, (uid, _) in PEOPLE.items()]
    (top / "passwd").write_text("\n".join(["root:x:0:0::/root:/bin/bash", *lines, ""]))
    folders = ClassFolders(top / "srv")
    for slug, one in CLASSES.items():
        folders.ensure(one)
        students = {f"nb-{u}": u for u, (_, roles) in PEOPLE.items() if roles.get(slug) == STUDENT}
        folders.write_people(one, students)
    for user, (uid, roles) in PEOPLE.items():
        home = top / "homes" / user
        home.mkdir(mode=0o700)
        os.chown(home, uid, uid)
        for slug, role in roles.items():
            one, own = CLASSES[slug], home / slug
            if role == STUDENT:
                folders.ensure_drop_box(one, f"nb-{user}", uid)
            own.mkdir()
            os.chown(own, uid, uid)
            for name, target in folders.links(one, role or STUDENT, f"nb-{user}").items():
                (own / name).symlink_to(target)


def notebook() -> str:
    """An assignment with one question worth two points."""

    def cell(grade_id: str, source: str, **more: object) -> dict[str, object]:
        about = {"grade": False, "locked": False, "solution": False, "schema_version": 3,
                 "grade_id": grade_id, "task": False, **more}  # fmt: skip
        return {"cell_type": "code", "source": source, "outputs": [], "execution_count": None,
                "metadata": {"nbgrader": about}}  # fmt: skip

    cells = [
        cell("answer", "### BEGIN SOLUTION\nx = 42\n### END SOLUTION", solution=True),
        cell("check", "assert x == 42", grade=True, locked=True, points=2),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 4})


def release(school: School, teacher: str, course: str, assignment: str) -> None:
    """What a teacher does in the course's folder."""
    root = school.home(teacher) / course / "nbgrader"
    if not root.is_symlink():
        # The first command makes the folder and its settings.
        school.do(teacher, "nbgrader", "list")
    script = f"mkdir -p {root}/source/{assignment} && cat > {root}/source/{assignment}/q.ipynb"
    school.do(teacher, "bash", "-c", f"{script} <<'END'\n{notebook()}\nEND")
    for verb in ("generate_assignment", "release_assignment"):
        school.do(teacher, "nbgrader", verb, assignment, folder=f"{course}/nbgrader")


def hand_in(school: School, student: str, course: str, assignment: str, answer: str) -> None:
    school.do(student, "nbgrader", "fetch_assignment", assignment, "--course", course)
    place = f"{course}/{assignment}/q.ipynb"
    edit = "import sys; p, x = sys.argv[1:]; s = open(p).read(); "
    edit += "open(p, 'w').write(s.replace('raise NotImplementedError()', x))"
    school.do(student, "python", "-c", edit, place, answer)
    school.do(student, "nbgrader", "submit", assignment, "--course", course)


def test_two_courses_from_release_to_grade(school: School) -> None:
    release(school, "tina", "bio", "ps1")
    release(school, "tom", "chem", "lab1")
    # Each sees the courses that they are in, all of them and no others.
    assert seen(school, "amy") == ["bio ps1"]
    assert seen(school, "eve") == ["chem lab1"]
    assert seen(school, "tina") == ["bio ps1", "chem lab1"]
    hand_in(school, "amy", "bio", "ps1", "x = 42")
    hand_in(school, "bob", "bio", "ps1", "x = 41")
    hand_in(school, "eve", "chem", "lab1", "x = 42")
    inbound = school.top / "srv/classes/bio" / Area.EXCHANGE / "inbound"
    handed = next(path for path in inbound.iterdir() if path.name.startswith("amy+"))
    # Nobody reads it but who handed it in and the teachers, even with its path.
    for user in ("bob", "eve", "tom"):
        school.refuse(user, "cat", f"{handed}/q.ipynb")
        school.refuse(user, "ls", str(inbound))
    school.refuse("eve", "nbgrader", "fetch_assignment", "ps1", "--course", "bio")
    # Another teacher of the same course goes on where the first one stopped.
    school.do("theo", "nbgrader", "list")
    for verb in ("collect", "autograde"):
        school.do("theo", "nbgrader", verb, "ps1", folder="bio/nbgrader")
    assert grades(school, "bio") == {"amy": 2.0, "bob": 0.0}
    for verb in ("generate_feedback", "release_feedback"):
        school.do("tina", "nbgrader", verb, "ps1", folder="bio/nbgrader")
    school.do("amy", "nbgrader", "fetch_feedback", "ps1", "--course", "bio")
    assert list(school.home("amy").glob("bio/ps1/feedback/*/q.html"))
    for user in ("amy", "eve"):
        school.refuse(user, "ls", str(school.top / "srv/classes/bio/nbgrader"))
        school.refuse(user, "ls", str(school.top / "srv/classes/bio/exchange/feedback"))


def test_what_is_handed_in_under_another_name_is_its_owners(school: School) -> None:
    release(school, "tina", "bio", "ps2")
    hand_in(school, "bob", "bio", "ps2", "x = 42")
    inbound = school.top / "srv/classes/bio" / Area.EXCHANGE / "inbound"
    [own] = [path.name for path in inbound.iterdir() if path.name.startswith("bob+ps2")]
    forged = own.replace("bob+", "amy+")
    script = f"mkdir {inbound}/{forged} && cp -r bio/ps2/* {inbound}/{forged} && chmod -R 777 "
    school.do("bob", "bash", "-c", f"{script} {inbound}/{forged}")
    told = school.do("tina", "nbgrader", "collect", "ps2", folder="bio/nbgrader")
    assert "says that it is from amy, and is from bob" in told
    assert not (school.top / "srv/classes/bio/nbgrader/submitted/amy/ps2").exists()


def test_links_in_a_submission_fetch_nothing(school: School) -> None:
    """A student has no way to the teachers' solution, nor to what another handed in."""
    release(school, "tina", "bio", "ps3")
    hand_in(school, "amy", "bio", "ps3", "x = 42")
    hand_in(school, "bob", "bio", "ps3", "x = 41")
    course = school.top / "srv/classes/bio"
    inbound = course / Area.EXCHANGE / "inbound"
    [amys] = [path.name for path in inbound.iterdir() if path.name.startswith("amy+ps3")]
    [bobs] = [path.name for path in inbound.iterdir() if path.name.startswith("bob+ps3")]
    solution = f"{course}/nbgrader/source/ps3"
    script = f"""
        set -e; cd "{inbound}/{bobs}"; chmod u+w .; rm -f q.ipynb; ln -s {solution}/q.ipynb q.ipynb
        ln -s {solution} more; mkfifo pipe; mkdir own; echo mine > own/notes.txt
        ln -s "{inbound}/{amys}" "{inbound}/amy+ps3+2099-01-01 00:00:00 UTC+x"
        mkdir -m 777 {inbound}/bob+ps3+whenever+x {inbound}/bob+ps3+
    """
    school.do("bob", "bash", "-c", script)
    told = school.do("tina", "nbgrader", "collect", "ps3", folder="bio/nbgrader")
    assert "q.ipynb is left out" in told, told
    submitted = course / "nbgrader/submitted"
    found = {
        str(path.relative_to(submitted / "bob/ps3")) for path in submitted.glob("bob/ps3/**/*")
    }
    assert found == {"own", "own/notes.txt", "submission_secret.txt", "timestamp.txt"}
    assert (submitted / "amy/ps3/q.ipynb").is_file()
    school.do("theo", "cat", f"{submitted}/bob/ps3/own/notes.txt")


def test_a_course_that_is_switched_off_is_shut_and_comes_back(school: School) -> None:
    folders = ClassFolders(school.top / "srv")
    off = StoredClass("Chem", "chem", 10_002, 10_003)
    folders.ensure(off)
    assert "chem" not in "".join(seen(school, "eve"))
    folders.ensure(CHEM)
    school.do("tom", "nbgrader", "list")
    assert "chem lab1" in seen(school, "eve")


def seen(school: School, user: str) -> list[str]:
    """Released assignments as nbgrader lists them for somebody."""
    told = school.do(user, "nbgrader", "list").splitlines()
    words = [line.partition("] ")[2] for line in told if "ListApp | INFO" in line]
    return [" ".join(line.split()[:2]) for line in words if "assignments:" not in line]


def grades(school: School, course: str) -> dict[str, float]:
    path = school.top / "srv/classes" / course / "nbgrader/gradebook.db"
    query = """
        SELECT submitted_assignment.student_id, SUM(grade.auto_score) FROM grade
        JOIN submitted_notebook ON submitted_notebook.id = grade.notebook_id
        JOIN submitted_assignment ON submitted_assignment.id = submitted_notebook.assignment_id
        GROUP BY 1
    """
    with sqlite3.connect(path) as database:
        return {str(Username(name)): float(score) for name, score in database.execute(query)}
