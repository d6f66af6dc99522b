"""The spawner daemon on a real systemd, with a server of a few lines in the place of Jupyter's."""

from __future__ import annotations

import io
import json
import shlex
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.config.schema import Config
from appliance.names import ServerId, Username
from appliance.systemd_spawner.files import DAEMON_FILES
from tests.integration.images import Debian
from tests.integration.installed import CHECKOUT
from tests.integration.machine import Machine

pytestmark = pytest.mark.machine

SERVER = """\
#!/usr/bin/python3
import os, socket, sys, time
user = os.environ["JUPYTERHUB_USER"]
print("the server of", user, flush=True)
if user == "crash":
    sys.exit("no module named nonsense")
if user == "slow":
    time.sleep(600)
hoard = []
while user == "eat":
    hoard.append(bytearray(b"x" * 2**20))
assert len(open(os.environ["CREDENTIALS_DIRECTORY"] + "/token").read()) == 64
channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
channel.sendto(b"READY=1\\nSTATUS=Serving /user/x/ (cold: for a test)", os.environ["NOTIFY_SOCKET"])
time.sleep(3600)
"""

# What such a server's start is answered with.
STARTED = {"ok": True, "preloaded": False, "cold_reason": "for a test"}

# Each argument is a request; all go out at once, each on a connection of its own.
ASK = """\
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor
def ask(request):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("/run/appliance/spawner.sock")
        client.sendall(request.encode() + b"\\n")
        return client.makefile().readline()
with ThreadPoolExecutor(64) as pool:
    for reply in pool.map(ask, sys.argv[1:]):
        print(reply, end="", flush=True)
"""

WATCH = """\
import socket
client = socket.socket(socket.AF_UNIX)
client.connect("/run/appliance/spawner.sock")
client.sendall(b'{"verb": "watch"}\\n')
for line in client.makefile():
    print(line, end="", flush=True)
"""

# Twenty starts at once on a busy host take their time.
_PATIENCE_SECONDS = 180

# What a crash that a test wants leaves in the journal.
WANTED_ERRORS = ["appliance-user-"]


