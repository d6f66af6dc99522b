"""Hub and proxy of a trial: started, also when they die, told of settings, ended together."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from appliance.errors import ApplianceError
from appliance.places import TRIAL_VARIABLE, Places
from appliance.rollout.render import PROXY_FILE
from appliance.trial.children import Reaper, spawn
from appliance.trial.sockets import TrialSockets

# A program that ran this long did not fail at its start, so it is started again at once.
_SETTLED_SECONDS: Final = 10.0
_LONGEST_PAUSE_SECONDS: Final = 8.0
_END_SECONDS: Final = 10.0
# EX_CONFIG: starting again won't help until somebody changes the configuration.
_CONFIGURATION: Final = 78
_TAIL_LINES: Final = 10

Say = Callable[[str], None]


@dataclass
class Program:
    """One program that is to run all the time."""

    title: str
    command: list[str]
    log: Path
    takes_sockets: bool = False
    pid: int = 0
    restarting: bool = False
    """Its next end is our own doing."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """Runs until it is told to end."""

    def __init__(self, places: Places, sockets: TrialSockets, *, nginx: Path, say: Say) -> None:
        self._places = places
        self._sockets = sockets
        self._say = say
        self._reaper = Reaper()
        self._ending = asyncio.Event()
        self.failed = False
        places.logs.mkdir(parents=True, exist_ok=True)
        hub = [str(places.software / "hub/bin/python"), "-I", "-m", "appliance.hub"]
        proxy = [str(nginx), "-e", "stderr", "-c", str(places.rendered / PROXY_FILE)]
        proxy += ["-g", "daemon off;"]
        self.hub = Program("hub", hub, places.logs / "hub.log", takes_sockets=True)
        self.proxy = Program("proxy", proxy, places.logs / "proxy.log")

    async def run(self, when_started: Callable[[], None]) -> None:
        """Keep both running until a signal ends it; `when_started` is called in a thread."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reaper.reap)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._ending.set)
        terminal = _has_terminal()
        loop.add_signal_handler(signal.SIGHUP, lambda: self._on_hang_up(had_terminal=terminal))
        keepers = [asyncio.create_task(self._keep(program)) for program in (self.hub, self.proxy)]
        # Not asyncio's own threads: their end would be waited for.
        threading.Thread(target=self._greet, args=(when_started, loop), daemon=True).start()
        await self._ending.wait()
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        for program in (self.proxy, self.hub):
            await self._stop(program)

    def _greet(self, greet: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        try:
            greet()
        except ApplianceError as err:
            self._say(f"failed: {err}")
            for program in (self.hub, self.proxy):
                self._say("\n".join([f"the last lines of {program.log}:", *_tail(program.log)]))
            self.failed = True
            loop.call_soon_threadsafe(self._ending.set)

    def _on_hang_up(self, *, had_terminal: bool) -> None:
        """SIGHUP is `appliance config reload`, or the terminal that went away."""
        if had_terminal and not _has_terminal():
            self._ending.set()
            return
        for program, number in ((self.hub, signal.SIGTERM), (self.proxy, signal.SIGHUP)):
            program.restarting = number is signal.SIGTERM
            program.wake.set()
            if program.pid:
                with suppress(ProcessLookupError):
                    os.kill(program.pid, number)

    async def _keep(self, program: Program) -> None:
        pause = 0.5
        while True:
            started = time.monotonic()
            code = await self._run_once(program)
            if program.restarting:
                program.restarting, pause = False, 0.5
                continue
            self._say(f"the {program.title} ended ({_reason(code)}); its log is {program.log}")
            if time.monotonic() - started > _SETTLED_SECONDS:
                pause = 0.5
            program.wake.clear()
            with suppress(TimeoutError):
                forever = code == _CONFIGURATION
                async with asyncio.timeout(None if forever else pause):
                    await program.wake.wait()
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _run_once(self, program: Program) -> int:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
        }
        environment[TRIAL_VARIABLE] = str(self._places.state.parent)
        program.pid = spawn(
            program.command,
            environment,
            log=program.log,
            sockets=self._sockets.listening if program.takes_sockets else None,
        )
        ended = self._reaper.watch(program.pid)
        code = await asyncio.shield(ended)
        program.pid = 0
        return code

    async def _stop(self, program: Program) -> None:
        if not program.pid:
            return
        ended = self._reaper.watch(program.pid)
        self._reaper.reap()
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.kill(program.pid, number)
            with suppress(TimeoutError):
                async with asyncio.timeout(_END_SECONDS):
                    await asyncio.shield(ended)
                return


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _reason(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _tail(log: Path) -> list[str]:
    try:
        return log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    except OSError:
        return []


def say_on_terminal(text: str) -> None:
    """To standard error: the address on standard output is for scripts."""
    with suppress(OSError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
