"""Questions to the machine, none of which may hang or raise: a doctor comes when things are bad."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.errors import ApplianceError
from appliance.rollout.services import run as run_plainly

SECONDS: Final = 5.0
LOG_LINES: Final = 6
_PROPERTIES: Final = (
    "Id", "LoadState", "ActiveState", "SubState", "Result", "UnitFileState", "NeedDaemonReload",
    "ExecMainStatus", "NRestarts",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Done:
    """How a command went; 127 if it couldn't be run, 124 if it took too long."""

    code: int
    out: str = ""
    err: str = ""

    @property
    def said(self) -> str:
        """Its last line that says something."""
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {self.code}"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as systemd sees it."""

    name: str
    load: str = "unknown"
    active: str = "unknown"
    sub: str = ""
    result: str = ""
    enabled: str = ""
    needs_reload: bool = False
    exit_status: int = 0
    restarts: int = 0

    @property
    def runs(self) -> bool:
        return self.active in {"active", "reloading"}

    @property
    def starts(self) -> bool:
        """Whether it is on its way, and not for the umpteenth time."""
        return self.active == "activating" and self.sub != "auto-restart"

    @property
    def is_missing(self) -> bool:
        return self.load in {"not-found", "masked", "bad-setting"}

    @property
    def text(self) -> str:
        """The state in words."""
        if self.is_missing:
            return "not installed" if self.load == "not-found" else self.load
        if self.active == "activating" and self.sub == "auto-restart":
            return f"failing again and again ({self.restarts} times)"
        if self.active == "failed":
            status = f", exit status {self.exit_status}" if self.exit_status else ""
            return f"failed ({self.result}{status})"
        return {"inactive": "stopped"}.get(self.active, self.active)


Runner = Callable[[Sequence[str], float], "subprocess.CompletedProcess[str]"]


class System:
    """Runs commands of the machine."""

    def __init__(self, runner: Runner = run_plainly) -> None:
        self._runner = runner

    def run(self, *command: str, seconds: float = SECONDS) -> Done:
        try:
            done = self._runner(command, seconds)
        except subprocess.TimeoutExpired:
            return Done(124, err=f"{command[0]} did not end within {seconds:g} seconds")
        except OSError as error:
            return Done(127, err=f"{command[0]}: {error.strerror or error}")
        return Done(done.returncode, done.stdout or "", done.stderr or "")

    def units(self, *names: str) -> dict[str, Unit]:
        """The units of those names; unknown ones where systemd doesn't answer."""
        done = self.run("systemctl", "show", "-p", ",".join(_PROPERTIES), "--", *names)
        found = {}
        for block in done.out.split("\n\n"):
            values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            if "Id" in values:
                found[values["Id"]] = _unit(values)
        return {name: found.get(name, Unit(name)) for name in names}

    def unit(self, name: str) -> Unit:
        return self.units(name)[name]

    def journal(self, unit: str, *, lines: int = LOG_LINES) -> tuple[str, ...]:
        """What a unit said last since the machine was started."""
        done = self.run(
            "journalctl", "-b", "-q", "--no-pager", "-o", "cat", "-n", str(lines), "-u", unit
        )
        return tuple(line for line in done.out.splitlines() if line.strip())

    def journal_of_program(self, unit: str) -> tuple[str, ...]:
        """The same without what systemd says of it, which is the reason more often."""
        done = self.run(
            "journalctl", "-b", "-q", "--no-pager", "-o", "cat", "-n", str(LOG_LINES),
            f"_SYSTEMD_UNIT={unit}",
        )  # fmt: skip
        return tuple(line for line in done.out.splitlines() if line.strip())

    def owner_of_port(self, port: int) -> str:
        """The program that listens at a port, as "nginx (process 7)"; "" if none does."""
        _, found, rest = self.run("ss", "-Hltnp", f"sport = :{port}").out.partition('users:(("')
        name, _, rest = rest.partition('",pid=')
        return f"{name} (process {rest.partition(',')[0]})" if found else ""

    def start(self, *units: str) -> None:
        """Start units afresh; raises ApplianceError with systemd's words."""
        self.run("systemctl", "reset-failed", *units)
        self.must("systemctl", "restart", *units, seconds=60)

    def must(self, *command: str, seconds: float = 30) -> None:
        """Run a command that has to succeed."""
        done = self.run(*command, seconds=seconds)
        if done.code:
            raise ApplianceError(f"cannot run {' '.join(command)}", why=done.said)


def _unit(values: dict[str, str]) -> Unit:
    def number(name: str) -> int:
        text = values.get(name, "")
        return int(text) if text.isdecimal() else 0

    return Unit(
        name=values["Id"],
        load=values.get("LoadState", ""),
        active=values.get("ActiveState", ""),
        sub=values.get("SubState", ""),
        result=values.get("Result", ""),
        enabled=values.get("UnitFileState", ""),
        needs_reload=values.get("NeedDaemonReload") == "yes",
        exit_status=number("ExecMainStatus"),
        restarts=number("NRestarts"),
    )


def as_account(account: str, command: Sequence[str]) -> list[str]:
    """The command without root's rights and groups; the account by name or number."""
    return ["setpriv", f"--reuid={account}", f"--regid={account}", "--clear-groups", *command]
