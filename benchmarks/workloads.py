"""The workloads: each does one thing to one side and returns its figures by row key.

CPU seconds are those of the whole machine, in which nothing but the measured side runs, unless a
row says otherwise. The driver and wrk run outside the machine's cgroup and are not counted.
"""

from __future__ import annotations

import re
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.figures import percentile
from benchmarks.machine import Machine, MachineError
from benchmarks.processes import (
    Memory,
    cgroup_cpu_seconds,
    memory_of,
    process_cpu_seconds,
    processes_in,
)
from benchmarks.side import Side, cgroups_of
from benchmarks.visitor import Visitor, is_healthy

Measured = dict[str, float]
CLASS_SIZE: Final = 10
MB: Final = 1e6
# Work put off until after the answer counts too.
_SETTLE_SECONDS: Final = 2.0
_LOGIN_SECONDS: Final = 5.0
_PROBE_INTERVAL_SECONDS: Final = 0.05
_WRK_SECONDS: Final = 3
_SPAWNS: Final = 3


@dataclass(frozen=True, slots=True)
class Bench:
    """One side in the running machine, and its signed-up users."""

    machine: Machine
    side: Side
    users: list[str]

    def cpu(self) -> float:
        """CPU seconds of the whole machine so far."""
        return cgroup_cpu_seconds(self.machine.cgroup)

    def server_cgroup(self, user: str) -> Path:
        """Where the user's server runs, with its kernels."""
        return self.machine.unit_cgroup(self.side.server_unit(user))


def wait_until_healthy(side: Side, *, timeout: float = 120) -> None:
    """Return when the health page answers; MachineError if it doesn't in time."""
    deadline = time.monotonic() + timeout
    while not is_healthy(side):
        if time.monotonic() > deadline:
            raise MachineError(f"cannot reach the health page of {side.name} in {timeout:.0f} s")
        time.sleep(0.02)


def settle_down() -> None:
    """Let go by what was put off."""
    time.sleep(_SETTLE_SECONDS)


def cold_start(bench: Bench) -> Measured:
    """Start all of the side that isn't a user's; processes are cold, the page cache is warm."""
    started, cpu = time.monotonic(), bench.cpu()
    bench.side.start(bench.machine)
    wait_until_healthy(bench.side)
    wall = time.monotonic() - started
    time.sleep(_SETTLE_SECONDS)
    return {
        "cold_wall": wall,
        "cold_cpu": bench.cpu() - cpu,
        "cold_hub_cpu": process_cpu_seconds(bench.side.hub_pid(bench.machine)),
    }


def idle_memory(bench: Bench) -> Measured:
    """Memory of all that isn't a user's, after one look at the log-in page."""
    Visitor(bench.side, "nobody").open_login_page()
    bench.side.settle(bench.machine)
    time.sleep(_SETTLE_SECONDS)
    pids = [pid for group in cgroups_of(bench.machine, bench.side) for pid in processes_in(group)]
    return {
        "idle_pss": memory_of(pids).pss / MB,
        "idle_hub_pss": memory_of([bench.side.hub_pid(bench.machine)]).pss / MB,
        "idle_proxy_pss": memory_of(bench.side.proxy_pids(bench.machine)).pss / MB,
    }


def log_ins(bench: Bench) -> Measured:
    """Ten people log in again and again, while others open the log-in page 20 times a second."""
    deadline = time.monotonic() + _LOGIN_SECONDS

    def log_in_repeatedly(name: str) -> int:
        count = 0
        while time.monotonic() < deadline:
            Visitor(bench.side, name).log_in()
            count += 1
        return count

    started = time.monotonic()
    probe = Probe(lambda: Visitor(bench.side, "nobody").open_login_page())
    with ThreadPoolExecutor(CLASS_SIZE) as pool, probe:
        done = sum(pool.map(log_in_repeatedly, bench.users[:CLASS_SIZE]))
        wall = time.monotonic() - started
    seconds = [answer.result() for answer in probe.answers]
    return {
        "login_rate": done / wall,
        "page_median": 1000 * statistics.median(seconds),
        "page_p99": 1000 * percentile(seconds, 0.99),
    }


@dataclass(slots=True)
class Probe:
    """Asks at fixed times whether or not the last answer is there, as independent visitors do.

    A probe that waits for its answer before it asks again would hardly notice a server that stalls.
    """

    ask: Callable[[], object]
    answers: list[Future[float]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(200))
    _asker: threading.Thread | None = None

    def __enter__(self) -> None:
        self._asker = threading.Thread(target=self._ask_regularly)
        self._asker.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._asker:
            self._asker.join()
        self._pool.shutdown(wait=True)

    def _ask_regularly(self) -> None:
        while not self._stop.wait(_PROBE_INTERVAL_SECONDS):
            self.answers.append(self._pool.submit(self._ask_once, time.monotonic()))

    def _ask_once(self, due: float) -> float:
        self.ask()
        return time.monotonic() - due


