"""A preloaded server and its kernels are confined as those that were started cold: field by field.

They are started in turns for one user, in all ways there are, and compared with one another. What
the kernel and systemd say of them is compared, and what they can do themselves. Servers are told of
a proxy and of an authority, which start no server cold.
"""

from __future__ import annotations

import json
import re
from ast import literal_eval
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.fakes.certificates import Authority
from tests.integration.images import Debian
from tests.integration.preloaded import INSIDE, Preloaded, open_native, unit_of

pytestmark = pytest.mark.machine

USER: Final = "zoe"
FORBIDDEN: Final = (INSIDE / "forbidden.py").read_text()
AUTHORITY: Final = "/etc/ssl/school-ca.pem"
PROXY: Final = "http://192.0.2.1:3128"
NETWORK: Final = rf"  for_servers: true\n  proxy: {PROXY}\n  ca_file: {AUTHORITY}"

# Properties of a unit that are of one start: when, under which number, how much of what was used.
OF_ONE_START: Final = re.compile(
    r"(\w*Timestamp\w*|\w*PID|InvocationID|ControlGroupId|Refs|StatusText|CPUUsageNSec"
    r"|Memory(Current|Peak|Available|SwapCurrent|SwapPeak|ZSwapCurrent)|EffectiveMemory\w+"
    r"|TasksCurrent|IO\w+(Bytes|Operations)|IP\w+(Bytes|Packets))="
)
# Variables of one start; and the last, which a kernel is told by whoever starts it.
VARIABLES_OF_ONE_START: Final = {
    *("INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID", "JUPYTERHUB_API_TOKEN"),
    "JPY_PARENT_PID",
}
# The unit's session keyring has a key with which a program could prove its invocation to nobody:
# a forked process has an empty keyring of its own.
KEYS: Final = "see its keys"

# A server has its forked kernel by this, and a cold one as its child.
WATCHED_KERNEL: Final = "/descriptors: now more anon_inode:[pidfd] 02000002"

# Whatever else is compared: these must fail, and not be the same because both can.
REFUSED: Final = {
    "make a program set-user-ID": "EPERM",
    "make a device": "EPERM",
    "see processes of others": "0",
    "see the environment of others": "ENOENT",
    "see settings": "EACCES",
    "see state": "EACCES",
    "read /etc/shadow": "EACCES",
    "make a cgroup": "EROFS",
    "leave its cgroup": "EROFS",
    "be root": "EPERM",
    "be of more groups": "EPERM",
    "ask the spawner": "ENOENT",
    "ask the hub as root": "ENOENT",
    "listen to packets": "EAFNOSUPPORT",
    "be another personality": "EPERM",
    "mount": "EPERM",
    "trace the first process": "EPERM",
    "write to /etc": "EROFS",
    "write to /opt/appliance/user/bin": "EROFS",
    "unshare user": "EPERM",
    "unshare mounts": "EPERM",
    "list /home": f"['nb-{USER}']",
    "its no new privileges": "1",
    "its seccomp": "2",
}


@dataclass(frozen=True)
class Picture:
    """A server and a kernel of it, as they were started one way."""

    status: str
    unit: list[str]
    server: dict[str, Any]
    kernel: dict[str, Any]
    in_kernel: dict[str, dict[str, str]]
    in_terminal: dict[str, dict[str, str]]


@dataclass(frozen=True)
class Pictures:
    cold: Picture
    """With the daemons stopped."""
    off: Picture
    """With preloading off by its settings."""
    preloaded: Picture


@pytest.fixture(scope="module", params=list(Debian))
def pictures(request: pytest.FixtureRequest) -> Iterator[Pictures]:
    with open_native(request.param) as room:
        yield take_pictures(room)


def take_pictures(room: Preloaded) -> Pictures:
    """Start a server in each way, one after the other; preloading is off afterwards."""
    room.machine.write_file(AUTHORITY, Authority().pem)
    room.machine.execute(rf"sed -i 's|^network:.*|&\n{NETWORK}|' /etc/appliance/config.yaml")
    room.machine.execute("appliance config reload", timeout=90)
    room.add(USER)
    preloaded = _take(room)
    room.stop_daemons()
    cold = _take(room)
    room.machine.execute("appliance config set preload.servers false", timeout=90)
    room.machine.execute("appliance config set preload.kernels false", timeout=90)
    return Pictures(cold=cold, off=_take(room), preloaded=preloaded)


def _take(room: Preloaded) -> Picture:
    status = room.start(USER)
    kernel = room.start_kernel(USER)
    number = int(room.run(USER, kernel, "import os; print(os.getpid())"))
    picture = Picture(
        status=status,
        unit=room.machine.execute(f"systemctl show {unit_of(USER)}").splitlines(),
        server=room.portrait(room.main_pid(unit_of(USER)), "server"),
        kernel=room.portrait(number, "kernel"),
        in_kernel=json.loads(room.run(USER, kernel, FORBIDDEN)),
        in_terminal=json.loads(room.run_in_terminal(USER, "forbidden.py")),
    )
    room.stop(USER)
    return picture


