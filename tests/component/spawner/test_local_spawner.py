from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from appliance.config.schema import Config
from appliance.errors import SpawnFailed, SpawnRefused, SpawnTimeout
from appliance.interfaces import StartRequest
from appliance.local_spawner.spawner import LocalSpawner
from appliance.names import ServerId, ServerName, Username
from appliance.places import Places

ADA = ServerId(Username("ada"))
LAB = ServerId(Username("ada"), ServerName("lab2"))
REQUEST = StartRequest("ab" * 32)

SERVER = textwrap.dedent(
    """
    import os, signal, socket, subprocess, sys, time
    user = os.environ["JUPYTERHUB_USER"]
    print("the server of", user, flush=True)
    if user == "crash":
        sys.exit(3)
    if user == "slow":
        time.sleep(60)
    if user == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    token = open(os.environ["CREDENTIALS_DIRECTORY"] + "/token").read()
    child = subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL)
    listener = socket.socket(fileno=os.dup(0))
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    channel.sendto(b"STATUS=up\\nREADY=1", os.environ["NOTIFY_SOCKET"])
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(f"{os.getpid()} {child.pid} {token}".encode())
    """
)


@pytest.fixture
def places() -> Iterator[Places]:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t") as folder:
        base = Path(folder)
        yield Places(
            base / "s", base, base / "state", base / "run", base / "homes", trial=True,
            class_files=base / "class-files",
        )  # fmt: skip


@pytest.fixture
async def spawner(places: Places) -> AsyncIterator[LocalSpawner]:
    config = Config.model_validate({"servers": {"start_timeout": 5}})
    spawner = LocalSpawner(config, places, command=[sys.executable, "-c", SERVER])
    yield spawner
    for server in list(await spawner.running()):
        await spawner.stop(server)


def ask(places: Places, server: ServerId) -> list[str]:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(places.server_sockets / server.socket_path))
        return client.recv(1000).decode().split()


async def test_a_program_that_is_not_installed_is_refused(places: Places) -> None:
    config = Config.model_validate({"servers": {"program": "jupyterhub-singleuser"}})
    spawner = LocalSpawner(config, places)
    with pytest.raises(SpawnRefused, match="jupyterhub-singleuser") as raised:
        await spawner.start(ADA, REQUEST)
    assert "appliance config set servers.program appliance" in raised.value.mend
    assert await spawner.running() == {}
    assert not (places.server_sockets / ADA.socket_path).exists()


def is_alive(pid: int) -> bool:
    try:
        # Whoever adopted it may not have taken note of its end.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def wait_until_known(spawner: LocalSpawner, server: ServerId) -> None:
    while server not in await spawner.running():  # noqa: ASYNC110 - nobody is told of it
        await asyncio.sleep(0.01)


def working_directory(pid: str) -> Path:
    return Path(f"/proc/{pid}/cwd").resolve()


def environment(pid: str) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_a_server_gets_socket_token_and_home(spawner: LocalSpawner, places: Places) -> None:
    await spawner.start(ADA, REQUEST)
    pid, _, token = ask(places, ADA)
    assert token == REQUEST.token
    assert working_directory(pid) == places.homes / "ada"
    assert b"ab" * 32 not in environment(pid)
    assert (places.homes / "ada").stat().st_mode & 0o777 == 0o700


async def test_usage_counts_children_too(spawner: LocalSpawner) -> None:
    await spawner.start(ADA, REQUEST)
    running = (await spawner.running())[ADA]
    assert running.ready
    assert (running.tasks or 0) >= 2
    assert (running.memory_bytes or 0) > 2**20


async def test_a_stop_leaves_no_process_and_no_socket(
    spawner: LocalSpawner, places: Places
) -> None:
    await spawner.start(LAB, REQUEST)
    pid, child, _ = ask(places, LAB)
    await spawner.stop(LAB)
    assert not is_alive(int(pid))
    assert not is_alive(int(child))
    assert not (places.server_sockets / LAB.socket_path).exists()
    assert await spawner.running() == {}
    await spawner.stop(LAB)
    assert list((places.run / "s").iterdir()) == []


async def test_a_running_server_is_not_started_again(spawner: LocalSpawner) -> None:
    await spawner.start(ADA, REQUEST)
    with pytest.raises(SpawnRefused):
        await spawner.start(ADA, REQUEST)


async def test_a_crash_is_told_with_the_last_lines(spawner: LocalSpawner, places: Places) -> None:
    crash = ServerId(Username("crash"))
    with pytest.raises(SpawnFailed, match="exit status 3") as raised:
        await spawner.start(crash, REQUEST)
    assert raised.value.log == ("the server of crash",)
    assert not (places.server_sockets / crash.socket_path).exists()
    assert await spawner.running() == {}


