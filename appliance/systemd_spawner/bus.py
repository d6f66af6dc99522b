"""Asking systemd over D-Bus, with the distribution's pystemd.

A connection of sd-bus belongs to one thread, so one thread owns it: the others hand it functions
and wait. It sleeps on the connection's descriptor and never in sd_bus_wait(), which pystemd calls
with the interpreter locked. Only pystemd's lowest layer is used: its Manager and Unit ask for the
whole introspection XML and know the signatures of some properties only.

When the connection breaks (dbus restarted), jobs in flight fail with BusLostError, a new
connection is made, and `on_connected` is told, so that whoever watches can look again at
everything.
"""

from __future__ import annotations

import errno
import logging
import os
import queue
import select
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from pystemd.dbusexc import DBusBaseError
from pystemd.dbuslib import DBus, apply_signature, path_decode, path_encode

from appliance.systemd_spawner.counters import Counters, read_counters
from appliance.systemd_spawner.properties import INFINITY, Property
from appliance.systemd_spawner.units import (
    PATTERN,
    BusLostError,
    SystemdError,
    UnitExistsError,
    UnitState,
    UnitUsage,
)

log = logging.getLogger(__name__)
T = TypeVar("T")

_SYSTEMD: Final = b"org.freedesktop.systemd1"
_OBJECT: Final = b"/org/freedesktop/systemd1"
_MANAGER: Final = b"org.freedesktop.systemd1.Manager"
_UNITS: Final = b"/org/freedesktop/systemd1/unit"
_UNIT_PREFIX: Final = b"appliance-user-"
_LOST: Final = frozenset(
    {
        errno.ENOTCONN,
        errno.ECONNRESET,
        errno.EPIPE,
        errno.ESHUTDOWN,
        errno.ECONNREFUSED,
        errno.EBADF,
    }
)
# sd-bus keeps what it read during a call in a queue of its own and says nothing about it that
# pystemd passes on, so it is asked this often in a row before it counts as empty.
_IDLE_ROUNDS: Final = 16
_ANSWER_TIMEOUT: Final = 60.0
# When dbus restarts, systemd and this daemon come back to it at the same time, and systemd may
# forget a subscription that came too early (seen with 257). So it is asked again, this long after.
_SUBSCRIBE_AGAIN: Final = (1.0, 5.0, 30.0)


@dataclass(frozen=True, slots=True)
class _Lasting:
    """What stays in a unit's life until systemd tells of a change, or we change it."""

    started: float
    group: str
    """The path of its control group; empty if nothing runs."""
    memory_max: int | None
    cpu_max: float | None
    tasks_max: int | None


