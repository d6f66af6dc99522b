"""What is counted and timed while the hub runs; `api/metrics.py` adds what is so at this moment.

Where a number means what JupyterHub's means it has JupyterHub's name, so its dashboards work.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tornado.web import RequestHandler

from appliance.clock import Clock
from appliance.hub.exposition import Counter, Histogram
from appliance.hub.states import ServerState
from appliance.hub.usage import Usage
from appliance.interfaces import Started
from appliance.names import ServerId
from appliance.native_auth.handlers import LoginHandler, LogoutHandler
from appliance.web.access_log import log_request

# Servers take longer than requests.
_START_BUCKETS: Final = (0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0)
# A preloaded server takes a tenth of a second, which those of JupyterHub's don't show.
_SPAWNER_BUCKETS: Final = (0.05, 0.1, 0.15, 0.2, 0.3, *_START_BUCKETS)
# Those of interfaces.Started.
HOW: Final = ("preloaded", "cold")
# Those of interfaces.Exited, and our own.
CAUSES: Final = (
    "stopped", "finished", "oom", "exit", "signal", "timeout", "unseen", "other", "idle",
    "calendar", "run_time",
)  # fmt: skip
# Anything can stand where a request's method belongs.
_METHODS: Final = frozenset(RequestHandler.SUPPORTED_METHODS)


@dataclass(frozen=True, slots=True)
class ColdStart:
    """A server that was not preloaded, and what it gave as the reason."""

    server: ServerId
    reason: str


class Metrics:
    """The instruments, each for the part of the hub that it measures."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._moving: dict[ServerId, tuple[ServerState, float]] = {}
        """Servers that are starting or stopping, and since when."""
        self._cpu = 0.0
        self._cpu_before: dict[ServerId, float] | None = None
        self.requests = Histogram(
            "jupyterhub_request_duration_seconds",
            "Request duration for all HTTP requests",
            ("method", "handler", "code"),
        )
        self.logins = Histogram(
            "jupyterhub_login_duration_seconds",
            "Duration of log-ins with a password",
            ("status",),
        )
        self.logouts = Histogram(
            "jupyterhub_logout_duration_seconds", "Duration of all log-out requests"
        )
        self.starts = Histogram(
            "jupyterhub_server_spawn_duration_seconds",
            "Time that starts of single-user servers took, waiting in line included",
            ("status",),
            _START_BUCKETS,
        )
        self.starts_how = Counter(
            "appliance_server_starts_total",
            "Single-user servers that were started, by how: preloaded or cold",
            ("how",),
        )
        self.starts_by_spawner = Histogram(
            "appliance_server_start_duration_seconds",
            "Time that starts of single-user servers took, without waiting in line",
            ("how",),
            _SPAWNER_BUCKETS,
        )
        self.latest_cold: ColdStart | None = None
        self.stops = Histogram(
            "jupyterhub_server_stop_seconds",
            "Time that stops of single-user servers took",
            ("status",),
        )
        self.startup = Histogram(
            "jupyterhub_hub_startup_duration_seconds",
            "Time from the start of the hub's process to its first answer",
        )
        self.ends = Counter(
            "appliance_server_ends_total",
            "Single-user servers that ended without a person's wish, by cause",
            ("cause",),
        )
        self.memory_kills = Counter(
            "appliance_memory_kills_total",
            "Kernels and programs in servers that were stopped for wanting too much memory",
        )
        self.memory_kills.add(amount=0)
        # There from the beginning, so that the first one shows as a rise.
        for status in ("success", "failure"):
            self.starts.expect(status)
            self.logins.expect(status)
        self.stops.expect("success")
        for how in HOW:
            self.starts_how.add(how, amount=0)
            self.starts_by_spawner.expect(how)
        for cause in CAUSES:
            self.ends.add(cause, amount=0)

    def on_request(self, handler: RequestHandler) -> None:
        """The application's log function: one line, and how long it took."""
        log_request(handler)
        kind = type(handler)
        method = handler.request.method if handler.request.method in _METHODS else "other"
        seconds, code = handler.request.request_time(), handler.get_status()
        self.requests.observe(
            seconds, method or "", f"{kind.__module__}.{kind.__name__}", str(code)
        )
        if isinstance(handler, LoginHandler) and method == "POST":
            spent = handler.seconds_to_log_in
            self.logins.observe(
                seconds if spent is None else spent, "success" if code == 302 else "failure"
            )
        elif kind is LogoutHandler:
            self.logouts.observe(seconds)

    def on_state(self, server: ServerId, state: ServerState) -> None:
        """A server's state has changed (`ServerRows.follow`)."""
        before, since = self._moving.pop(server, (None, 0.0))
        now = self._clock.monotonic()
        if state in (ServerState.STARTING, ServerState.STOPPING):
            self._moving[server] = (state, now)
        elif before is ServerState.STARTING and state is not ServerState.STOPPED:
            self.starts.observe(now - since, "success" if state is ServerState.READY else "failure")
        elif before is ServerState.STOPPING:
            self.stops.observe(now - since, "success")

    def on_started(self, server: ServerId, started: Started, seconds: float) -> None:
        """The spawner has started a server; `seconds` is what it took for that."""
        self.starts_how.add(started.how)
        self.starts_by_spawner.observe(seconds, started.how)
        if not started.preloaded:
            self.latest_cold = ColdStart(server, started.cold_reason)

    def starts_so_far(self) -> dict[str, Any]:
        """How servers were started, for `appliance status`."""
        cold = self.latest_cold
        return {
            **{how: int(self.starts_how.counts[how,]) for how in HOW},
            "latest_cold": cold and {"server": str(cold.server), "reason": cold.reason},
        }

    def on_end(self, cause: str) -> None:
        """A server has ended, and no person has asked for it."""
        self.ends.add(cause if cause in CAUSES else "other")

    def on_memory_kill(self) -> None:
        """Something in a server was stopped for wanting too much memory."""
        self.memory_kills.add()

    def cpu_used(self, usage: Mapping[ServerId, Usage]) -> float:
        """Processor seconds of all servers since the first look; it never goes down.

        What a server used between the last look and its end is not in it.
        """
        now = {server: one.cpu_seconds or 0.0 for server, one in usage.items()}
        if self._cpu_before is not None:
            for server, seconds in now.items():
                before = self._cpu_before.get(server, 0.0)
                # Less than before: it was started again.
                self._cpu += seconds - before if seconds >= before else seconds
        self._cpu_before = now
        return self._cpu

    def on_ready(self) -> None:
        """The hub answers from now on."""
        self.startup.observe(time.clock_gettime(time.CLOCK_BOOTTIME) - process_start())

    def lines(self) -> Iterator[str]:
        for instrument in (
            self.requests, self.logins, self.logouts, self.starts, self.starts_how,
            self.starts_by_spawner, self.stops, self.startup, self.ends, self.memory_kills,
        ):  # fmt: skip
            yield from instrument.lines()


def process_start() -> float:
    """When this process was started, in seconds since the machine was; proc_pid_stat(5)."""
    # The second field is a name that may hold spaces and brackets.
    _, _, rest = Path("/proc/self/stat").read_text().rpartition(")")
    return int(rest.split()[19]) / os.sysconf("SC_CLK_TCK")
