"""What the connection to systemd remembers, with systemd's side replaced: pystemd isn't needed."""

from __future__ import annotations

import importlib
import shutil
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from appliance.systemd_spawner.counters import read_counters


class Systemd:
    """Counts references to units, as the real one does."""

    def __init__(self) -> None:
        self.references: dict[str, int] = {}
        self.asked: list[str] = []
        self.signals: dict[bytes, Any] = {}
        self.properties: dict[str, Any] = {
            "InactiveExitTimestamp": 1_700_000_000_000_000,
            "ControlGroup": b"/users/appliance-user-ada.service",
            "MemoryMax": 2**31,
            "CPUQuotaPerSecUSec": 1_500_000,
            "TasksMax": 100,
        }

    def get(self, _bus: object, _unit: str, _interface: str, name: str, _signature: str) -> Any:
        self.asked.append(name)
        return self.properties[name]

    def open(self) -> None:
        """As a connection is."""

    def match_signal(self, *words: Any) -> None:
        self.signals[words[3]] = words[4]

    def get_path(self) -> bytes:
        """As a signal has one."""
        return b"appliance-user-ada.service"

    def answer(self, _bus: object, method: bytes, arguments: list[Any]) -> bytes:
        unit = arguments[0] if arguments else ""
        if method in (b"StartTransientUnit", b"RefUnit"):
            self.references[unit] = self.references.get(unit, 0) + 1
        elif method == b"UnrefUnit":
            self.references[unit] -= 1
        return b"/job/1"


@pytest.fixture
def systemd() -> Systemd:
    return Systemd()


@pytest.fixture
def bus(systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> Any:
    names = {
        "pystemd": (),
        "pystemd.dbusexc": ("DBusBaseError",),
        "pystemd.dbuslib": ("DBus", "apply_signature", "path_decode", "path_encode"),
    }
    for name, content in names.items():
        stub = ModuleType(name)
        for item in content:
            setattr(stub, item, type(item, (Exception,), {}))
        monkeypatch.setitem(sys.modules, name, stub)
    # Forgotten again afterwards: made of stubs, it is of no use to anybody else.
    monkeypatch.setitem(sys.modules, "appliance.systemd_spawner.bus", ModuleType("forgotten"))
    del sys.modules["appliance.systemd_spawner.bus"]
    module = importlib.import_module("appliance.systemd_spawner.bus")
    monkeypatch.setattr(module, "_manager", systemd.answer)
    monkeypatch.setattr(module, "_get", systemd.get)
    monkeypatch.setattr(module, "_property_array", lambda _properties: [])
    monkeypatch.setattr(module, "path_decode", lambda path, _prefix: path)
    monkeypatch.setattr(module, "apply_signature", lambda _signature, values: _texts(values))
    bus = module.Bus(on_changed=lambda _unit: None, on_connected=lambda: None)
    monkeypatch.setattr(bus, "_call", lambda action: action(None))
    return bus


def _texts(values: list[Any]) -> list[Any]:
    return [value.decode() if isinstance(value, bytes) else value for value in values]


def _start(bus: Any, unit: str) -> None:
    with pytest.raises(TimeoutError):  # nobody tells of the job's end here
        bus.start(unit, (), timeout=0)


def test_a_unit_is_held_once_however_often_that_is_asked(bus: Any, systemd: Systemd) -> None:
    _start(bus, "a.service")
    for _ in range(3):
        bus.hold("a.service")
        bus.hold("b.service")
    assert systemd.references == {"a.service": 1, "b.service": 1}
    for unit in ("a.service", "b.service"):
        bus.release(unit)
    assert systemd.references == {"a.service": 0, "b.service": 0}
    _start(bus, "a.service")
    bus.hold("a.service")
    assert systemd.references["a.service"] == 1


ADA = "appliance-user-ada.service"


@pytest.fixture
def group(tmp_path: Path, bus: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a unit that runs."""
    made = tmp_path / "users" / ADA
    made.mkdir(parents=True)
    (made / "memory.current").write_text("5242880\n")
    (made / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 2000000\n")
    (made / "pids.current").write_text("7\n")
    module = sys.modules["appliance.systemd_spawner.bus"]
    monkeypatch.setattr(module, "read_counters", partial(read_counters, root=tmp_path))
    return made


def test_what_a_unit_uses_takes_questions_once_and_is_of_this_moment(
    bus: Any, systemd: Systemd, group: Path
) -> None:
    found = bus.usage(ADA)
    assert (found.started, found.memory_max, found.cpu_max) == (1_700_000_000, 2**31, 1.5)
    assert (found.memory, found.cpu_seconds, found.tasks) == (5 * 2**20, 2.5, 7)
    systemd.asked.clear()
    (group / "pids.current").write_text("8\n")
    assert bus.usage(ADA).tasks == 8
    assert systemd.asked == []


def test_what_changes_is_asked_for_again(bus: Any, systemd: Systemd, group: Path) -> None:
    bus.usage(ADA)
    systemd.properties["MemoryMax"] = 2**32
    bus.set_properties(ADA, ())
    assert bus.usage(ADA).memory_max == 2**32
    # Another life of the same unit.
    bus._connect(systemd)
    systemd.properties["InactiveExitTimestamp"] += 60_000_000
    systemd.signals[b"PropertiesChanged"](systemd)
    assert bus.usage(ADA).started == 1_700_000_060
    shutil.rmtree(group)
    ended = bus.usage(ADA)
    assert (ended.memory, ended.cpu_seconds, ended.tasks) == (None, None, None)
    systemd.asked.clear()
    bus.usage(ADA)
    assert "ControlGroup" in systemd.asked


def test_what_the_kernel_does_not_count_is_unknown(bus: Any, group: Path) -> None:
    (group / "memory.current").unlink()
    (group / "cpu.stat").unlink()
    found = bus.usage(ADA)
    assert (found.memory, found.cpu_seconds, found.tasks) == (None, None, 7)
    assert found.memory_max == 2**31
