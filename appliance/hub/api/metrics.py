"""The hub's numbers for Prometheus, at /hub/metrics and, as in JupyterHub, /hub/api/metrics."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from appliance import __version__
from appliance.access.scopes import Target
from appliance.audit import Action, Outcome
from appliance.clock import Clock
from appliance.config.schema import Config
from appliance.hub.api.handler import HubApiHandler
from appliance.hub.disk_use import DiskUse
from appliance.hub.exposition import CONTENT_TYPE, family
from appliance.hub.metrics import Metrics
from appliance.hub.states import ServerState
from appliance.hub.usage import Usage, UsageMeter
from appliance.names import ServerId
from appliance.web.guards import check_access, public
from appliance.web.parts import Pattern

_PERIODS: Final = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}


class MetricsHandler(HubApiHandler):
    """What was counted, and what is so at this moment."""

    config: Config
    clock: Clock
    started: datetime
    metrics: Metrics
    usage: UsageMeter
    disk_use: DiskUse

    @public
    async def get(self) -> None:
        if not self.config.metrics.public:
            check_access(self.identified(), ("read:metrics",), Target())
        usage = await self.usage.all()
        parts = [
            self.metrics.lines(),
            self._people(),
            self._servers(usage),
            self._disk(),
            self._audited(),
            self._program(),
        ]
        self.set_header("Content-Type", CONTENT_TYPE)
        self.set_header("Cache-Control", "no-store")
        self.finish("".join(line for part in parts for line in part))

    def _people(self) -> Iterator[str]:
        now = self.clock.now()
        counts = self.users.counts()
        active = self.users.active_since({name: now - span for name, span in _PERIODS.items()})
        yield from family(
            "jupyterhub_total_users", "gauge", "Total number of users", [({}, counts.total)]
        )
        yield from family(
            "jupyterhub_active_users",
            "gauge",
            "Number of users who were active in the given time period",
            [({"period": period}, number) for period, number in active.items()],
        )
        yield from family(
            "appliance_users_waiting",
            "gauge",
            "Users who wait for an admin's approval",
            [({}, counts.waiting)],
        )

    def _servers(self, usage: Mapping[ServerId, Usage]) -> Iterator[str]:
        counts = self.servers.counts()
        yield from family(
            "jupyterhub_running_servers",
            "gauge",
            "The number of single-user servers that run",
            [({}, counts[ServerState.READY])],
        )
        yield from family(
            "appliance_servers",
            "gauge",
            "Single-user servers by state",
            [({"state": state.value}, number) for state, number in counts.items()],
        )
        yield from family(
            "appliance_start_queue_length",
            "gauge",
            "Servers that wait in line to be started",
            [({}, self.servers.in_line)],
        )
        yield from family(
            "appliance_servers_memory_bytes",
            "gauge",
            "Memory that all single-user servers use together",
            [({}, sum(one.memory_bytes or 0 for one in usage.values()))],
        )
        yield from family(
            "appliance_servers_cpu_seconds_total",
            "counter",
            "Processor time that single-user servers have used while this hub ran",
            [({}, self.metrics.cpu_used(usage))],
        )

    def _disk(self) -> Iterator[str]:
        report = self.disk_use.report()
        yield from family(
            "appliance_homes_bytes",
            "gauge",
            "What all homes together take on the disk",
            [({}, sum(one.bytes for one in report.users.values()))],
        )
        yield from family(
            "appliance_homes_full",
            "gauge",
            "Homes that hold as much as they may, or more",
            [({}, sum(one.is_full for one in report.users.values()))],
        )
        yield from family(
            "appliance_disk_free_bytes",
            "gauge",
            "Room for users on each file system",
            [({"place": room.place}, room.free) for room in report.rooms],
        )
        yield from family(
            "appliance_disk_size_bytes",
            "gauge",
            "The size of each file system, as far as users can fill it",
            [({"place": room.place}, room.size) for room in report.rooms],
        )

    def _audited(self) -> Iterator[str]:
        counts = self.web.audit.counts
        outcomes = {
            "success": Outcome.DONE, "failure": Outcome.REFUSED, "throttled": Outcome.THROTTLED
        }  # fmt: skip
        yield from family(
            "appliance_logins_total",
            "counter",
            "Log-ins by how they ended; throttled: refused unseen after too many failures",
            [
                ({"outcome": name}, counts[Action.LOG_IN, outcome])
                for name, outcome in outcomes.items()
            ],
        )
        yield from family(
            "appliance_audited_actions_total",
            "counter",
            "Lines of the audit log, by action and outcome",
            [
                ({"action": action.value, "outcome": outcome.value}, number)
                for (action, outcome), number in sorted(counts.items())
            ],
        )

    def _program(self) -> Iterator[str]:
        """The hub's own process, by the names that Prometheus' libraries use."""
        spent = os.times()
        yield from family(
            "appliance_info", "gauge", "The version of the hub", [({"version": __version__}, 1)]
        )
        yield from family(
            "process_start_time_seconds",
            "gauge",
            "Start time of the process since the Unix epoch in seconds",
            [({}, self.started.timestamp())],
        )
        yield from family(
            "process_cpu_seconds_total",
            "counter",
            "Total user and system CPU time spent in seconds",
            [({}, spent.user + spent.system)],
        )
        yield from family(
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory size in bytes",
            [({}, _resident_bytes())],
        )
        yield from family(
            "process_open_fds",
            "gauge",
            "Number of open file descriptors",
            [({}, sum(1 for _ in Path("/proc/self/fd").iterdir()))],
        )


def _resident_bytes() -> int:
    """proc_pid_statm(5): the second number, in pages."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


handlers = [Pattern(r"/(?:api/)?metrics", MetricsHandler)]