async def test_a_slow_start_ends_in_time(spawner: LocalSpawner) -> None:
    with pytest.raises(SpawnTimeout, match="within 5 seconds"):
        await spawner.start(ServerId(Username("slow")), REQUEST)
    assert await spawner.running() == {}


async def test_a_start_can_be_broken_off(spawner: LocalSpawner) -> None:
    slow = ServerId(Username("slow"))
    starting = asyncio.create_task(spawner.start(slow, REQUEST))
    await wait_until_known(spawner, slow)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert await spawner.running() == {}


async def test_a_stop_breaks_off_a_start(spawner: LocalSpawner) -> None:
    slow = ServerId(Username("slow"))
    starting = asyncio.create_task(spawner.start(slow, REQUEST))
    await wait_until_known(spawner, slow)
    await spawner.stop(slow)
    with pytest.raises(SpawnFailed, match="it was stopped"):
        await starting


async def test_ends_are_told(spawner: LocalSpawner, places: Places) -> None:
    exits = spawner.exits()
    await spawner.start(ADA, REQUEST)
    await spawner.start(LAB, REQUEST)
    os.kill(int(ask(places, ADA)[0]), 9)
    exited = await asyncio.wait_for(anext(exits), 5)
    assert (exited.server, exited.failed) == (ADA, True)
    assert "SIGKILL" in exited.reason
    assert not (places.server_sockets / ADA.socket_path).exists()
    await spawner.stop(LAB)
    exited = await asyncio.wait_for(anext(exits), 5)
    assert (exited.server, exited.failed) == (LAB, False)


async def test_a_forgotten_users_files_are_put_aside(spawner: LocalSpawner, places: Places) -> None:
    await spawner.start(ADA, REQUEST)
    (places.homes / "ada" / "work.ipynb").write_text("work")
    await spawner.forget_user(Username("ada"))
    await spawner.start(ADA, REQUEST)
    assert list((places.homes / "ada").iterdir()) == []
    (kept,) = (places.homes / ".retired").rglob("work.ipynb")
    assert kept.read_text() == "work"


async def test_a_renamed_user_keeps_the_files(spawner: LocalSpawner, places: Places) -> None:
    eve = Username("eve")
    await spawner.start(ADA, REQUEST)
    (places.homes / "ada" / "work.ipynb").write_text("work")
    with pytest.raises(SpawnRefused, match="is running"):
        await spawner.rename_user(ADA.user, eve)
    await spawner.stop(ADA)
    for _ in range(2):
        await spawner.rename_user(ADA.user, eve)
    assert (places.homes / "eve" / "work.ipynb").read_text() == "work"
    (places.homes / "ada").mkdir()
    with pytest.raises(SpawnRefused, match="is there already"):
        await spawner.rename_user(ADA.user, eve)


async def test_the_log_is_kept(spawner: LocalSpawner) -> None:
    assert await spawner.log(ADA, lines=5) == []
    await spawner.start(ADA, REQUEST)
    assert await spawner.log(ADA, lines=5) == ["the server of ada"]


def test_servers_end_with_the_hub_however_it_ends(places: Places) -> None:
    hub = textwrap.dedent(
        f"""
        import asyncio, sys
        from pathlib import Path
        from appliance.config.schema import Config
        from appliance.interfaces import StartRequest
        from appliance.local_spawner.spawner import LocalSpawner
        from appliance.names import ServerId, Username
        from appliance.places import Places
        base = Path({str(places.settings)!r})
        places = Places(base / "s", base, base / "state", base / "run", base / "homes", trial=True)
        async def run():
            spawner = LocalSpawner(Config(), places, command=[sys.executable, "-c", {SERVER!r}])
            await spawner.start(ServerId(Username("ada")), StartRequest("ab" * 32))
            print("started", flush=True)
            await asyncio.sleep(60)
        asyncio.run(run())
        """
    )
    with subprocess.Popen([sys.executable, "-c", hub], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        server = int(ask(places, ADA)[0])
        process.kill()
    for _ in range(100):
        if not is_alive(server):
            return
        subprocess.run(["sleep", "0.05"], check=True)
    raise AssertionError("the server lives on")


async def test_a_server_finds_its_classes_in_the_home(
    spawner: LocalSpawner, places: Places
) -> None:
    await spawner.set_class("Biology 7b", members=[ADA.user], teachers=[])
    await spawner.start(ADA, REQUEST)
    own = places.homes / "ada/biology-7b"
    assert sorted(path.name for path in own.iterdir()) == ["drop", "shared", "together"]
    assert (own / "drop").is_dir()
