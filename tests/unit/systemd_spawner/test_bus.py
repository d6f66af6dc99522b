"""What the connection to systemd remembers, with systemd's side replaced: pystemd isn't needed."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import pytest


class Systemd:
    """Counts references to units, as the real one does."""

    def __init__(self) -> None:
        self.references: dict[str, int] = {}

    def answer(self, _bus: object, method: bytes, arguments: list[Any]) -> bytes:
        unit = arguments[0]
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
