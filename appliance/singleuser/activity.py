"""When the server was last used, told to the hub so that it stops idle servers and only those."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from .hub import Hub, HubRefusedError, HubUnavailableError
from .settings import Settings

FIRST_RETRY_SECONDS: Final = 1.0

log = logging.getLogger("appliance.singleuser")


def last_activity(web_app: Any, *, count_busy: bool, now: datetime) -> datetime:
    """The last use: requests, terminals, kernels.

    jupyter_server notes a kernel's messages, so a cell that computes in silence looks idle and one
    that prints looks used. Here a busy kernel is in use now, or not at all, as the setting says.

    Stamps in the future are from before the clock was set back. The hub refuses them and would take
    a server for idle that is in use; so they don't count, and without any other it is in use now.
    """
    settings = web_app.settings
    kernels = settings["kernel_manager"]
    times = [settings["started"], *settings["last_activity_times"].values()]
    times += [value for key, value in settings.items() if key.endswith("_last_activity")]
    for kernel_id in kernels.list_kernel_ids():
        kernel = kernels.get_kernel(kernel_id)
        if getattr(kernel, "execution_state", "") == "busy":
            if count_busy:
                return now
        elif getattr(kernel, "last_activity", None):
            times.append(kernel.last_activity)
    past = (time for time in times if isinstance(time, datetime) and time <= now)
    return max(past, default=now)


class ActivityReporter:
    """Posts the last use again and again; the hub's restarts only make it try sooner again."""

    def __init__(self, hub: Hub, settings: Settings, *, last_used: Callable[[], datetime]) -> None:
        self._hub = hub
        self._settings = settings
        self._last_used = last_used

    async def run(self) -> None:
        while True:
            await self.report()
            # Servers that started together shouldn't report together for ever.
            await asyncio.sleep(self._settings.activity_seconds * random.uniform(0.9, 1.0))  # noqa: S311

    async def report(self) -> None:
        """Post once, again while the hub is away, and give up when the next round is due."""
        wait = FIRST_RETRY_SECONDS
        waited = 0.0
        while True:
            stamp = self._last_used().astimezone(UTC).isoformat().replace("+00:00", "Z")
            try:
                await self._hub.post_activity(stamp)
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
