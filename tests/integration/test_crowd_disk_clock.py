"""A crowd, a full disk and a clock that jumps, on a machine with memory for twenty servers.

Each test has users of its own and leaves the machine as it found it, so their order doesn't matter.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.integration.classroom import Classroom, open_classroom, unit_of, wait_for
from tests.integration.images import Debian
from tests.integration.visitor import Page, Visitor

pytestmark = pytest.mark.machine


@pytest.fixture(scope="module", params=[Debian.TRIXIE])
def lecture(request: pytest.FixtureRequest) -> Iterator[Classroom]:
    with open_classroom(request.param, memory="3G") as classroom:
        yield classroom


@pytest.mark.long
def test_twenty_servers_at_once(lecture: Classroom) -> None:
    names = [f"many{number}" for number in range(20)]
    lecture.add(*names)
    anybody, watcher = lecture.visitor("anybody"), lecture.visitor("watcher")
    watcher.sign_up()
    asking = " ".join(f"({lecture.call('POST', f'users/{name}/server')}) &" for name in names)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lecture.machine.execute, f"({asking} wait) 2>&1 | sort | uniq -c")
        slowest = 0.0
        deadline = time.monotonic() + 240
        while set(lecture.servers()) != set(names) or not all(lecture.servers().values()):
            assert time.monotonic() < deadline, f"stuck: {lecture.servers()}"
            for visitor, path in ((anybody, "/hub/login"), (watcher, "/hub/home")):
                began = time.monotonic()
                page = visitor.get(path)
                assert (page.status, page.path) == (200, path)
                slowest = max(slowest, time.monotonic() - began)
        statuses = set(re.findall(r"\b20[12]\b|\b[45]\d\d\b", asked.result()))
    assert statuses <= {"201", "202"}
    assert slowest < 10, f"a page took {slowest:.1f} s meanwhile"
    assert lecture.units() == {unit_of(name): "active" for name in names}
    lecture.stop_all()
    wait_for(lecture.units, lambda units: units == {})


BOMBS = {
    "memory": "rows = []\nwhile True: rows.append(bytearray(10_000_000))",
    "files": "import os\nopen_ = []\n"
    "while True:\n"
    "    try: open_.append(os.open('/dev/null', os.O_RDONLY))\n"
    "    except OSError:\n"
    "        if os.fork(): os._exit(0)",
    "forks": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "output": "import sys\nwhile True: sys.stdout.write('x' * 2**20)",
    "cpu": "while True: pass",
}


def test_the_hub_answers_whatever_servers_do(lecture: Classroom) -> None:
    """All at once in each of three servers: all memory, all processes, all files, output, CPU."""
    machine, names = lecture.machine, ["boom0", "boom1", "boom2"]
    # So few that they run out soon, on one processor that all share.
    machine.execute("appliance config set limits.tasks 100", timeout=90)
    lecture.add(*names)
    for name in names:
        lecture.start(name)
    machine.allowed.errors += ["oom-kill", "Out of memory", "has been killed by the OOM killer"]
    hub = machine.execute("systemctl show -p MainPID,NRestarts appliance-hub").strip()
    anybody, waits = lecture.visitor("anybody"), [0.0]

    def counted(file: str, what: str) -> list[int]:
        """How often it happened in each; and meanwhile somebody wants to log in."""
        began = time.monotonic()
        page = anybody.get("/hub/login")
        assert (page.status, page.path) == (200, "/hub/login")
        waits.append(time.monotonic() - began)
        return [_counted(lecture, name, file, what) for name in names]

    try:
        for kind in ("memory", "files", "output", "cpu", "forks"):
            for name in names:
                machine.execute(_in_unit(name, kind, BOMBS[kind]))
            if kind == "memory":
                # The first; processes without number leave no time to fill memory.
                wait_for(lambda: counted("memory.events", "oom_kill"), all, seconds=90)
        wait_for(lambda: counted("pids.events", "max"), all, seconds=90)
    finally:
        machine.execute("systemctl stop 'appliance-user-boom*'", timeout=90)
        machine.execute("appliance config unset limits.tasks", timeout=90)
    assert max(waits) < 3, f"the log-in page took {max(waits):.1f} s"
    assert machine.execute("systemctl show -p MainPID,NRestarts appliance-hub").strip() == hub


def _counted(classroom: Classroom, name: str, file: str, what: str) -> int:
    path = f"/sys/fs/cgroup/appliance.slice/appliance-users.slice/{unit_of(name)}/{file}"
    return int(classroom.machine.execute(f"awk '$1 == \"{what}\" {{print $2}}' {path}"))


def _in_unit(name: str, kind: str, program: str) -> str:
    """Run it in the user's server, again whenever it ends, in the background."""
    path = f"/tmp/{kind}.py"
    # What servers print is the journal's work.
    goes_to = "systemd-cat" if kind == "output" else "cat >/dev/null"
    return (
        f"cat >{path} <<'END'\n{program}\nEND\n"
        "sh -c 'echo $$ >/sys/fs/cgroup/appliance.slice/appliance-users.slice/"
        f"{unit_of(name)}/cgroup.procs; exec setpriv --reuid nb-{name} --regid nb-{name} "
        f'--clear-groups sh -c "while :; do python3 {path} | {goes_to}; sleep 0.2; done"\' '
        ">/dev/null 2>&1 </dev/null &"
    )


