"""The checks of the machine: each problem is found, all at once, and says how to mend it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.bootstrap import LISTEN, MIB, FakeMachine, bootstrap, found, options
from tests.fakes.ports import free_port

Break = Callable[[FakeMachine], object]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    for name in [name for name in os.environ if name.startswith("PIP_") or "proxy" in name.lower()]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(bootstrap, "built_in_index", lambda: "https://index.example/simple")
    return FakeMachine(tmp_path)


def test_a_fit_machine_has_no_problem(machine: FakeMachine) -> None:
    assert found(machine) == []


@pytest.mark.parametrize(
    ("break_it", "what"),
    [
        (lambda m: setattr(m, "user", 1000), "this is not root"),
        (lambda m: setattr(m, "python", (3, 9)), "Python 3.9 is too old"),
        (lambda m: setattr(m, "cpu", "armv7l"), "the processor is armv7l"),
        (lambda m: setattr(m, "clock", 86400.0), "the clock says 1970-01-02"),
        (lambda m: m.put("/etc/os-release", "ID=debian\nVERSION_ID=11\nPRETTY_NAME=D11\n"), "D11"),
        (
            lambda m: m.put("/etc/os-release", "ID=ubuntu\nVERSION_ID=22.04\nPRETTY_NAME=U\n"),
            "U is",
        ),
        (lambda m: m.put("/etc/os-release", "ID=fedora\nVERSION_ID=41\nPRETTY_NAME=F\n"), "F is"),
        (
            lambda m: m.drop("/sys/fs/cgroup/cgroup.controllers"),
            "control groups are mounted the old",
        ),
        (
            lambda m: m.put("/sys/fs/cgroup/cgroup.controllers", "cpu pids"),
            "controllers memory are",
        ),
        (lambda m: m.put("/proc/meminfo", "MemTotal:  500000 kB\n"), "there are 488 MB of memory"),
        (lambda m: setattr(m, "free", (900 * MIB, 9**9, True)), "900 MB are free on the disk"),
        (lambda m: setattr(m, "free", (9000 * MIB, 100, True)), "has room for 100 more files"),
        (lambda m: setattr(m, "free", (9000 * MIB, None, False)), "programs may not run from"),
        (lambda m: m.unreachable.update({"index.example": "no"}), "cannot reach index.example"),
        (
            lambda m: m.put("/var/lib/dpkg/status", "Package: vim\nStatus: install ok unpacked\n"),
            "an earlier package installation was interrupted (vim)",
        ),
        (lambda m: m.put("/var/lib/dpkg/updates/0001", ""), "its journal is not empty"),
    ],
)
def test_a_problem_is_found_alone(machine: FakeMachine, break_it: Break, what: str) -> None:
    break_it(machine)
    problems = found(machine)
    assert len(problems) == 1
    assert what in problems[0]


def test_all_problems_are_told_at_once(machine: FakeMachine) -> None:
    machine.user, machine.python, machine.free = 1000, (3, 9), (1, 1, False)
    machine.put("/proc/meminfo", "MemTotal:  500000 kB\n")
    machine.put("/etc/os-release", "ID=arch\n")
    assert len(found(machine)) == 7


def test_without_systemd_the_trial_is_offered(tmp_path: Path, machine: FakeMachine) -> None:
    machine.put("/proc/1/comm", "docker-init\n")
    (tmp_path / "run/systemd/system/.keep").unlink()
    (tmp_path / "run/systemd/system").rmdir()
    problems, _ = bootstrap.check_machine(machine, options())
    assert [problem.what for problem in problems] == [
        "systemd is not running (process 1 is docker-init)"
    ]
    assert "--trial" in problems[0].mend


@pytest.mark.parametrize(
    "release",
    [
        "ID=debian\nVERSION_ID=13\n",
        "ID=debian\nVERSION_ID=14\n",
        "ID=debian\n",
        "ID=ubuntu\nVERSION_ID=24.04\n",
        "ID=raspbian\nID_LIKE=debian\nVERSION_ID=12\n",
    ],
)
def test_newer_and_related_systems_are_accepted(machine: FakeMachine, release: str) -> None:
    machine.put("/etc/os-release", release)
    _, notes = bootstrap.check_machine(machine, options())
    assert found(machine) == []
    assert bool(notes) == ("13" not in release)


def test_a_taken_port_names_the_program(machine: FakeMachine) -> None:
    machine.put("/proc/net/tcp", LISTEN)
    machine.sockets = [(812, "socket:[4711]")]
    machine.put("/proc/812/comm", "apache2\n")
    machine.put("/proc/812/cgroup", "0::/system.slice/apache2.service\n")
    problems, _ = bootstrap.check_machine(machine, options())
    assert problems[0].what == "port 80 is taken by apache2 (apache2.service), process 812"
    assert "systemctl disable --now apache2.service" in problems[0].mend
    assert found(machine, ["--port", "8080"]) == []


def test_our_own_proxy_may_have_the_port(machine: FakeMachine) -> None:
    machine.put("/proc/net/tcp", LISTEN)
    machine.sockets = [(812, "socket:[4711]")]
    machine.put("/proc/812/cgroup", "0::/appliance.slice/appliance-proxy.service\n")
    assert found(machine) == []


def test_the_port_in_force_is_the_one_that_is_checked(machine: FakeMachine) -> None:
    machine.put("/var/lib/appliance/rendered/hub.json", '{"http": {"port": 8080}}')
    machine.put("/proc/net/tcp", LISTEN)
    assert found(machine) == []
    machine.put("/proc/net/tcp", LISTEN.replace(":0050", ":1F90"))
    assert "port 8080 is taken" in found(machine)[0]


def test_a_running_package_manager_is_waited_for(machine: FakeMachine) -> None:
    machine.holders["/var/lib/dpkg/lock-frontend"] = 99
    machine.put("/proc/99/comm", "unattended-upgr\n")
    machine.put("/var/lib/dpkg/status", "Package: vim\nStatus: install ok unpacked\n")
    problems, notes = bootstrap.check_machine(machine, options())
    assert problems == []
    assert notes == ["unattended-upgr (process 99) is running: will wait for it"]


def test_after_an_interrupted_run_nothing_that_apt_fetched_is_trusted(machine: FakeMachine) -> None:
    fetched = (
        "/var/lib/apt/lists/mirror.example_debian_dists_x_InRelease",
        "/var/cache/apt/pkgcache.bin",
        "/var/cache/apt/archives/nginx_1.deb",
    )
    for path in (*fetched, "/var/lib/apt/lists/lock"):
        machine.put(path, "\0")
    bootstrap.forget_downloads(machine)
    assert [path for path in fetched if machine.exists(path)] == []
    assert machine.exists("/var/lib/apt/lists/lock")


def test_our_own_interrupted_packages_are_no_problem(machine: FakeMachine) -> None:
    machine.put("/var/lib/dpkg/status", "Package: nginx\nStatus: install ok half-configured\n")
    machine.put(bootstrap.APT_MARKER, "")
    assert found(machine) == []


def test_apt_is_asked_for_its_sources_only_when_packages_are_missing(machine: FakeMachine) -> None:
    found(machine)
    assert machine.asked == [("index.example", 443)]
    machine.installed.clear()
    machine.asked.clear()
    found(machine)
    assert sorted(machine.asked) == [("index.example", 443), ("mirror.example", 80)]


def test_wheels_need_no_network(machine: FakeMachine, tmp_path: Path) -> None:
    assert found(machine, ["--wheels", str(tmp_path)]) == []
    assert machine.asked == []


def test_behind_a_proxy_the_proxy_is_what_must_answer(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    machine.unreachable["proxy.example"] = "its name cannot be resolved"
    assert found(machine)[0].startswith(
        "cannot reach proxy.example for Python packages (the proxy)"
    )
    assert machine.asked == [("proxy.example", 3128)]


def test_indexes_come_from_pips_own_configuration(
    machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.put(
        "/etc/pip.conf", "[global]\nindex-url = https://mirror.school/simple\nproxy = px:1\n"
    )
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://more.school:8443/simple")
    monkeypatch.setenv("PIP_PROXY", "")
    found(machine)
    assert {host for host, _ in machine.asked} == {"px"}
    machine.put("/etc/pip.conf", "[global]\nindex-url = https://mirror.school/simple\n")
    machine.asked.clear()
    found(machine)
    assert sorted(machine.asked) == [("mirror.school", 443), ("more.school", 8443)]


def test_a_trial_asks_for_neither_root_nor_systemd(machine: FakeMachine, tmp_path: Path) -> None:
    machine.user = 1000
    machine.put("/etc/os-release", "ID=arch\n")
    (tmp_path / "run/systemd/system/.keep").unlink()
    (tmp_path / "run/systemd/system").rmdir()
    assert found(machine, ["--trial", "/x"]) == []
    assert "port 80 is for root alone" in found(machine, ["--trial", "/x", "--port", "80"])


def test_check_alone_changes_nothing_and_says_so(tmp_path: Path) -> None:
    command = [sys.executable, str(bootstrap.__file__), "--check", "--trial", str(tmp_path / "t")]
    done = subprocess.run(
        [*command, "--wheels", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode in {0, 1}
    assert list(tmp_path.iterdir()) == []


def test_the_holder_of_a_lock_is_named(tmp_path: Path) -> None:
    """apt and dpkg lock by fcntl, which tells who holds it."""
    lock = tmp_path / "var/lib/dpkg/lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    assert bootstrap.Machine(str(tmp_path)).lock_holder("/var/lib/dpkg/lock") is None
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); "
    code += "print('locked', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        assert bootstrap.Machine(str(tmp_path)).lock_holder("/var/lib/dpkg/lock") == process.pid
        process.communicate()


@pytest.mark.parametrize(
    ("url", "trusted", "is_taken"),
    [
        ("https://example.org/hub_appliance-1.0-py3-none-any.whl", "", True),
        ("http://example.org/hub_appliance-1.0-py3-none-any.whl", "", False),
        ("http://mirror.school/x.whl", "other mirror.school", True),
        ("http://mirror.school/x.whl", "other mirror.school:8080", True),
        ("http://mirror.school.evil.example/x.whl", "mirror.school", False),
        ("http://127.0.0.1:8000/x.whl", "", True),
        ("ftp://mirror.school/x.whl", "mirror.school", False),
        ("file:///x.whl", "", False),
    ],
)
def test_what_becomes_root_comes_by_https(url: str, trusted: str, is_taken: bool) -> None:
    if is_taken:
        bootstrap.check_source(url, trusted)
        return
    with pytest.raises(bootstrap.StageError) as caught:
        bootstrap.check_source(url, trusted)
    assert "HTTPS" in caught.value.why


RETRYING = (
    "WARNING: Retrying (Retry(total=0)) after connection broken by '{}': /simple/hub-appliance/"
)


@pytest.mark.parametrize(
    ("broken_by", "words"),
    [
        (
            "NewConnectionError('<urllib3.HTTPSConnection object at 0x7f>: Failed to establish a "
            "new connection: [Errno -3] Temporary failure in name resolution')",
            "Temporary failure in name resolution",
        ),
        (
            "ProxyError('Cannot connect to proxy.', NewConnectionError('<urllib3.HTTPSConnection "
            "object at 0x7f>: Failed to establish a new connection: [Errno 111] Connection "
            "refused'))",
            "Connection refused",
        ),
        (
            "ConnectTimeoutError(<urllib3.HTTPSConnection object at 0x7f>, 'Connection to "
            "index.example timed out. (connect timeout=15)')",
            "Connection to index.example timed out. (connect timeout=15)",
        ),
    ],
)
def test_an_index_that_is_not_reached_is_told_as_such(broken_by: str, words: str) -> None:
    said = RETRYING.format(broken_by) + "\nERROR: No matching distribution found for hub-appliance"
    assert bootstrap.unreached(said) == f"the package index can't be reached: {words}"
    assert bootstrap.unreached("ERROR: No matching distribution found for hub-appliance") == ""


def test_an_index_that_cannot_be_reached_is_not_one_without_releases(tmp_path: Path) -> None:
    def releases(index: str) -> subprocess.CompletedProcess[str]:
        program = str(Path(__file__).parents[3] / "bootstrap.py")
        return subprocess.run(
            [sys.executable, program, "--releases", "--index", index],
            env={**os.environ, "PIP_RETRIES": "1"}, capture_output=True, text=True, check=False,
            timeout=60,
        )  # fmt: skip

    assert releases(str(tmp_path)).stdout == "[]\n"
    told = releases(f"http://127.0.0.1:{free_port()}/simple")
    assert told.returncode
    assert "the package index can't be reached" in told.stderr


def test_authorities_are_put_together_where_that_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, own, both = (tmp_path / name for name in ("system.pem", "own.pem", "both.pem"))
    system.write_text("SYSTEM\n")
    own.write_text("OWN\n")
    both.write_text("SYSTEM\nOWN\n")
    monkeypatch.setattr(bootstrap, "SYSTEM_AUTHORITIES", str(system))
    software = tmp_path / "software"
    assert bootstrap.ca_bundle("", str(software)) == str(system)
    assert bootstrap.ca_bundle(str(both), str(software)) == str(both)
    assert not software.exists()
    bundle = bootstrap.ca_bundle(str(own), str(software))
    assert Path(bundle).read_text() == both.read_text()


def test_authorities_are_found_where_nothing_may_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.pem"
    own.write_text("OWN\n")

    def refuse(*_words: object, **_named: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(bootstrap.os, "makedirs", refuse)
    assert bootstrap.ca_bundle(str(own), str(tmp_path / "software")) == str(own)
