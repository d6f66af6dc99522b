"""The hub as a process: how it starts, refuses to start, is killed, and ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import stat
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from appliance.config.schema import Config
from appliance.db.session import Database
from appliance.places import Places
from tests.component.hub.conftest import STUDENT_PASSWORD
from tests.fakes.hub_machine import Answer, Browser, exchange

ROOT = Path(__file__).resolve().parents[3]
# Opens the sockets, puts them at 3 and 4, and becomes the hub (sd_listen_fds(3)).
AS_SYSTEMD_DOES = """
import fcntl, os, socket, sys
spare = []
for path in sys.argv[1:]:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    spare.append(fcntl.fcntl(listener.fileno(), fcntl.F_DUPFD, 50))
for number, descriptor in enumerate(spare):
    os.dup2(descriptor, 3 + number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="hub:admin")
os.execv(sys.executable, [sys.executable, "-m", "tests.fakes.hub_program"])
"""


class Folder:
    """A trial folder whose hub can be started again and again."""

    def __init__(self, path: Path) -> None:
        self.places = Places.of_trial(path)
        self.config = Config.model_validate({"signup": {"mode": "open"}})
        for folder in (self.places.rendered, self.places.run, self.places.hub_state):
            folder.mkdir(parents=True)
        (self.places.rendered / "hub.json").write_text(self.config.model_dump_json())

    async def spawn(self, **environment: str) -> Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.fakes.hub_program", cwd=ROOT, stderr=PIPE, stdout=PIPE,
            env={
                "APPLIANCE_TRIAL": str(self.places.settings),
                "PATH": os.environ["PATH"],
                **environment,
            },
        )  # fmt: skip

    @asynccontextmanager
    async def running(self, **environment: str) -> AsyncIterator[Process]:
        process = await self.spawn(**environment)
        try:
            await self._wait_until_it_answers(process)
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def _wait_until_it_answers(self, process: Process) -> None:
        async with asyncio.timeout(30):
            while process.returncode is None:
                try:
                    answer = await self.root("GET", "health")
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    assert answer.status == 200
                    return
        raise AssertionError((await process.communicate())[1].decode())

    async def root(self, method: str, path: str, body: object = None) -> Answer:
        data = b"" if body is None else json.dumps(body).encode()
        return await exchange(self.places.admin_socket, method, f"/hub/api/{path}", {}, data)

    def browser(self) -> Browser:
        return Browser(self)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "trial")


async def _ended(process: Process) -> tuple[int | None, str]:
    async with asyncio.timeout(30):
        _, stderr = await process.communicate()
    return process.returncode, stderr.decode()


async def test_it_answers_on_sockets_that_only_its_account_may_open(folder: Folder) -> None:
    async with folder.running():
        for path in (folder.places.hub_socket, folder.places.admin_socket):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for file in folder.places.hub_state.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


@pytest.mark.parametrize(
    "text", ["", "{", '{"http": {"port": "eighty"}}', '{"limits": {"memry": 1}}', None]
)
async def test_a_configuration_that_cannot_be_used_ends_it_with_78(
    folder: Folder, text: str | None
) -> None:
    path = folder.places.rendered / "hub.json"
    path.unlink() if text is None else path.write_text(text)
    code, told = await _ended(await folder.spawn())
    assert code == 78
    assert "hub.json" in told
    assert "to mend" in told
    assert "Traceback" not in told


async def test_systemd_is_kept_waiting_by_a_configuration_that_cannot_be_used(
    folder: Folder,
) -> None:
    (folder.places.rendered / "hub.json").write_text("{")
    began = time.monotonic()
    code, _ = await _ended(await folder.spawn(NOTIFY_SOCKET="/nowhere/notify"))
    assert code == 78
    assert time.monotonic() - began > 5


async def test_a_database_of_a_later_program_ends_it_with_78(folder: Folder) -> None:
    db = Database.at(folder.places.database)
    db.open()
    db.close()
    with sqlite3.connect(folder.places.database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    code, told = await _ended(await folder.spawn())
    assert code == 78
    assert "newer" in told
    assert "Traceback" not in told


async def _first_answer(folder: Folder, process: Process) -> Answer:
    async with asyncio.timeout(30):
        while process.returncode is None:
            try:
                return await folder.root("GET", "users")
            except OSError:
                await asyncio.sleep(0.05)
    raise AssertionError((await process.communicate())[1].decode())


async def test_who_asks_a_hub_whose_database_cannot_be_opened_hears_why(folder: Folder) -> None:
    folder.places.database.write_bytes(b"not a database at all, not even close" * 100)
    process = await folder.spawn()
    answers = [await _first_answer(folder, process), await folder.root("GET", "users")]
    headers = {"Accept": "text/html"}
    page = await exchange(folder.places.hub_socket, "GET", "/hub/login", headers, b"")
    for answer in answers:
        assert answer.status == 503
        assert answer.json["message"].endswith("the file is no database")
    assert page.status == 503
    assert "<h1>" in page.body
    assert "the file is no database" in page.body
    code, told = await _ended(process)
    assert code == 1
    assert "Traceback" not in told


@pytest.mark.parametrize("file", ["hub.json", "xsrf.secret"])
async def test_a_disk_that_cannot_be_read_is_told_and_tried_again(
    folder: Folder, file: str
) -> None:
    async with folder.running():
        pass
    process = await folder.spawn(BROKEN_FILE=file, NOTIFY_SOCKET="/nowhere/notify")
    answer = await _first_answer(folder, process)
    assert answer.status == 503
    assert answer.json["message"].endswith("the disk says: Input/output error")
    assert "appliance doctor" in answer.json["mend"]
    code, told = await _ended(process)
    # With 78 systemd would leave it at that.
    assert code == 1
    assert file in told
    assert "Traceback" not in told
    async with folder.running():
        pass


def _lose_all(database: Path) -> None:
    for path in database.parent.glob(f"{database.name}*"):
        path.unlink()


def _lose_content(database: Path) -> None:
    _lose_all(database)
    database.touch()


def _lose_tables(database: Path) -> None:
    """As when the write-ahead log is lost before its content came into the file."""
    _lose_all(database)
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


@pytest.mark.parametrize("lose", [_lose_all, _lose_content, _lose_tables])
async def test_a_hub_that_lost_its_database_does_not_begin_anew_by_itself(
    folder: Folder, lose: Callable[[Path], None]
) -> None:
    database = folder.places.database
    async with folder.running() as process:
        await _sign_up(folder, "ada")
        process.send_signal(signal.SIGTERM)
        assert (await _ended(process))[0] == 0
    kept = database.read_bytes()
    lose(database)
    process = await folder.spawn()
    answer = await _first_answer(folder, process)
    headers = {"Accept": "text/html"}
    page = await exchange(folder.places.hub_socket, "GET", "/hub/signup", headers, b"")
    assert (answer.status, page.status) == (503, 503)
    assert str(database) in answer.json["message"]
    assert "Cannot find the appliance&#x27;s accounts." in page.body
    assert "<code>sudo appliance restore NAME</code>" in page.body
    code, told = await _ended(process)
    assert code == 1
    assert "Traceback" not in told
    # A backup would take an empty one for the database.
    assert lose is not _lose_all or not database.exists()
    _lose_all(database)
    database.write_bytes(kept)
    async with folder.running():
        assert [user["name"] for user in (await folder.root("GET", "users")).json] == ["ada"]


async def test_without_what_a_hub_leaves_it_begins_anew(folder: Folder) -> None:
    async with folder.running():
        await _sign_up(folder, "ada")
    state = folder.places.hub_state
    # What the message says.
    state.rename(state.with_name("hub.lost"))
    state.mkdir()
    async with folder.running():
        assert (await folder.root("GET", "users")).json == []


async def test_lines_for_the_journal_carry_their_priority(folder: Folder) -> None:
    async with folder.running(JOURNAL_STREAM="8:1") as process:
        process.send_signal(signal.SIGTERM)
        code, told = await _ended(process)
    assert code == 0
    assert told.splitlines()
    assert all(line[0] == "<" and line[2] == ">" for line in told.splitlines())


async def test_sigterm_ends_it_soon_although_somebody_follows_a_start(folder: Folder) -> None:
    async with folder.running() as process:
        await folder.root("POST", "users", {"usernames": ["bob"]})
        await folder.root("POST", "users/bob/server", {})
        browser = folder.browser()
        assert (await browser.get("/hub/login")).status == 200
        listeners = [
            await asyncio.open_unix_connection(str(folder.places.admin_socket)) for _ in range(3)
        ]
        for _, writer in listeners:
            writer.write(b"GET /hub/api/users/bob/server/progress HTTP/1.1\r\nHost: x\r\n\r\n")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code, told = await _ended(process)
        assert time.monotonic() - began < 8
        for _, writer in listeners:
            writer.close()
    assert code == 0, told
    assert "Traceback" not in told


@pytest.mark.parametrize("body", [None, {"servers": True}])
async def test_a_request_ends_it_as_cleanly_as_a_signal(folder: Folder, body: object) -> None:
    async with folder.running() as process:
        await folder.root("POST", "users", {"usernames": ["bob"]})
        await folder.root("POST", "users/bob/server", {})
        answer = await folder.root("POST", "shutdown", body)
        assert (answer.status, answer.json) == (202, {"message": "Shutting down Hub"})
        code, told = await _ended(process)
    # systemd starts it again, unless it ends with 78.
    assert code == 0, told
    assert "Traceback" not in told
    with sqlite3.connect(folder.places.database) as connection:
        (state,) = connection.execute("SELECT state FROM servers").fetchone()
    assert state == ("stopped" if body else "ready")


async def test_no_acknowledged_sign_up_is_lost_however_often_it_is_killed(folder: Folder) -> None:
    """kill -9 in the middle of sign-ups; the database on the disk is what the next one finds."""
    acknowledged: set[str] = set()
    for round_ in range(3):
        async with folder.running() as process:
            signing_up = [
                asyncio.create_task(_sign_up(folder, f"student-{round_}-{number}"))
                for number in range(12)
            ]
            done, _ = await asyncio.wait(signing_up, return_when=asyncio.FIRST_COMPLETED)
            process.kill()
            await process.wait()
            results = await asyncio.gather(*signing_up, return_exceptions=True)
            assert done
            acknowledged |= {name for name in results if isinstance(name, str)}
    assert acknowledged
    async with folder.running():
        users = (await folder.root("GET", "users")).json
        assert acknowledged <= {user["name"] for user in users}
        assert all(user["appliance"]["has_password"] for user in users)
        name = min(acknowledged)
        assert (await folder.browser().log_in(name, STUDENT_PASSWORD)).status == 302
    with sqlite3.connect(folder.places.database) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def _sign_up(folder: Folder, name: str) -> str:
    answer = await folder.browser().sign_up(name, STUDENT_PASSWORD)
    if answer.status != 302:
        raise AssertionError(answer)
    return name


async def test_it_takes_the_sockets_that_systemd_opened(folder: Folder) -> None:
    """The listening sockets are ours before the hub runs, so that a restart refuses nobody."""
    sockets = [str(folder.places.hub_socket), str(folder.places.admin_socket)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", AS_SYSTEMD_DOES, *sockets, cwd=ROOT, stderr=PIPE,
        env={"APPLIANCE_TRIAL": str(folder.places.settings), "PATH": os.environ["PATH"]},
    )  # fmt: skip
    try:
        async with asyncio.timeout(30):
            while not folder.places.admin_socket.exists():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            # Asked before it is ready: the question waits in line.
            assert (await folder.root("GET", "health")).status == 200
    finally:
        process.terminate()
        await _ended(process)