USERS_FILL_THE_DISK = """
install -d -m 0700 -o nobody /var/fill
setpriv --reuid nobody --regid nogroup --clear-groups bash <<'END'
fallocate -l $(df --output=avail -B1 /var | tail -1) /var/fill/most
for size in 8M 1M 64K 4K; do
  number=0; while fallocate -l $size /var/fill/$size.$((number += 1)); do :; done
done 2>/dev/null
END
"""
ROOT_FILLS_THE_DISK = """
mkdir -p /var/fill
for size in 512M 64M 8M 1M 64K 4K; do
  number=0; while fallocate -l $size /var/fill/root.$size.$((number += 1)); do :; done
done 2>/dev/null
"""


def test_disk_full_while_signing_up(lecture: Classroom) -> None:
    machine = lecture.machine
    ida = lecture.visitor("ida")
    ida.sign_up()
    lecture.start("ida")
    assert ida.get("/user/ida/lab").status == 200
    machine.allowed.errors += ["disk is full", "No space left", "appliance-hub"]
    with _full_disk(lecture, USERS_FILL_THE_DISK):
        # The hub has what the file system keeps back, and so has a new one.
        assert lecture.visitor("room0").sign_up().path == "/hub/home"
        machine.execute("systemctl restart appliance-hub.service")
        assert lecture.visitor("room1").sign_up().path == "/hub/home"
        assert lecture.visitor("ida").log_in().status == 200
        # When root has taken that, too, there is what the hub keeps.
        machine.execute(ROOT_FILLS_THE_DISK, timeout=60)
        assert lecture.visitor("ida").log_in().status == 200
        machine.execute("systemctl restart appliance-hub.service")
        assert lecture.visitor("ida").log_in().status == 200
        assert "is full" in machine.attempt("appliance status").stdout
        machine.execute(ROOT_FILLS_THE_DISK, timeout=60)
        last, refused = _sign_up_until_refused(lecture, "roomless")
        assert refused.status == 507
        assert "The disk is full" in refused.words
        assert "nothing was changed" in refused.words
        assert last not in lecture.names(), "half an account"
        assert ida.get("/user/ida/api/status").status == 200
        failed = machine.fail("appliance config set limits.tasks 600", timeout=90)
        assert "No space left" in failed.stderr
    assert lecture.visitor(last).sign_up().path == "/hub/home"
    assert lecture.visitor(last).log_in().status == 200
    assert lecture.servers()["ida"]
    lecture.stop_all()


@contextmanager
def _full_disk(classroom: Classroom, fill: str) -> Iterator[None]:
    classroom.machine.execute(fill, timeout=60)
    try:
        yield
    finally:
        classroom.machine.execute("rm -r /var/fill")


def _sign_up_until_refused(classroom: Classroom, prefix: str) -> tuple[str, Page]:
    """Whom the full disk met first, and the page; who was let in before is really there."""
    acknowledged: list[str] = []
    for number in range(100):
        name = f"{prefix}{number}"
        page = classroom.visitor(name).sign_up()
        if page.status != 200:
            assert set(acknowledged) <= set(classroom.names())
            return name, page
        acknowledged.append(name)
    raise AssertionError("the disk is never full")


@pytest.mark.long
def test_clock_that_jumps(lecture: Classroom) -> None:
    machine = lecture.machine
    machine.execute(
        "appliance config set culling.timeout 40s && appliance config set culling.interval 5s",
        timeout=120,
    )
    tom = lecture.visitor("tom")
    tom.sign_up()
    lecture.start("tom")
    lecture.add("idle")
    lecture.start("idle")
    try:
        machine.execute("date -s '+1 day'")
        _use_server(tom, seconds=15)
        assert lecture.servers() == {"tom": True, "idle": True}, "culled by the clock"
        assert lecture.visitor("tom").log_in().status == 200
        machine.execute("date -s '-2 days'")
        assert lecture.visitor("tom").log_in().status == 200
        # Longer than an idle server may live.
        _use_server(tom, seconds=50)
        assert lecture.servers() == {"tom": True}
    finally:
        machine.execute(f"date -s @{time.time():.0f}")
    assert lecture.visitor("tom").log_in().status == 200
    machine.execute("appliance config unset culling", timeout=90)
    lecture.stop_all()


def _use_server(visitor: Visitor, *, seconds: float) -> None:
    """Look at files again and again, logging in where that is asked for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        page = visitor.get(f"/user/{visitor.name}/api/contents")
        if page.status != 200:
            assert page.status == 403
            assert visitor.log_in().status == 200
            assert visitor.get(f"/user/{visitor.name}/lab").status == 200
        time.sleep(1)
