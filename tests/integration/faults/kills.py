"""Programs that are killed without a warning, and D-Bus and systemd that start anew."""

from __future__ import annotations

import time
from typing import Final

from tests.integration.faults.table import Fault, Tally
from tests.integration.faults.watching import counting, seconds_until_healthy
from tests.integration.preloaded import Preloaded, unit_of

_HUB: Final = "appliance-hub.service"
_STARTED: Final = "latecomer"
_RUNS: Final = "it is already running"
_BACK_SECONDS: Final = 3.0
"""A second, and the noise of two processors that tests share."""


def _kill(room: Preloaded, unit: str) -> None:
    """As soon as it has a main process: nginx's workers answer before there is a new one."""
    room.machine.wait_until(f"systemctl kill -s KILL --kill-whom=main {unit}", timeout=20)


def hub_killed(room: Preloaded, tries: int, tally: Tally) -> None:
    with counting(room) as watched:
        for _ in range(tries):
            _kill(room, _HUB)
            seconds = seconds_until_healthy(room.machine)
            late = [f"the hub was away for {seconds:.1f} s"] if seconds > _BACK_SECONDS else []
            tally.count(late)
    _judge_count(watched.missing, watched.connections, watched.problems, tally)
    tally.notes.append(f"{watched.numbers} numbers; longest pause {watched.seconds} s")


def _judge_count(missing: int, connections: int, problems: list[str], tally: Tally) -> None:
    """A number that didn't come, or a connection that ended, is lost."""
    tally.lost += missing + max(0, connections - 1)
    tally.notes += problems
    if problems or missing or connections != 1:
        tally.survived = min(tally.survived, tally.tries - 1)
        tally.notes.append(f"{missing} numbers missing, {connections} connections")


def proxy_killed(room: Preloaded, tries: int, tally: Tally) -> None:
    """Connections may have to be made anew; the kernel goes on meanwhile."""
    with counting(room) as watched:
        for _ in range(tries):
            _kill(room, "appliance-proxy.service")
            seconds = seconds_until_healthy(room.machine)
            late = [f"the proxy was away for {seconds:.1f} s"] if seconds > _BACK_SECONDS else []
            tally.count(late)
    if watched.problems or watched.connections > tries + 1:
        tally.survived -= 1
        tally.notes += watched.problems
    tally.notes.append(f"{watched.connections} connections for {tries} kills")


def daemon_killed_while_a_server_starts(room: Preloaded, tries: int, tally: Tally) -> None:
    _make(room, _STARTED)
    with counting(room) as watched:
        for number in range(tries):
            moment = 0.02 * (number % 25)
            room.machine.execute(
                f"(appliance server start {_STARTED} >/dev/null 2>&1 &) ; sleep {moment};"
                " systemctl kill -s KILL --kill-whom=main appliance-spawner.service"
            )
            tally.count(_agrees(room, _STARTED))
    _judge_count(watched.missing, watched.connections, watched.problems, tally)


def _make(room: Preloaded, *names: str) -> None:
    known = room.machine.execute("appliance user list")
    for name in names:
        if name not in known:
            room.add(name)


def _agrees(room: Preloaded, name: str) -> list[str]:
    """A later start and stop work, so nothing half started is left in the way."""
    machine = room.machine
    started = machine.attempt(f"appliance server start {name}", timeout=90)
    if started.code and _RUNS not in started.stderr:
        # The first start may have failed for good with the daemon; then the second mustn't.
        time.sleep(1)
        started = machine.attempt(f"appliance server start {name}", timeout=90)
    if started.code and _RUNS not in started.stderr:
        return [f"{name} can't start any more: {started.stderr.strip()[-200:]}"]
    if machine.attempt(f"systemctl is-active {unit_of(name)}").code:
        return [f"the hub has a server of {name}'s that systemd doesn't know"]
    stopped = machine.attempt(f"appliance server stop {name}", timeout=90)
    if stopped.code:
        return [f"{name} can't stop: {stopped.stderr.strip()[-200:]}"]
    gone = f"timeout 20 sh -c 'while systemctl is-active -q {unit_of(name)}; do sleep 0.1; done'"
    return ["the unit is left"] if machine.attempt(gone).code else []


def bus_restarted(room: Preloaded, tries: int, tally: Tally) -> None:
    # D-Bus's own unit gives up when it is started anew too often, which isn't what is tried here.
    command = "systemctl reset-failed dbus.service; systemctl restart dbus.service"
    _upset(room, command, tries, tally)


def systemd_starts_anew(room: Preloaded, tries: int, tally: Tally) -> None:
    _upset(room, "systemctl daemon-reexec", tries, tally)


def _upset(room: Preloaded, command: str, tries: int, tally: Tally) -> None:
    _make(room, _STARTED)
    with counting(room) as watched:
        for _ in range(tries):
            room.machine.execute(command, timeout=60)
            seconds_until_healthy(room.machine)
            tally.count(_agrees(room, _STARTED))
    _judge_count(watched.missing, watched.connections, watched.problems, tally)


ROWS: Final = (
    Fault("hub killed while a kernel counts", "no number, no connection lost; back in a second",
          200, 5, hub_killed),
    Fault("proxy killed while a kernel counts", "back in a second, at most one new connection each",
          50, 2, proxy_killed),
    Fault("spawner daemon killed while a server starts", "others count on; the start can be tried"
          " again", 50, 2, daemon_killed_while_a_server_starts),
    Fault("D-Bus restarted", "others count on; servers start and stop", 10, 1, bus_restarted),
    Fault("systemd starts anew (daemon-reexec)", "others count on; servers start and stop",
          10, 1, systemd_starts_anew),
)  # fmt: skip
