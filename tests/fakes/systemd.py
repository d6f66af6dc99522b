"""A systemd without processes and a host without accounts: both in memory."""

from __future__ import annotations

import fnmatch
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from appliance.systemd_spawner.host import Host
from appliance.systemd_spawner.journal import Journal
from appliance.systemd_spawner.properties import INFINITY, Property
from appliance.systemd_spawner.units import (
    PATTERN,
    BusLostError,
    SystemdError,
    UnitExistsError,
    UnitState,
    UnitUsage,
)

READY = UnitState("active", "success", 0, 0, "ab")
CRASHED = UnitState("failed", "exit-code", 1, 3, "ab")
TIMED_OUT = UnitState("failed", "timeout", 2, 15, "ab")


class FakeUnits:
    """Fulfils `units.Units`; `outcome` says how the next starts end, `gate` holds them back."""

    def __init__(self) -> None:
        self.loaded: dict[str, UnitState] = {}
        self.properties: dict[str, dict[str, Any]] = {}
        self.held: set[str] = set()
        self.outcome: UnitState = READY
        self.refusal = ""
        self.filters_packets = True
        self.status = ""
        """What the next servers say of themselves when they are ready."""
        self.status_is_lost = False
        self.gate = threading.Event()
        self.gate.set()
        self.token_seen = ""
        self.on_changed: Callable[[str], None] = lambda unit: None
        self._stops: dict[str, threading.Event] = {}

    def start(self, unit: str, properties: Sequence[Property], *, timeout: float) -> str:
        if unit in self.loaded:
            raise UnitExistsError(f"Unit {unit} was already loaded")
        if self.refusal:
            raise SystemdError(self.refusal)
        self.properties[unit] = {item.name: item.value for item in properties}
        for _, credential in self.properties[unit].get("LoadCredential", []):
            self.token_seen = Path(credential).read_text()
        self.loaded[unit] = UnitState("activating", "success", 0, 0, "ab")
        self.held.add(unit)
        stopped = self._stops[unit] = threading.Event()
        deadline = time.monotonic() + timeout
        while not self.gate.is_set() and not stopped.is_set():
            if time.monotonic() > deadline:
                raise TimeoutError
            self.gate.wait(0.01)
        if stopped.is_set():
            return "canceled"
        self.loaded[unit] = self.outcome
        return "done" if self.outcome is READY else "failed"

    def stop(self, unit: str, *, timeout: float) -> None:
        if unit in self._stops:
            self._stops[unit].set()
        if unit in self.loaded and not self.loaded[unit].ended:
            self.end(unit, UnitState("inactive", "success", 1, 0, "ab"))

    def end(self, unit: str, state: UnitState) -> None:
        """The unit's process ends; systemd says that something changed."""
        self.loaded[unit] = state
        if unit not in self.held:
            del self.loaded[unit]
        self.on_changed(unit)

    def state(self, unit: str) -> UnitState | None:
        return self.loaded.get(unit)

    def status_text(self, unit: str) -> str:
        if self.status_is_lost:
            raise BusLostError("the connection to systemd broke")
        return self.status if unit in self.loaded else ""

    def groups(self, unit: str) -> list[str]:
        return list(self.properties.get(unit, {}).get("SupplementaryGroups", []))

    def flag(self, unit: str, name: str) -> bool:
        return bool(self.properties.get(unit, {}).get(name, False))

    def counts_packets(self, unit: str) -> bool:
        return self.filters_packets

    def usage(self, unit: str) -> UnitUsage | None:
        limit = self.properties.get(unit, {}).get("MemoryMax", INFINITY)
        return UnitUsage(1.7e9, 5 * 2**20, limit, 0.25, 3) if unit in self.loaded else None

    def listing(self, pattern: str = PATTERN) -> dict[str, str]:
        return {
            unit: state.active
            for unit, state in self.loaded.items()
            if fnmatch.fnmatchcase(unit, pattern)
        }

    def set_properties(self, unit: str, properties: Sequence[Property]) -> None:
        if self.refusal:
            raise SystemdError(self.refusal)
        self.properties[unit].update({item.name: item.value for item in properties})

    def hold(self, unit: str) -> None:
        self.held.add(unit)

    def release(self, unit: str) -> None:
        self.held.discard(unit)
        if unit in self.loaded and self.loaded[unit].ended:
            del self.loaded[unit]


class FakeJournal(Journal):
    """A journal with the lines that a test puts there."""

    def __init__(self) -> None:
        self.lines: dict[str, list[str]] = {}
        self.out_of_memory: set[str] = set()

    def read(self, unit: str, lines: int, *, sync: bool = False) -> list[str]:
        return self.lines.get(unit, [])[-lines:]

    def ran_out_of_memory(self, unit: str, invocation: str) -> bool:
        return unit in self.out_of_memory


class FakeHost(Host):
    """Accounts and homes in memory; `fail_at` breaks off at the n-th change, as a power cut."""

    def __init__(self, homes: Path) -> None:
        super().__init__(homes=homes)
        self.homes = homes
        self.accounts: dict[str, int] = {}
        self.groups: dict[str, int] = {}
        self.homes_of: dict[str, int] = {}
        self.taken_names: set[str] = set()
        self.taken_ids: set[int] = set()
        self.sealed: set[str] = set()
        self.system_accounts: dict[str, Path] = {}
        self.fail_at = 0
        self.changes = 0
        self.mended = 0

    def _change(self) -> None:
        self.changes += 1
        if self.changes == self.fail_at:
            raise PowerCutError

    def home(self, account: str) -> Path:
        return self.homes / account

    def is_name_taken(self, account: str) -> bool:
        return account in self.taken_names or account in self.accounts

    def is_id_taken(self, number: int) -> bool:
        return number in self.taken_ids or number in self.accounts.values()

    def ensure_account(self, account: str, uid: int) -> None:
        self._change()
        assert self.accounts.setdefault(account, uid) == uid
        self._change()

    def ensure_group(self, group: str, number: int) -> None:
        self._change()
        assert self.groups.setdefault(group, number) == number
        self._change()

    def remove_group(self, group: str, number: int) -> None:
        self._change()
        self.groups.pop(group, None)
        self._change()

    def ensure_system_account(self, account: str, home: Path) -> None:
        self._change()
        self.system_accounts[account] = home
        self._change()

    def ensure_home(self, account: str, uid: int) -> None:
        self._change()
        assert self.homes_of.setdefault(account, uid) == uid
        self.home(account).mkdir(parents=True, exist_ok=True)
        self._change()

    def check_home(self, account: str, uid: int) -> None:
        assert self.homes_of[account] == uid

    def mend_databases(self) -> None:
        self.mended += 1

    def seal(self, account: str, uid: int) -> None:
        self._change()
        self.sealed.add(account)
        self._change()


class PowerCutError(Exception):
    """The machine is off; what was stored is stored."""