class Bus:
    """The systemd of this machine; fulfils `units.Units`."""

    def __init__(
        self, *, on_changed: Callable[[str], None], on_connected: Callable[[], None]
    ) -> None:
        self._on_changed = on_changed
        self._on_connected = on_connected
        self._calls: queue.SimpleQueue[tuple[Callable[[DBus], Any], Future[Any]]] = (
            queue.SimpleQueue()
        )
        # Several may wait for one job: systemd merges those that want the same.
        self._jobs: dict[str, list[Future[str]]] = {}
        # Units that this connection keeps loaded. systemd counts how often it was asked to, and one
        # time too many would keep an ended unit for as long as the connection lasts.
        self._held: set[str] = set()
        self._lasting: dict[str, _Lasting] = {}
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._heard = False
        self.last_alive = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="bus", daemon=True)

    def open(self) -> None:
        """Start the thread; calls wait until it has a connection."""
        self._thread.start()

    # What units.Units promises.

    def start(self, unit: str, properties: Sequence[Property], *, timeout: float) -> str:
        arguments = [
            *apply_signature(b"ss", [unit.encode(), b"fail"]),
            *_property_array(properties),
            (ord("a"), b"(sa(sv))"),
            (-1, None),
        ]
        return self._run_job(b"StartTransientUnit", arguments, timeout=timeout, held=unit)

    def stop(self, unit: str, *, timeout: float) -> None:
        arguments = apply_signature(b"ss", [unit.encode(), b"replace"])
        with suppress(NoSuchUnitError):
            try:
                self._run_job(b"StopUnit", arguments, timeout=timeout)
            except BusLostError:
                # Asking again is harmless, and tells whether the first time was heard.
                self._run_job(b"StopUnit", arguments, timeout=timeout)

    def state(self, unit: str) -> UnitState | None:
        def read(bus: DBus) -> UnitState:
            return UnitState(
                active=_get(bus, unit, "Unit", "ActiveState", "s").decode(),
                result=_get(bus, unit, "Service", "Result", "s").decode(),
                exit_code=_get(bus, unit, "Service", "ExecMainCode", "i"),
                exit_status=_get(bus, unit, "Service", "ExecMainStatus", "i"),
                invocation=bytes(_get(bus, unit, "Unit", "InvocationID", "ay") or ()).hex(),
                pid=_get(bus, unit, "Service", "MainPID", "u"),
            )

        return self._call(read) if self._is_loaded(unit) else None

    def status_text(self, unit: str) -> str:
        def read(bus: DBus) -> str:
            said: bytes = _get(bus, unit, "Service", "StatusText", "s") or b""
            return said.decode(errors="replace")

        return self._call(read) if self._is_loaded(unit) else ""

    def groups(self, unit: str) -> list[str]:
        def read(bus: DBus) -> list[str]:
            groups: list[bytes] = _get(bus, unit, "Service", "SupplementaryGroups", "as") or []
            return [group.decode() for group in groups]

        return self._call(read) if self._is_loaded(unit) else []

    def flag(self, unit: str, name: str) -> bool:
        def read(bus: DBus) -> bool:
            return bool(_get(bus, unit, "Service", name, "b"))

        return self._call(read) if self._is_loaded(unit) else False

    def counts_packets(self, unit: str) -> bool:
        def read(bus: DBus) -> bool:
            return _counter(_get(bus, unit, "Service", "IPIngressBytes", "t")) is not None

        return self._call(read) if self._is_loaded(unit) else False

    def usage(self, unit: str) -> UnitUsage | None:
        lasting = self._lasting.get(unit)
        if lasting is None:
            if not self._is_loaded(unit):
                return None
            lasting = self._call(partial(self._ask_lasting, unit=unit))
        now = read_counters(lasting.group) if lasting.group else None
        if now is None:
            self._lasting.pop(unit, None)
        now = now or Counters()
        return UnitUsage(
            started=lasting.started,
            memory=now.memory,
            memory_max=lasting.memory_max,
            cpu_seconds=now.cpu_seconds,
            tasks=now.tasks,
            cpu_max=lasting.cpu_max,
            tasks_max=lasting.tasks_max,
        )

    def _ask_lasting(self, bus: DBus, unit: str) -> _Lasting:
        """In the connection's thread, so that no signal comes between asking and remembering."""
        quota = _counter(_get(bus, unit, "Service", "CPUQuotaPerSecUSec", "t"))
        found = self._lasting[unit] = _Lasting(
            started=_get(bus, unit, "Unit", "InactiveExitTimestamp", "t") / 1e6,
            group=(_get(bus, unit, "Service", "ControlGroup", "s") or b"").decode(),
            memory_max=_counter(_get(bus, unit, "Service", "MemoryMax", "t")),
            cpu_max=None if quota is None else quota / 1e6,
            tasks_max=_counter(_get(bus, unit, "Service", "TasksMax", "t")),
        )
        return found

    def listing(self, pattern: str = PATTERN) -> dict[str, str]:
        arguments = apply_signature(b"asas", [[], [pattern.encode()]])
        rows = self._call(lambda bus: _manager(bus, b"ListUnitsByPatterns", arguments))
        return {row[0].decode(): row[3].decode() for row in rows or ()}

    def set_properties(self, unit: str, properties: Sequence[Property]) -> None:
        arguments = [
            *apply_signature(b"sb", [unit.encode(), True]),
            *_property_array(properties),
        ]

        def change(bus: DBus) -> None:
            _manager(bus, b"SetUnitProperties", arguments)
            self._lasting.pop(unit, None)

        self._call(change)

    def hold(self, unit: str) -> None:
        arguments = apply_signature(b"s", [unit.encode()])

        def refer(bus: DBus) -> None:
            if unit not in self._held:
                _manager(bus, b"RefUnit", arguments)
                self._held.add(unit)

        self._call(refer)

    def release(self, unit: str) -> None:
        self._held.discard(unit)
        self._lasting.pop(unit, None)
        arguments = apply_signature(b"s", [unit.encode()])
        for method in (b"ResetFailedUnit", b"UnrefUnit"):
            try:
                self._call(partial(_manager, method=method, arguments=arguments))
            except BusLostError:
                raise
            except SystemdError as err:
                # It is gone already, or was never held by this connection.
                log.debug("%s %s: %s", method.decode(), unit, err)

    def _is_loaded(self, unit: str) -> bool:
        # Reading a property of a unit's object path would load the unit; GetUnit doesn't.
        arguments = apply_signature(b"s", [unit.encode()])
        try:
            self._call(lambda bus: _manager(bus, b"GetUnit", arguments))
        except NoSuchUnitError:
            return False
        return True

    # Between the caller's thread and the connection's.

    def _call(self, action: Callable[[DBus], T]) -> T:
        answer: Future[T] = Future()
        self._calls.put((action, answer))
        os.eventfd_write(self._wake, 1)
        try:
            return answer.result(timeout=_ANSWER_TIMEOUT)
        except TimeoutError as err:
            answer.cancel()
            raise BusLostError("systemd did not answer") from err

    def _run_job(
        self, method: bytes, arguments: list[Any], *, timeout: float, held: str = ""
    ) -> str:
        done: Future[str] = Future()

        def enqueue(bus: DBus) -> str:
            # Registered before any signal is read, so the job's end can't be missed.
            job: str = _manager(bus, method, arguments).decode()
            self._jobs.setdefault(job, []).append(done)
            if held:  # by AddRef among its properties
                self._held.add(held)
            return job

        self._call(enqueue)
        # A waiter that gives up leaves its entry to the job's end, or to the connection's.
        return done.result(timeout=timeout)

    # The connection's thread.

    def _run(self) -> None:
        pause = 0.1
        while True:
            self.last_alive = time.monotonic()
            bus = DBus()
            try:
                self._connect(bus)
            except DBusBaseError as err:
                log.warning("cannot reach systemd over D-Bus: %s", _text(err))
                bus.close()
                time.sleep(pause)
                pause = min(pause * 2, 5.0)
                continue
            pause = 0.1
            self._held.clear()
            self._lasting.clear()
            self._on_connected()
            try:
                self._serve(bus)
            except DBusBaseError as err:
                log.warning("lost the connection to systemd: %s", _text(err))
            except SystemError:
                # What pystemd raises when a signal's callback failed.
                log.exception("a signal of systemd's could not be read")
            bus.close()
            self._fail_jobs()

    def _connect(self, bus: DBus) -> None:
        bus.open()

        def on_job_removed(message: Any, error: Any = None, userdata: Any = None) -> None:
            self._heard = True
            message.process_reply(False)  # noqa: FBT003 - no keyword in C
            _, job, _, result = message.body
            for waiting in self._jobs.pop(job.decode(), ()):
                waiting.set_result(result.decode())

        def on_properties_changed(message: Any, error: Any = None, userdata: Any = None) -> None:
            self._heard = True
            unit = path_decode(message.get_path(), _UNITS)
            if unit and unit.startswith(_UNIT_PREFIX):
                self._lasting.pop(unit.decode(), None)
                self._on_changed(unit.decode())

        # pystemd keeps no reference of its own to a callback.
        self._callbacks = (on_job_removed, on_properties_changed)
        bus.match_signal(_SYSTEMD, _OBJECT, _MANAGER, b"JobRemoved", on_job_removed)
        bus.match_signal(
            _SYSTEMD,
            None,
            b"org.freedesktop.DBus.Properties",
            b"PropertiesChanged",
            on_properties_changed,
        )
        _subscribe(bus)

    def _serve(self, bus: DBus) -> None:
        poll = select.poll()
        poll.register(bus.get_fd(), select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        connected = time.monotonic()
        again = list(_SUBSCRIBE_AGAIN)
        while True:
            self.last_alive = time.monotonic()
            self._read_signals(bus)
            if again and self.last_alive - connected > again[0]:
                again.pop(0)
                if _subscribe(bus):
                    log.warning("systemd had forgotten whom to tell of changes")
                    self._fail_jobs()
                    self._on_connected()
            try:
                action, answer = self._calls.get_nowait()
            except queue.Empty:
                poll.poll(1000)
                self._clear_wake()
                continue
            if answer.set_running_or_notify_cancel():
                self._answer(bus, action, answer)

    def _read_signals(self, bus: DBus) -> None:
        idle = 0
        while idle < _IDLE_ROUNDS:
            self._heard = False
            message = bus.process()
            idle = 0 if self._heard or not message.is_empty() else idle + 1

    def _clear_wake(self) -> None:
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return

    def _answer(self, bus: DBus, action: Callable[[DBus], Any], answer: Future[Any]) -> None:
        try:
            result = action(bus)
        except DBusBaseError as err:
            answer.set_exception(_translate(err))
            if -err.errno in _LOST:
                raise
        except Exception as err:  # noqa: BLE001 - the caller's bug is raised in the caller's thread
            answer.set_exception(err)
        else:
            answer.set_result(result)

    def _fail_jobs(self) -> None:
        for waiting in (future for futures in self._jobs.values() for future in futures):
            waiting.set_exception(BusLostError("the connection to systemd broke"))
        self._jobs.clear()


class NoSuchUnitError(SystemdError):
    """systemd has no unit of that name loaded."""


def _subscribe(bus: DBus) -> bool:
    """Ask for signals; False when systemd sends them already."""
    try:
        _manager(bus, b"Subscribe", [])
    except DBusBaseError as err:
        if b"AlreadySubscribed" in _name(err):
            return False
        raise
    return True


def _manager(bus: DBus, method: bytes, arguments: list[Any]) -> Any:
    return bus.call_method(_SYSTEMD, _OBJECT, _MANAGER, method, arguments).body


def _get(bus: DBus, unit: str, interface: str, name: str, signature: str) -> Any:
    path = path_encode(_UNITS, unit.encode())
    full = _SYSTEMD + b"." + interface.encode()
    return bus.get_property(_SYSTEMD, path, full, name.encode(), signature.encode())


def _counter(value: int) -> int | None:
    return None if value == INFINITY else value


def _property_array(properties: Sequence[Property]) -> list[tuple[int, Any]]:
    """a(sv), flat, as pystemd's call_method wants it: containers open by type and close by -1."""
    arguments: list[tuple[int, Any]] = [(ord("a"), b"(sv)")]
    for name, signature, value in properties:
        arguments += [(ord("r"), b"sv"), (ord("s"), name.encode()), (ord("v"), signature.encode())]
        arguments += apply_signature(signature.encode(), [_encoded(value)])
        arguments += [(-1, None), (-1, None)]
    return [*arguments, (-1, None)]


def _encoded(value: object) -> object:
    """The same value with its texts as bytes."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list):
        return [_encoded(item) for item in value]
    if isinstance(value, tuple):
        return tuple(_encoded(item) for item in value)
    return value


def _translate(err: DBusBaseError) -> SystemdError:
    code = -err.errno
    text = _text(err)
    if code in _LOST:
        return BusLostError(text)
    if code == errno.EEXIST:
        return UnitExistsError(text)
    if type(err).__name__ == "DBusNoSuchUnitError":
        return NoSuchUnitError(text)
    if type(err).__name__ == "DBusNoReplyError" or code == errno.ETIMEDOUT:
        return BusLostError(text)
    return SystemdError(text)


def _name(err: DBusBaseError) -> bytes:
    name = err.err_name
    return name if isinstance(name, bytes) else str(name).encode()


def _text(err: DBusBaseError) -> str:
    message = err.err_message
    return message.decode(errors="replace") if isinstance(message, bytes) else str(message or err)
