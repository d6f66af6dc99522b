"""Bad input and bad luck, on a machine where the appliance is installed and open to sign up.

Each test has users of its own and leaves the machine as it found it, so their order doesn't matter.
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.integration.classroom import Classroom, open_classroom, unit_of, wait_for
from tests.integration.images import Debian

pytestmark = pytest.mark.machine

CONFIG = "/etc/appliance/config.yaml"


@pytest.fixture(scope="module", params=[Debian.BOOKWORM])
def classroom(request: pytest.FixtureRequest) -> Iterator[Classroom]:
    with open_classroom(request.param) as classroom:
        yield classroom


# Names


IMPOSSIBLE_NAMES = {
    "a/b": "contains '/'",
    "..": "begins with '.'",
    "-rf": "begins with '-'",
    "@all": "begins with '@'",
    "two words": "contains ' '",
    "naïve": "contains 'ï'",
    "x" * 200: "has 200 characters, and 48 is the most",
    "": "is empty",
    "root": "is reserved",
    "www-data": "is reserved",
    "Hub": "is reserved",
}


def test_names_that_cannot_be_are_refused_in_words(classroom: Classroom) -> None:
    before = classroom.names()
    for name, why in IMPOSSIBLE_NAMES.items():
        page = classroom.visitor(name).sign_up()
        assert (page.status, page.path) == (400, "/hub/signup"), name
        assert why in page.words
        mend = "Choose another name" if why == "is reserved" else "Choose 1 to 48 of a-z, 0-9"
        assert mend in page.words
    names = " ".join(shlex.quote(name) for name in IMPOSSIBLE_NAMES)
    refused = classroom.machine.fail(f"appliance user add -- {names}")
    assert f"cannot add {len(IMPOSSIBLE_NAMES)} users" in refused.stderr
    for why in IMPOSSIBLE_NAMES.values():
        assert why in refused.stderr
    assert classroom.names() == before


def test_spellings_of_one_name_are_one_user(classroom: Classroom) -> None:
    page = classroom.visitor("Nora@School").sign_up()
    assert (page.status, page.path) == (200, "/hub/home")
    for name in ("nora@school", " NORA@school ", "\uff4eora@school"):
        page = classroom.visitor(name).sign_up()
        assert page.status == 409
        assert "name is taken" in page.words
    refused = classroom.machine.fail("appliance user add nora@SCHOOL Otto OTTO")
    assert "nora@school" in refused.stderr.lower()
    found = classroom.names()
    assert [found.count(name) for name in ("nora@school", "otto")] == [1, 1]


def test_users_whose_names_are_alike_or_the_systems_have_accounts_of_their_own(
    classroom: Classroom,
) -> None:
    wait_for(classroom.units, lambda units: units == {})
    names = ("sshd", "p.q", "p-q")
    classroom.add(*names)
    for name in names:
        classroom.start(name)
    units = " ".join(shlex.quote(unit) for unit in classroom.units())
    accounts = set(classroom.machine.execute(f"systemctl show --value -p User {units}").split())
    assert len(accounts) == len(names)
    numbers = classroom.machine.execute(f"id -u {' '.join(accounts)}").split()
    assert min(int(number) for number in numbers) >= 20_000, "an account that isn't ours"
    classroom.stop_all()


# Servers that fail


@dataclass(frozen=True)
class Breakage:
    """How a home is broken and mended, and what its owner is told."""

    broken: str
    mended: str
    why: str


BREAKAGES = {
    "closed": Breakage("chmod 000 HOME", "chmod 700 HOME", "its home directory can't be entered"),
    "exits": Breakage(
        'mkdir HOME/.jupyter; echo \'import os, sys; print("out of luck", file=sys.stderr,'
        " flush=True); os._exit(3)' >HOME/.jupyter/jupyter_server_config.py",
        "rm -r HOME/.jupyter",
        "its process ended with exit status 3",
    ),
}


@pytest.mark.parametrize("name", list(BREAKAGES))
def test_a_server_that_exits_at_once_is_told_plainly(classroom: Classroom, name: str) -> None:
    machine, breakage, home = classroom.machine, BREAKAGES[name], f"/home/nb-{name}"
    machine.allowed.errors.append(unit_of(name))
    owner = classroom.visitor(name)
    owner.sign_up()
    classroom.start(name)
    machine.execute(f"appliance server stop {name}")
    machine.execute(breakage.broken.replace("HOME", home))

    refused = machine.fail(f"appliance server start {name}")
    assert breakage.why in refused.stderr
    owner.get(f"/hub/spawn/{name}")
    page = wait_for(lambda: owner.get(f"/hub/spawn-pending/{name}"), lambda one: one.status == 500)
    assert breakage.why.lower() in page.words.lower()
    assert "out of luck" not in page.words, "the log is for admins"
    _, log = classroom.api("GET", f"appliance/users/{name}/server/log")
    assert any("out of luck" in line or "CHDIR" in line for line in log["lines"])
    assert classroom.servers() == {}
    wait_for(classroom.units, lambda units: units == {})
    machine.fail(f"ls /run/appliance/servers/{name}/default.sock")

    machine.execute(breakage.mended.replace("HOME", home))
    classroom.start(name)
    assert classroom.servers() == {name: True}
    classroom.stop_all()


@pytest.mark.parametrize("seconds", [0.2, pytest.param(1.5, marks=pytest.mark.long)])
def test_hub_killed_in_the_middle_of_a_spawn_agrees_again_by_itself(
    classroom: Classroom, seconds: float
) -> None:
    name = f"killed{seconds:.0f}"
    classroom.add(name)
    classroom.machine.execute(
        f"({classroom.call('POST', f'users/{name}/server')} || true) >/dev/null 2>&1 &"
        f" sleep {seconds}; systemctl kill -s KILL --kill-whom=main appliance-hub.service; wait"
    )

    def agreed(_: object) -> bool:
        believed, real = classroom.servers(), classroom.units()
        return all(believed.values()) and {unit_of(one): "active" for one in believed} == real

    wait_for(lambda: None, agreed, seconds=60)
    if name not in classroom.servers():
        classroom.start(name)
    assert classroom.servers() == {name: True}
    classroom.machine.execute(f"appliance server stop {name}")
    classroom.start(name)
    classroom.stop_all()
    wait_for(classroom.units, lambda units: units == {})


# Power


@dataclass
class Crowd:
    """Visitors who sign up one after the other until nobody answers any more."""

    classroom: Classroom
    acknowledged: list[str] = field(default_factory=list)
    attempted: set[str] = field(default_factory=set)

    def sign_up_for_ever(self, prefix: str) -> None:
        for number in range(1000):
            name = f"{prefix}{number}"
            self.attempted.add(name)
            try:
                page = self.classroom.visitor(name).sign_up(timeout=10)
            except OSError:
                return
            if page.path != "/hub/home":
                return
            self.acknowledged.append(name)


def test_no_acknowledged_sign_up_is_lost_with_the_power(classroom: Classroom) -> None:
    crowd, machine = Crowd(classroom), classroom.machine
    people = [
        threading.Thread(target=crowd.sign_up_for_ever, args=(prefix,)) for prefix in ("cut-", "c_")
    ]
    for person in people:
        person.start()
    wait_for(lambda: len(crowd.acknowledged), lambda count: count >= 12)
    machine.cut_power()
    for person in people:
        person.join()
    machine.boot()
    users = {user["name"]: user for user in classroom.users()}
    assert set(crowd.acknowledged) <= set(users)
    known = {name for name in users if name.startswith(("cut-", "c_"))}
    assert known <= crowd.attempted
    assert all(users[name]["has_password"] for name in known)
    assert classroom.is_healthy()
    for name in (crowd.acknowledged[0], crowd.acknowledged[-1]):
        assert classroom.visitor(name).log_in().status == 200
    code = "import sqlite3; db = sqlite3.connect('/var/lib/appliance/hub/hub.sqlite');"
    code += " print(*db.execute('pragma integrity_check').fetchone())"
    assert machine.execute(f'python3 -c "{code}"').strip() == "ok"
    classroom.stop_all()


# Configuration

WRONG_FILES = {
    "garbage": ("head -c 3000 /dev/urandom | tr -d '\\000-\\177' >{file}", "isn't UTF-8 text"),
    "zeros": ("head -c 100 /dev/zero >{file}", "U+0000"),
    "half written": (
        "printf 'signup:\\n  mode: open\\nlimits: {{memory: 1' >{file}",
        "is not ended",
    ),
    "cut in a word": ("printf 'signup:\\n  mode: op' >{file}", ":2:9"),
    "wrong": ("printf 'signup:\\n  mode: open\\nlimts:\\n  cpu: 2\\n' >{file}", "limits?"),
    "a folder": ("rm {file}; mkdir {file}", "Is a directory"),
    "missing": ("rm -r {file}", "there is no such file"),
}


def test_a_broken_configuration_harms_nothing(classroom: Classroom) -> None:
    machine = classroom.machine
    before = machine.read_file(CONFIG)
    try:
        for make, words in WRONG_FILES.values():
            machine.execute(make.format(file=CONFIG))
            for command in ("check", "reload"):
                refused = machine.fail(f"appliance config {command}")
                assert refused.code == 78
                assert CONFIG in refused.stderr + refused.stdout
                assert words in refused.stderr + refused.stdout
            assert classroom.is_healthy()
        machine.execute("systemctl restart 'appliance-*.service'")
        assert classroom.is_healthy()
        machine.reboot()
        assert classroom.is_healthy()
        assert "config.yaml has 1 problem" in machine.execute("appliance status")
        assert classroom.visitor("after-all").sign_up().path == "/hub/home", "another mode"
        # An empty file is right: every setting has its default.
        machine.execute(f": >{CONFIG}")
        assert "open → approval" in machine.execute("appliance config check")
        machine.execute("appliance config reload", timeout=90)
        assert classroom.visitor("waits").sign_up().path == "/hub/signup/waiting"
    finally:
        machine.write_file(CONFIG, before, mode=0o600)
        machine.execute("appliance config reload", timeout=90)
