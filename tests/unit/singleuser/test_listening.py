"""Taking over the socket, and the word to the service manager."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from appliance.singleuser.listening import NoSocketError, notify, take_socket


def test_socket_is_taken_and_nothing_of_it_left_behind(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as given:
        given.bind(str(tmp_path / "sock"))
        given.listen(1)
        descriptor = os.dup(given.fileno())
    taken = take_socket(descriptor)
    try:
        assert str(Path(f"/proc/self/fd/{descriptor}").readlink()) == os.devnull
        assert not taken.get_inheritable()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "sock"))
            assert taken.accept()[0]
    finally:
        taken.close()
        os.close(descriptor)


def test_what_is_no_listening_socket_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(NoSocketError, match="no socket"):
        take_socket(file.fileno())
    with socket.socket(socket.AF_UNIX) as idle, pytest.raises(NoSocketError, match="listening"):
        take_socket(idle.fileno())


def test_notify_reaches_the_service_manager(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        notify("READY=1", {"NOTIFY_SOCKET": path})
        assert manager.recv(100) == b"READY=1"
    notify("READY=1", {})
    notify("STOPPING=1", {"NOTIFY_SOCKET": path})