def one_spawn(bench: Bench) -> Measured:
    """One user starts a server, stops it, starts it again; the last time JupyterLab is opened too.

    The server stays, for the requests that are proxied to it.
    """
    (visitor,) = logged_in(bench, bench.users[:1])
    walls, cpus, server_cpus = [], [], []
    for left in reversed(range(_SPAWNS)):
        started, cpu = time.monotonic(), bench.cpu()
        visitor.start_server()
        walls.append(time.monotonic() - started)
        time.sleep(_SETTLE_SECONDS)
        cpus.append(bench.cpu() - cpu)
        server_cpus.append(cgroup_cpu_seconds(bench.server_cgroup(visitor.name)))
        if left:
            visitor.stop_server()
    return {
        "spawn_wall": statistics.median(walls),
        "spawn_cpu": statistics.median(cpus),
        "spawn_server_cpu": statistics.median(server_cpus),
        **_open_lab(bench, visitor, cpu_before=cpu),
    }


def _open_lab(bench: Bench, visitor: Visitor, *, cpu_before: float) -> Measured:
    opened = time.monotonic()
    page = visitor.get(f"/user/{visitor.name}/lab")
    shown = time.monotonic()
    if page.status != 200 or "jupyter-config-data" not in page.text:
        raise MachineError(f"cannot open JupyterLab of {bench.side.name}: status {page.status}")
    time.sleep(_SETTLE_SECONDS)
    return {
        "lab_wall": shown - opened,
        "lab_cpu": bench.cpu() - cpu_before,
    }


def class_start(bench: Bench) -> Measured:
    """Ten users start their servers at the same moment; then the idle servers' memory."""
    started = start_at_once(bench, logged_in(bench, bench.users[1 : CLASS_SIZE + 1]))
    return {
        "class_wall": max(started.walls),
        "class_median": statistics.median(started.walls),
        "class_cpu": started.cpu,
        "server_private": statistics.median(one.private for one in started.memories) / MB,
        "server_pss": statistics.median(one.pss for one in started.memories) / MB,
    }


@dataclass(frozen=True, slots=True)
class Starts:
    """Servers that were started at the same moment, by user."""

    walls: list[float]
    """Seconds to the answer."""
    cpu: float
    """CPU seconds of everything."""
    unit_cpus: list[float]
    """CPU seconds of each server's unit."""
    memories: list[Memory]


def start_at_once(bench: Bench, visitors: list[Visitor]) -> Starts:
    """Press all start buttons at the same moment; returns when all answer and have settled."""
    gate = threading.Barrier(len(visitors) + 1)

    def start(visitor: Visitor) -> float:
        gate.wait()
        visitor.start_server()
        return time.monotonic()

    with ThreadPoolExecutor(len(visitors)) as pool:
        answers = [pool.submit(start, visitor) for visitor in visitors]
        started, cpu = time.monotonic(), bench.cpu()
        gate.wait()
        walls = [answer.result() - started for answer in answers]
    time.sleep(_SETTLE_SECONDS)
    spent = bench.cpu() - cpu
    units = [bench.server_cgroup(visitor.name) for visitor in visitors]
    return Starts(
        walls,
        spent,
        [cgroup_cpu_seconds(unit) for unit in units],
        [memory_of(processes_in(unit)) for unit in units],
    )


def proxied_requests(bench: Bench) -> Measured:
    """wrk with 10 kept-alive connections, to a user's running server and to a file of the hub."""
    to_server, server_cpu, _ = _wrk(bench, f"/user/{bench.users[0]}/api")
    to_static, static_cpu, all_cpu = _wrk(bench, bench.side.static_path)
    return {
        "proxy_server": to_server / server_cpu,
        "proxy_static": to_static / static_cpu,
        "all_static": to_static / all_cpu,
    }


def _wrk(bench: Bench, path: str) -> tuple[int, float, float]:
    """Return requests answered, CPU seconds of the proxy, and of proxy and hub together."""
    hub, proxy = bench.side.hub_pid(bench.machine), bench.side.proxy_pids(bench.machine)

    def spent() -> tuple[float, float]:
        of_proxy = sum(process_cpu_seconds(pid) for pid in proxy)
        return of_proxy, of_proxy + process_cpu_seconds(hub)

    proxy_before, all_before = spent()
    url = bench.side.address + path
    output = bench.machine.run(f"wrk -t1 -c10 -d{_WRK_SECONDS}s {url}", timeout=30)
    proxy_after, all_after = spent()
    requests = re.search(r"(\d+) requests in", output)
    if not requests or "Non-2xx" in output or "Socket errors" in output:
        raise MachineError(f"cannot count requests for {path} of {bench.side.name}\n{output}")
    return int(requests[1]), proxy_after - proxy_before, all_after - all_before


def logged_in(bench: Bench, users: list[str]) -> list[Visitor]:
    """Log users in, as far as the page with their start button."""
    visitors = [Visitor(bench.side, user) for user in users]
    for visitor in visitors:
        visitor.log_in()
        visitor.get("/hub/home")
    return visitors
