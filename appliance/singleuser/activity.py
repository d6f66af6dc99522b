"""When the server was last used, told to the hub so that it stops idle servers and only those."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from .hub import Hub, HubRefusedError, HubUnavailableError
from .settings import Settings

FIRST_RETRY_SECONDS: Final = 1.0
# How often the server looks whether somebody came back, which the hub is told at once.
LOOK_SECONDS: Final = 10.0

log = logging.getLogger("appliance.singleuser")


class LastUse:
    """When the server was last used: requests, terminals, kernels.

    jupyter_server notes a kernel's messages, so a cell that computes in silence looks idle and one
    that prints looks used. Here a busy kernel is in use now, or not at all, as the setting says,
    and so is a terminal in which a program runs. A terminal's output counts where its programs do.

    Stamps in the future are from before the clock was set back. The hub refuses them and would take
    a server for idle that is in use; so they don't count. Where there are no others, it was in use
    until the jump was seen.
    """

    def __init__(self, *, count_busy: bool, count_terminals: bool = True) -> None:
        self._count_busy = count_busy
        self._count_terminals = count_terminals
        self._set_back: datetime | None = None

    def of(self, web_app: Any, *, now: datetime) -> datetime:
        """The last use as far as it is known at this moment."""
        if self._count_busy and any(_is_busy(kernel) for kernel in _kernels(web_app)):
            return now
        terminals = _terminals(web_app) if self._count_terminals else []
        if any(_runs_program(terminal) for terminal in terminals):
            return now
        stamps = [*_stamps(web_app), *_outputs(terminals)]
        past = [time for time in stamps if time <= now]
        if past:
            return max(past)
        if self._set_back is None or self._set_back > now:
            self._set_back = now
        return self._set_back


def _stamps(web_app: Any) -> Iterator[datetime]:
    settings = web_app.settings
    times = [settings["started"], *settings["last_activity_times"].values()]
    times += [value for key, value in settings.items() if key.endswith("_last_activity")]
    times += [
        getattr(kernel, "last_activity", None)
        for kernel in _kernels(web_app)
        if not _is_busy(kernel)
    ]
    return (time for time in times if isinstance(time, datetime))


def _kernels(web_app: Any) -> Iterator[Any]:
    manager = web_app.settings["kernel_manager"]
    return (manager.get_kernel(kernel_id) for kernel_id in manager.list_kernel_ids())


def _is_busy(kernel: Any) -> bool:
    return getattr(kernel, "execution_state", "") == "busy"


def _terminals(web_app: Any) -> list[Any]:
    """Those that are open; none where the extension is off."""
    manager = web_app.settings.get("terminal_manager")
    return list(manager.terminals.values()) if manager else []


def _outputs(terminals: list[Any]) -> Iterator[datetime]:
    times = (getattr(terminal, "last_activity", None) for terminal in terminals)
    return (time for time in times if isinstance(time, datetime))


def _runs_program(terminal: Any) -> bool:
    """Whether another program than the terminal's shell has its foreground; tcgetpgrp(3)."""
    process = terminal.ptyproc
    try:
        return os.tcgetpgrp(process.fd) not in (process.pid, 0)
    except OSError:  # it has just been closed
        return False


class ActivityReporter:
    """Posts the last use again and again; the hub's restarts only make it try sooner again.

    When somebody comes back after a while, the hub hears of it within seconds: it may be about to
    stop the server.
    """

    def __init__(self, hub: Hub, settings: Settings, *, last_used: Callable[[], datetime]) -> None:
        self._hub = hub
        self._settings = settings
        self._last_used = last_used
        self._told: datetime | None = None

    async def run(self) -> None:
        while True:
            await self.report()
            await self._pause()

    async def _pause(self) -> None:
        """Wait until the next report is due, or somebody came back."""
        # Servers that started together shouldn't report together for ever.
        left = self._settings.activity_seconds * random.uniform(0.9, 1.0)  # noqa: S311
        while left > 0:
            wait = min(LOOK_SECONDS, left)
            await asyncio.sleep(wait)
            left -= wait
            if self._is_back():
                return

    def _is_back(self) -> bool:
        """Whether it is used now and, by what the hub knows, wasn't for long."""
        if self._told is None:
            return False
        quiet = (self._last_used() - self._told).total_seconds()
        return quiet > self._settings.activity_seconds

    async def report(self) -> None:
        """Post once, again while the hub is away, and give up when the next round is due."""
        wait = FIRST_RETRY_SECONDS
        waited = 0.0
        while True:
            used = self._last_used()
            stamp = used.astimezone(UTC).isoformat().replace("+00:00", "Z")
            try:
                await self._hub.post_activity(stamp)
                self._told = used
            except HubRefusedError as err:
                log.warning("the hub refused the activity report: %s", err)
            except HubUnavailableError as err:
                if waited + wait < self._settings.activity_seconds:
                    log.info("cannot report activity (%s); trying again in %.0f s", err, wait)
                    await asyncio.sleep(wait)
                    waited += wait
                    wait = min(wait * 2, 60)
                    continue
                log.warning("cannot report activity: %s", err)
            return