def _differences(one: Any, other: Any, name: str = "") -> list[str]:
    """Where two pictures differ, in lines."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            line
            for key in sorted(one.keys() | other.keys())
            for line in _differences(one.get(key), other.get(key), f"{name}/{key}")
        ]
    if isinstance(one, list) and isinstance(other, list):
        less = [f"{name}: no longer {line}" for line in one if line not in other]
        more = [f"{name}: now {line}" for line in other if line not in one]
        return less + more or ([f"{name}: {one}, now {other}"] if one != other else [])
    return [] if one == other else [f"{name}: {one!r}, now {other!r}"]


def test_they_were_started_as_this_test_wants(pictures: Pictures) -> None:
    assert pictures.preloaded.status == f"Serving /user/{USER}/ (preloaded)"
    assert pictures.cold.status.startswith(f"Serving /user/{USER}/ (cold: the preload daemon ")
    assert pictures.off.status == f"Serving /user/{USER}/"
    parents = [line for line in pictures.preloaded.kernel["status"] if line.startswith("PPid:")]
    assert parents == ["PPid:\t1"]
    assert "PPid:\t1" not in pictures.cold.kernel["status"]
    for place in (pictures.preloaded.in_kernel, pictures.preloaded.in_terminal):
        assert place["environment"]["HTTPS_PROXY"] == PROXY
        assert place["environment"]["SSL_CERT_FILE"] == "/run/appliance/authorities.pem"


def test_a_servers_process_is_the_same(pictures: Pictures) -> None:
    found = _differences(pictures.cold.server, pictures.preloaded.server)
    assert [line for line in found if line != WATCHED_KERNEL] == []


def test_a_kernels_process_is_the_same(pictures: Pictures) -> None:
    found = _differences(pictures.cold.kernel, pictures.preloaded.kernel)
    # A cold kernel is a child of the server, a forked one of the first process.
    assert [line for line in found if "PPid:" not in line] == []


def test_the_unit_is_the_same_to_systemd(pictures: Pictures) -> None:
    cold, preloaded = (_lasting(picture.unit) for picture in (pictures.cold, pictures.preloaded))
    assert _differences(cold, preloaded) == []


def _lasting(properties: list[str]) -> list[str]:
    lines = [line for line in properties if not OF_ONE_START.match(line)]
    # What ran is told with its time and number; dependencies come in any order.
    lines = [line.partition(" ; ignore_errors=")[0].partition(" ; flags=")[0] for line in lines]
    pairs = (line.partition("=") for line in lines)
    return [f"{name}={' '.join(sorted(value.split()))}" for name, _, value in pairs]


@pytest.mark.parametrize("place", ["in_kernel", "in_terminal"])
def test_it_may_do_the_same(place: str, pictures: Pictures) -> None:
    cold, preloaded = (
        dict(getattr(picture, place)["tried"]) for picture in (pictures.cold, pictures.preloaded)
    )
    assert {name: preloaded[name] for name in REFUSED} == REFUSED
    before, now = cold.pop(KEYS), preloaded.pop(KEYS)
    assert "invocation_id:" in before
    # None of root's or of the daemon's: one of the server's, and one of the kernel's.
    line = next(line for line in pictures.preloaded.server["status"] if line.startswith("Uid:"))
    uid = line.split()[1]
    session = ["3f030000", uid, "keyring", "_ses:"]
    # The kernel has two more for each uid, and machines beside this one have it, too.
    of_uid = [["1f3f0000", uid, "keyring", f"{name}.{uid}:"] for name in ("_uid", "_uid_ses")]
    keys = literal_eval(now)
    assert session in keys
    assert all(key in (session, *of_uid) for key in keys), keys
    assert _differences(cold, preloaded) == []


@pytest.mark.parametrize("place", ["in_kernel", "in_terminal"])
def test_its_variables_are_the_same(place: str, pictures: Pictures) -> None:
    cold, preloaded = (
        getattr(picture, place)["environment"] for picture in (pictures.cold, pictures.preloaded)
    )
    assert set(_differences(cold, preloaded)) == {
        line for line in _differences(cold, preloaded)
        if line.partition(":")[0].strip("/") in VARIABLES_OF_ONE_START
    }  # fmt: skip


def test_nothing_but_the_way_to_the_daemons_differs_from_a_server_without_preloading(
    pictures: Pictures,
) -> None:
    found = _differences(pictures.off.server, pictures.preloaded.server)
    found = [line for line in found if line != WATCHED_KERNEL]
    assert [line for line in found if "/run/appliance/preload" not in line] == []
    assert len(found) == 1
    for place in ("in_kernel", "in_terminal"):
        off, preloaded = (
            dict(getattr(picture, place)["tried"]) for picture in (pictures.off, pictures.preloaded)
        )
        assert off.pop("list /run/appliance") == "['authorities.pem', 'proxy']"
        assert preloaded.pop("list /run/appliance") == "['authorities.pem', 'preload', 'proxy']"
        del off[KEYS], preloaded[KEYS]
        assert _differences(off, preloaded) == []