class Spawner:
    """The daemon of a machine, asked over its socket as the hub does."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def ask_all(self, *requests: dict[str, Any]) -> list[dict[str, Any]]:
        words = " ".join(shlex.quote(json.dumps(request)) for request in requests)
        printed = self.machine.execute(f"python3 /root/ask.py {words}", timeout=300)
        return [json.loads(line) for line in printed.splitlines()]

    def ask(self, verb: str, **fields: Any) -> dict[str, Any]:
        (reply,) = self.ask_all({"verb": verb, **fields})
        return reply

    def start(self, *users: str) -> list[dict[str, Any]]:
        return self.ask_all(
            *({"verb": "start", "user": user, "server": "", "token": "ab" * 32} for user in users)
        )

    def give_servers_seconds(self, seconds: int) -> None:
        """How long servers started from now on may take."""
        self.machine.execute(
            "cat >/var/lib/appliance/rendered/spawner.json", stdin=_config(seconds)
        )

    def running(self) -> set[str]:
        return {row["user"] for row in self.ask("list")["servers"]}


@pytest.fixture(
    scope="module",
    params=[Debian.TRIXIE, pytest.param(Debian.BOOKWORM, marks=pytest.mark.long)],
)
def spawner(request: pytest.FixtureRequest) -> Iterator[Spawner]:
    with Machine(request.param) as machine:
        machine.allowed.errors += WANTED_ERRORS
        _install(machine)
        yield Spawner(machine)
        machine.execute("systemctl stop 'appliance-user-*'")


def _install(machine: Machine) -> None:
    machine.execute("apt-get update", timeout=300)
    machine.execute("apt-get install -y --no-install-recommends python3-pystemd", timeout=300)
    machine.execute("tar -C / --no-overwrite-dir -xf -", stdin=_files())
    machine.execute(
        "systemd-sysusers && systemd-tmpfiles --create; systemctl daemon-reload"
        " && systemctl start appliance-spawner.service"
        # Power is going to be cut, and what is tested is the daemon, not tar.
        " && sync"
    )


def _config(start_seconds: int) -> bytes:
    limits = {"memory": "128M", "cpu": 1, "tasks": 64}
    servers = {"start_timeout": start_seconds}
    config = Config.model_validate({"limits": limits, "servers": servers})
    return config.model_dump_json().encode()


def _files() -> bytes:
    contents = {
        "opt/appliance/user/bin/python": SERVER.encode(),
        "root/ask.py": ASK.encode(),
        "root/watch.py": WATCH.encode(),
        "var/lib/appliance/rendered/spawner.json": _config(_PATIENCE_SECONDS),
    }
    for source, place in DAEMON_FILES.items():
        contents[f"opt/appliance/spawner/{place}"] = (CHECKOUT / "appliance" / source).read_bytes()
    for unit in (CHECKOUT / "units").iterdir():
        contents[_place_of_unit(unit)] = unit.read_bytes()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _place_of_unit(unit: Path) -> str:
    if unit.suffix in (".sysusers", ".tmpfiles"):
        return f"etc/{unit.suffix[1:]}.d/appliance.conf"
    return f"etc/systemd/system/{unit.name}"


def test_every_failure_is_told_in_words(spawner: Spawner) -> None:
    spawner.give_servers_seconds(10)
    crash, slow, eat = spawner.start("crash", "slow", "eat")
    spawner.give_servers_seconds(_PATIENCE_SECONDS)
    assert crash["code"] == "failed"
    assert "exit status 1" in crash["why"]
    assert "no module named nonsense" in crash["log"]
    assert slow["code"] == "timeout"
    assert "within 10 seconds" in slow["why"]
    assert eat["code"] == "failed"
    assert "more memory than its limit of 128 MB" in eat["why"]
    assert spawner.running() == set()
    assert spawner.machine.execute("ls /run/appliance/credentials") == ""


def test_twenty_new_users_start_at_once(spawner: Spawner) -> None:
    users = [f"user{number}@example.org" for number in range(20)]
    assert spawner.start(*users) == [STARTED] * 20
    assert spawner.running() == set(users)
    accounts = spawner.machine.execute("getent passwd | grep -c '^nb-user'")
    assert int(accounts) == 20
    for user in users:
        assert spawner.ask("stop", user=user, server="") == {"ok": True}
    assert spawner.machine.execute("find /run/appliance/servers -type s") == ""


@pytest.mark.parametrize(
    "upset",
    [
        "systemctl restart dbus.service",
        "systemctl daemon-reexec",
        "systemctl restart appliance-spawner.service",
        "kill -9 $(systemctl show --property=MainPID --value appliance-spawner.service)",
    ],
)
def test_servers_and_their_ends_survive(upset: str, spawner: Spawner) -> None:
    machine = spawner.machine
    assert spawner.start("ada") == [STARTED]
    pid = machine.execute("systemctl show --property=MainPID --value appliance-user-ada.service")
    machine.execute(upset)
    time.sleep(3)
    assert spawner.running() == {"ada"}
    machine.execute("nohup python3 /root/watch.py >/root/ends 2>&1 & echo $! >/root/watcher")
    machine.execute(f"kill -SEGV {pid}")
    told = machine.wait_until("grep SIGSEGV /root/ends", timeout=20)
    event = json.loads(told.splitlines()[-1])
    assert (event["user"], event["failed"]) == ("ada", True)
    assert spawner.running() == set()
    machine.execute("kill $(cat /root/watcher)")


def test_a_retired_users_files_are_roots_and_the_name_is_free(spawner: Spawner) -> None:
    machine = spawner.machine
    spawner.start("zoe")
    machine.execute("touch /home/nb-zoe/work.ipynb")
    assert spawner.ask("forget_user", user="zoe") == {"ok": True}
    assert machine.execute("stat --format=%U:%a /home/nb-zoe") == "root:700\n"
    assert spawner.start("zoe") == [STARTED]
    assert "work.ipynb" not in machine.execute("ls /home/nb-zoe-2")
    spawner.ask("stop", user="zoe", server="")


def test_a_renamed_user_keeps_account_and_files(spawner: Spawner) -> None:
    machine = spawner.machine
    spawner.start("kim")
    assert spawner.ask("rename_user", user="kim", new="kit")["code"] == "refused"
    machine.execute("touch /home/nb-kim/work.ipynb")
    spawner.ask("stop", user="kim", server="")
    assert spawner.ask("rename_user", user="kim", new="kit") == {"ok": True}
    machine.execute("systemctl restart appliance-spawner.service")
    assert spawner.start("kit", "kim") == [STARTED] * 2
    unit = ServerId(Username("kit")).unit
    assert machine.execute(f"systemctl show --property=User --value '{unit}'") == "nb-kim\n"
    assert machine.execute("stat --format=%U /home/nb-kim") == "nb-kim\n"
    machine.execute("test -e /home/nb-kim/work.ipynb")
    assert "work.ipynb" not in machine.execute("ls /home/nb-kim-2")
    for user in ("kit", "kim"):
        spawner.ask("stop", user=user, server="")


@pytest.mark.parametrize(
    "seconds",
    [pytest.param(0.5, marks=pytest.mark.long), 1.5, pytest.param(3.0, marks=pytest.mark.long)],
)
def test_a_power_cut_while_accounts_are_made_heals(seconds: float, spawner: Spawner) -> None:
    machine = spawner.machine
    users = [f"cut{str(seconds).replace('.', '-')}-{number}" for number in range(6)]
    requests = " ".join(
        shlex.quote(json.dumps({"verb": "start", "user": user, "server": "", "token": "ab" * 32}))
        for user in users
    )
    machine.execute(f"nohup python3 /root/ask.py {requests} >/dev/null 2>&1 &")
    time.sleep(seconds)
    machine.cut_power()
    machine.boot()
    machine.execute("systemctl start appliance-spawner.service")
    assert spawner.start(*users) == [STARTED] * len(users)
    for user in users:
        owner = machine.execute(f"stat --format=%U:%a /home/nb-{user}")
        assert owner == f"nb-{user}:700\n"
        spawner.ask("stop", user=user, server="")
    rows = json.loads(machine.read_file("/var/lib/appliance/spawner/accounts.json"))["accounts"]
    assert len({row["uid"] for row in rows}) == len({row["name"] for row in rows}) == len(rows)
    machine.execute("grpck --read-only")
