"""What the doctor says: checks, each with a state and, if something is wrong, the mend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from appliance.errors import ApplianceError


class State(StrEnum):
    """How a check went."""

    OK = "ok"
    WARNING = "warning"
    """It works, and won't for ever."""
    FAILED = "failed"
    NOT_TRIED = "not tried"
    """Because of what failed before it."""


@dataclass(frozen=True, slots=True)
class Fix:
    """Something safe that the doctor may do itself."""

    what: str
    """What it does, as in "start appliance-proxy.service"."""
    do: Callable[[], None]
    """Raises ApplianceError or OSError if it can't."""


class Broken(ApplianceError):
    """A check found something wrong."""

    def __init__(
        self,
        what: str,
        *,
        why: str = "",
        mend: str = "",
        log: tuple[str, ...] = (),
        fix: Fix | None = None,
        layer: str = "",
    ) -> None:
        """`layer`: whose fault it is, if not that of the layer which noticed it."""
        super().__init__(what, why=why, mend=mend, log=log)
        self.fix = fix
        self.layer = layer


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    name: str
    state: State
    summary: str
    why: str = ""
    mend: str = ""
    log: tuple[str, ...] = ()
    seconds: float | None = None
    fixed: tuple[str, ...] = ()
    """What --fix did before it was so."""
    fix: Fix | None = None

    def as_json(self) -> dict[str, Any]:
        names = ("name", "state", "summary", "why", "mend", "log", "seconds", "fixed")
        return {
            **{name: getattr(self, name) for name in names},
            "can_be_fixed": self.fix is not None,
        }

    @classmethod
    def of(cls, name: str, error: ApplianceError, *, seconds: float | None = None) -> Check:
        fix = error.fix if isinstance(error, Broken) else None
        what, why, mend = error.what, error.why, error.mend
        return cls(name, State.FAILED, what, why, mend, error.log, seconds, fix=fix)


def fine(name: str, summary: str) -> Check:
    return Check(name, State.OK, summary)


def warn(
    name: str, summary: str, *, why: str = "", mend: str = "", fix: Fix | None = None
) -> Check:
    return Check(name, State.WARNING, summary, why, mend, fix=fix)


def fail(
    name: str, summary: str, *, why: str = "", mend: str = "", fix: Fix | None = None
) -> Check:
    return Check(name, State.FAILED, summary, why, mend, fix=fix)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was found."""

    layers: Sequence[Check] = field(default=())
    checks: Sequence[Check] = field(default=())

    @property
    def state(self) -> State:
        states = {one.state for one in (*self.layers, *self.checks)}
        for state in (State.FAILED, State.WARNING):
            if state in states:
                return state
        return State.OK

    @property
    def broken(self) -> str:
        """The first broken layer's name, or ""."""
        return next((one.name for one in self.layers if one.state is State.FAILED), "")

    def as_json(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "broken": self.broken or None,
            "layers": [one.as_json() for one in self.layers],
            "checks": [one.as_json() for one in self.checks],
        }
