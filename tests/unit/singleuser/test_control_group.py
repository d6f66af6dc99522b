"""What a server reads of its own control group, and what it tells when memory ran out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from appliance.singleuser import memory_watch
from appliance.singleuser.control_group import ControlGroup, Item, Usage
from appliance.singleuser.hub import HubUnavailableError
from appliance.singleuser.memory_watch import MemoryWatch

MIB = 2**20


@pytest.fixture
def group(tmp_path: Path) -> ControlGroup:
    folder = tmp_path / "appliance.slice/appliance-users.slice/appliance-user-ada.service"
    folder.mkdir(parents=True)
    for name, text in {
        "memory.current": f"{300 * MIB}\n",
        "memory.max": f"{400 * MIB}\n",
        "memory.stat": f"anon {200 * MIB}\ninactive_file {100 * MIB}\nworkingset_x abc\n",
        "cpu.max": "50000 100000\n",
        "cpu.stat": "usage_usec 1000000\nuser_usec 1\n",
        "memory.events": "low 0\nhigh 3\nmax 9\noom 0\noom_kill 0\noom_group_kill 0\n",
    }.items():
        (folder / name).write_text(text)
    own = tmp_path / "cgroup"
    own.write_text(f"0::/{folder.relative_to(tmp_path)}\n")
    found = ControlGroup.own(own, tmp_path)
    assert found is not None
    return found


def test_memory_is_what_cannot_be_given_back(group: ControlGroup) -> None:
    assert group.memory() == Item("memory", 200 * MIB, 400 * MIB, "bytes")
    (group.folder / "memory.max").write_text("max\n")
    assert group.memory() == Item("memory", 200 * MIB, None, "bytes")


def test_the_processor_is_an_average_since_the_last_look(
    group: ControlGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    assert group.processor() is None
    now[0] += 10
    (group.folder / "cpu.stat").write_text("usage_usec 5000000\n")
    assert group.processor() == Item("cpu", 0.4, 0.5, "cores")


@pytest.mark.parametrize(
    ("used", "limit", "state"),
    [(79, 100, "ok"), (80, 100, "near"), (95, 100, "full"), (9, None, "ok")],
)
def test_it_turns_before_the_limit_is_reached(used: float, limit: float, state: str) -> None:
    assert Item("memory", used, limit, "bytes").model()["state"] == state


@pytest.mark.parametrize(
    "text", ["", "0::/\n", "0::/user.slice/session.scope\n", "3:memory:/x\n", "0::/../../etc\n"]
)
def test_elsewhere_there_is_nothing_to_say(tmp_path: Path, text: str) -> None:
    own = tmp_path / "cgroup"
    own.write_text(text)
    assert ControlGroup.own(own, tmp_path) is None
    assert ControlGroup.own(tmp_path / "missing", tmp_path) is None
    assert Usage(None).items() == []


def test_what_is_gone_while_it_is_read_says_nothing(group: ControlGroup) -> None:
    for file in group.folder.iterdir():
        file.unlink()
    assert Usage(group).items() == []
    assert group.memory_events() == {}


class _Kernel:
    def __init__(self, pid: int) -> None:
        self.provisioner = self
        self.pid = pid
        self.alive = True

    async def is_alive(self) -> bool:
        return self.alive


class _Server:
    """Kernels, sessions and the hub in one."""

    def __init__(self) -> None:
        self.kernels = {"a": _Kernel(10), "b": _Kernel(11)}
        self.told: list[tuple[str, bool]] = []
        self.fails = False

    def list_kernel_ids(self) -> list[str]:
        return list(self.kernels)

    def get_kernel(self, kernel_id: str) -> _Kernel:
        return self.kernels[kernel_id]

    async def list_sessions(self) -> list[dict[str, Any]]:
        return [
            {"path": "week1/big.ipynb", "kernel": {"id": "a"}},
            {"path": "x" * 400 + ".ipynb", "kernel": {"id": "b"}},
            {"path": "no kernel", "kernel": None},
        ]

    async def post_out_of_memory(self, notebook: str, *, by_machine: bool) -> None:
        if self.fails:
            raise HubUnavailableError("away")
        self.told.append((notebook, by_machine))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> _Server:
    monkeypatch.setattr(memory_watch, "_SETTLE_SECONDS", 0)
    monkeypatch.setattr(memory_watch, "_PAUSE_SECONDS", 0)
    return _Server()


def watch_of(server: _Server, group: ControlGroup) -> MemoryWatch:
    return MemoryWatch(server, group, kernels=server, sessions=server)  # type: ignore[arg-type]


def killed(group: ControlGroup, *, kills: int, ooms: int) -> None:
    (group.folder / "memory.events").write_text(f"oom {ooms}\noom_kill {kills}\n")


async def test_the_notebook_of_the_killed_kernel_is_named(
    server: _Server, group: ControlGroup
) -> None:
    watch = watch_of(server, group)
    await watch.look()
    assert server.told == []
    server.kernels["a"].alive = False
    await watch.look()
    assert server.told == [], "it ended, and memory did not run out"
    killed(group, kills=1, ooms=1)
    await watch.look()
    assert server.told == [("week1/big.ipynb", False)]
    await watch.look()
    assert len(server.told) == 1


async def test_a_kernel_that_was_started_again_meanwhile_is_found(
    server: _Server, group: ControlGroup
) -> None:
    watch = watch_of(server, group)
    await watch.look()
    server.kernels["a"] = _Kernel(12)
    del server.kernels["b"]
    killed(group, kills=2, ooms=0)
    await watch.look()
    assert server.told == [("week1/big.ipynb", True), (("x" * 400 + ".ipynb")[-300:], True)]


async def test_what_is_no_kernel_is_told_too(server: _Server, group: ControlGroup) -> None:
    watch = watch_of(server, group)
    await watch.look()
    killed(group, kills=5, ooms=1)
    server.fails = True
    await watch.look()
    server.fails = False
    killed(group, kills=6, ooms=2)
    await watch.look()
    assert server.told == [("", False)]
