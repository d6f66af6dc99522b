from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest

from appliance.names import ServerId, ServerName, Username
from appliance.systemd_spawner.sockets import Sockets

ADA = ServerId(Username("ada"))
LAB = ServerId(Username("ada"), ServerName("lab2"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "servers"


@pytest.fixture
def sockets(root: Path) -> Sockets:
    return Sockets(root, proxy_group=os.getgid())


def test_a_connection_waits_before_the_server_accepts(root: Path, sockets: Sockets) -> None:
    with sockets.open(ADA) as listener, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(root / "ada" / "default.sock"))
        client.sendall(b"hello")
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(5) == b"hello"


def test_owner_and_modes_let_nobody_but_the_proxy_in(root: Path, sockets: Sockets) -> None:
    sockets.open(LAB).close()
    for folder in (root, root / "ada", root / "ada" / "lab2"):
        assert folder.stat().st_mode & 0o7777 == 0o750
    assert (root / "ada" / "lab2" / "sock").stat().st_mode & 0o7777 == 0o660


def test_a_stale_socket_is_replaced(root: Path, sockets: Sockets) -> None:
    sockets.open(ADA).close()
    with sockets.open(ADA), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(root / "ada" / "default.sock"))
    assert [path.name for path in (root / "ada").iterdir()] == ["default.sock"]


def test_the_longest_names_fit() -> None:
    length = len("/run/appliance/servers")
    longest = ServerId(Username("a" * 48), ServerName("b" * 30))
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="s") as base:
        folder = Path(base, "x" * (length - len(base) - 1))
        path = str(folder / longest.socket_path)
        assert len(path) == 107
        sockets = Sockets(folder, proxy_group=os.getgid())
        with sockets.open(longest), socket.socket(socket.AF_UNIX) as client:
            client.connect(path)


def test_removing_twice_is_no_error(root: Path, sockets: Sockets) -> None:
    sockets.open(LAB).close()
    sockets.remove(LAB)
    sockets.remove(LAB)
    assert (root / "ada" / "lab2").is_dir()


def test_cleaning_spares_what_runs(root: Path, sockets: Sockets) -> None:
    with sockets.open(ADA), sockets.open(LAB):
        sockets.clean([LAB])
    assert not (root / "ada" / "default.sock").exists()
    assert (root / "ada" / "lab2" / "sock").is_socket()


def test_a_forgotten_user_leaves_nothing(root: Path, sockets: Sockets) -> None:
    with sockets.open(ADA), sockets.open(LAB):
        sockets.forget(Username("ada"))
    assert list(root.iterdir()) == []
