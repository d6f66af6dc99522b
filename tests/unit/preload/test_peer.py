"""What the preload daemon believes of the process that asks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.preload.peer import RefusedError, _status, _unit_path, is_ending

UNIT = "/appliance.slice/appliance-users.slice/appliance-user-victim.service"


def process(folder: Path, **files: str) -> str:
    for name, text in files.items():
        (folder / name).write_text(text, newline="")
    return str(folder)


def test_a_servers_unit_is_told_by_the_cgroup(tmp_path: Path) -> None:
    assert _unit_path(process(tmp_path, cgroup=f"1:cpu:/\n0::{UNIT}\n")) == UNIT


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/user.slice/user-1000.slice/session-1.scope",
        f"/user.slice{UNIT}",
        f"{UNIT}/below",
        f"{UNIT} (deleted)",
        "/appliance.slice/appliance-users.slice/../x/appliance-user-victim.service",
        *(
            f"/user.slice/user-1000.slice/user@1000.service/x{end}0::{UNIT}"
            for end in ("\v", "\f", "\r", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")
        ),
    ],
)
def test_no_other_cgroup_is_taken_for_one(path: str, tmp_path: Path) -> None:
    with pytest.raises(RefusedError):
        _unit_path(process(tmp_path, cgroup=f"0::{path}\n"))


def test_a_processs_name_is_not_taken_for_what_the_kernel_says(tmp_path: Path) -> None:
    status = _status(process(tmp_path, status="Name:\ta\vSeccomp:\t0\nUid:\t1000\t1000\n"))
    assert "Seccomp" not in status
    assert status["Uid"] == "1000\t1000"


@pytest.fixture
def asker() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE
    ) as process:
        yield process
        process.kill()


def test_a_killed_process_is_ending_from_the_first(asker: subprocess.Popen[bytes]) -> None:
    peer: Any = SimpleNamespace(pid=asker.pid, pidfd=os.pidfd_open(asker.pid))
    assert not is_ending(peer)
    asker.kill()
    assert is_ending(peer)
    # A zombie, which still has its number.
    os.waitid(os.P_PIDFD, peer.pidfd, os.WEXITED | os.WNOWAIT)
    assert is_ending(peer)
    asker.wait()
    assert is_ending(peer)
    os.close(peer.pidfd)
