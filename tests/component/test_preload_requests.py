"""From a request to a process that runs it, and what comes of requests that are odd."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.preload import client
from appliance.preload.client import Cold, Offer, ask

SCRIPT = Path(client.__file__)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[str]:
    """A daemon listens there."""
    name = str(tmp_path / "kernel.sock")
    daemon = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.preload_child", name],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with daemon:
        assert daemon.stdout
        assert daemon.stdout.readline() == "listening\n"
        yield name
        daemon.kill()


def wait_for_end(pidfd: int, seconds: float = 10) -> None:
    assert select.select([pidfd], [], [], seconds)[0], "the process goes on"


def run(path: str, code: str, environ: dict[str, str] | None = None, cwd: str = ".") -> str:
    """Run code in a forked process and read what it prints, errors too."""
    reader, writer = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY)
    offer = ask(path, "kernel", [code], environ or {}, (null, writer, writer), cwd=cwd)
    os.close(writer)
    os.close(null)
    offer.accept()
    with os.fdopen(reader) as file:
        text = file.read()
    wait_for_end(offer.pidfd)
    os.close(offer.pidfd)
    return text


def test_arguments_environment_and_directory_are_the_requests(path: str, tmp_path: Path):
    code = "import os; print(os.getcwd(), sorted(os.environ.items()))"
    text = run(
        path, "import sys; sys.stdout.flush()\n" + code, {"A": "1", "Ä": "ö=2"}, str(tmp_path)
    )
    assert (
        text == f"{tmp_path} {sorted([('A', '1'), ('Ä', 'ö=2'), ('APPLIANCE_PRELOADED', '1')])}\n"
    )


def test_libc_knows_the_environment_too(path: str):
    code = "import ctypes; get = ctypes.CDLL(None).getenv; get.restype = ctypes.c_char_p\n"
    code += "print(get(b'A'), get(b'PATH'))"
    assert run(path, code, {"A": "one"}) == "b'one' None\n"


def test_no_descriptor_of_the_daemon_is_open(path: str):
    text = run(path, "import os; print(sorted(os.listdir('/proc/self/fd')))")
    # The last one is the directory being read.
    assert text == "['0', '1', '2', '3']\n"


def test_it_is_shown_with_its_own_arguments(path: str):
    code = "print(open('/proc/self/cmdline').read().strip(chr(0)))"
    assert run(path, code).strip() == code


def test_a_long_title_is_cut_and_nothing_else_is_overwritten(path: str):
    code = "print(len(open('/proc/self/cmdline').read()) < 100000)" + "#" * 100_000
    assert run(path, code, {"A": "1"}) == "True\n"


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("import sys; print('out', end=''); sys.exit(3)", "out"),
        ("import atexit; atexit.register(print, 'bye')", "bye\n"),
        ("from threading import Timer; Timer(0.2, print, ['late']).start()", "late\n"),
        ("import sys; sys.exit('words')", "words\n"),
        ("raise SystemExit", ""),
    ],
)  # fmt: skip
def test_it_ends_as_python_ends(path: str, code: str, shown: str):
    assert run(path, code) == shown


def test_an_exception_is_shown_and_ends_it(path: str):
    assert "ZeroDivisionError" in run(path, "1 / 0")


def test_garbage_is_collected_again(path: str):
    assert run(path, "import gc; print(gc.isenabled())") == "True\n"


def test_a_long_request_arrives_whole(path: str):
    assert run(path, f"print(len({'x' * 300_000!r}))") == "300000\n"


def test_what_the_template_refuses_starts_cold(path: str):
    with pytest.raises(Cold, match="not today"):
        ask(path, "kernel", ["1"], {"REFUSE": "not today"})


def test_another_kind_is_refused(path: str):
    with pytest.raises(Cold, match="no 'server'"):
        ask(path, "server", ["1"], {})


def test_without_a_daemon(tmp_path: Path):
    with pytest.raises(Cold, match="not running"):
        ask(str(tmp_path / "nobody.sock"), "kernel", ["1"], {})


def test_a_daemon_that_is_gone_leaves_a_socket_that_nobody_answers(path: str, tmp_path: Path):
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(tmp_path / "dead.sock"))
    with pytest.raises(Cold, match="not running"):
        ask(str(tmp_path / "dead.sock"), "kernel", ["1"], {})


def test_the_reason_is_heard_of_a_daemon_that_does_not_wait_for_the_request(tmp_path: Path):
    name = str(tmp_path / "kernel.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(name)
        listener.listen()
        refuser = threading.Thread(target=_refuse, args=(listener,))
        refuser.start()
        with pytest.raises(Cold, match="packages have changed"):
            # Long enough to be still under way when the daemon closes.
            ask(name, "kernel", ["x" * 1_000_000], {})
        refuser.join()


def _refuse(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    connection.send(b"NO the packages have changed\n")
    connection.close()


def test_a_daemon_that_hangs_is_given_up(tmp_path: Path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "hangs.sock"))
    listener.listen()
    started = time.monotonic()
    with pytest.raises(Cold, match="in time"):
        ask(str(tmp_path / "hangs.sock"), "kernel", ["1"], {}, timeout=0.2)
    assert time.monotonic() - started < 5


def test_an_offer_that_nobody_takes_ends_by_itself(path: str):
    offer = ask(path, "kernel", ["print('must not run')"], {})
    offer._connection.close()
    wait_for_end(offer.pidfd)


def test_an_offer_whose_process_was_killed_is_cold(path: str):
    offer: Offer = ask(path, "kernel", ["1"], {})
    os.kill(offer.pid, 9)
    wait_for_end(offer.pidfd)
    with pytest.raises(Cold, match="ended"):
        offer.accept()


ODD = {
    "nothing": b"",
    "half a length": b"\x04",
    "shorter than it says": b"\xff\0\0\0abc",
    "far too long": b"\xff\xff\xff\xff" + b"x" * 70_000,
    "no words": b"\0\0\0\0",
    "no number": b"\x09\0\0\0kernel\0x\0",
    "negative number": b"\x0a\0\0\0kernel\0-1\0",
    "too few arguments": b"\x0b\0\0\0kernel\x003\0a\0",
}


@pytest.mark.parametrize("message", ODD.values(), ids=ODD.keys())
def test_odd_requests_are_refused_with_a_reason(path: str, message: bytes):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(path)
    descriptors = [os.open(".", os.O_PATH), 0, 1, 2]
    if message:
        socket.send_fds(connection, [message[:1]], descriptors)
        connection.sendall(message[1:])
    os.close(descriptors[0])
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(400).startswith(b"NO ")
    assert run(path, "print('still here')") == "still here\n"


@pytest.mark.parametrize("count", [0, 1, 3, 5, 40])
def test_other_numbers_of_descriptors_are_refused(path: str, count: int):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    socket.send_fds(connection, [b"\x0b\0\0\0kernel\x001\0a\0"], [2] * count)
    assert b"four descriptors" in connection.recv(400)


def test_the_script_becomes_the_cold_command(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-I", "-S", SCRIPT, tmp_path / "nobody.sock", "server", "--",
         "/bin/sh", "-c", 'echo "$APPLIANCE_COLD_START"; exit 5'],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (5, "the preload daemon is not running\n")
    assert done.stderr == "<5>starting without preloading: the preload daemon is not running\n"


def test_the_script_imports_nothing_of_the_packages():
    code = f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r})\n"
    code += "import client; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert "client" in done.stdout
    assert not {"appliance", "typing", "socket", "re"} & set(done.stdout.split())
