"""What the regular upkeep looks at each time: whether the hub answers, the units, the clock.

It is the light half of the doctor: nobody logs in, and nothing is mended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from appliance.config.schema import Config
from appliance.doctor import machine
from appliance.doctor.report import Check, State
from appliance.doctor.system import System
from appliance.findings import Finding, Severity, write_finding
from appliance.places import Places
from appliance.rollout.health import find_fault

_TRIES: Final = 3
_PAUSE_SECONDS: Final = 5.0
_SEVERITIES: Final = {
    State.OK: Severity.OK, State.WARNING: Severity.WARNING, State.FAILED: Severity.FAILED,
}  # fmt: skip


def look_at_machine(
    config: Config,
    places: Places,
    *,
    system: System | None = None,
    fault: Callable[[Config], str] = find_fault,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Write the findings hub, machine and clock."""
    system = system or System()
    write_finding(places.health, hub_finding(config, fault=fault, pause=pause))
    checks = [*machine.control_groups(), *machine.units(system, config), *machine.packages(system)]
    facts = machine.facts(places, system)
    write_finding(places.health, _finding("machine", checks, "everything of ours runs", facts))
    clock = list(machine.clock(system, time.time(), 0.0))
    write_finding(places.health, _finding("clock", clock, "it is set right", {}))


def hub_finding(
    config: Config, *, fault: Callable[[Config], str], pause: Callable[[float], None]
) -> Finding:
    """Whether it answers through the proxy; a restart at this moment is no failure."""
    why = ""
    for attempt in range(_TRIES):
        if attempt:
            pause(_PAUSE_SECONDS)
        why = fault(config)
        if not why:
            return Finding("hub", Severity.OK, "it answers through the proxy")
    return Finding("hub", Severity.FAILED, "it does not answer", why, "sudo appliance doctor")


def _finding(topic: str, checks: Sequence[Check], fine: str, facts: dict[str, object]) -> Finding:
    """One finding of many checks: the worst of them, and that there are more."""
    bad = sorted(
        (one for one in checks if one.state is not State.OK),
        key=lambda one: -_SEVERITIES[one.state].rank,
    )
    if not bad:
        return Finding(topic, Severity.OK, fine, details=facts)
    worst, *rest = bad
    more = [f"{one.summary} ({one.mend})" if one.mend else one.summary for one in rest]
    return Finding(
        topic, _SEVERITIES[worst.state], worst.summary,
        why="; ".join(part for part in (worst.why, *more) if part),
        mend=worst.mend or "sudo appliance doctor", details=facts,
    )  # fmt: skip
