"""All of it: the way through the layers, the machine around it, and what others found."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator

from appliance.config.schema import Config
from appliance.doctor import accounts, advisories, machine, settings, walk
from appliance.doctor.report import Check, Report, State, warn
from appliance.doctor.system import System
from appliance.errors import ApplianceError, ConfigError
from appliance.findings import Severity, read_findings
from appliance.places import Places

_OWN_TOPICS = frozenset({"hub", "machine", "clock"})
"""The upkeep's words on what is looked at here and now."""

Tell = Callable[[str], None]


def examine(
    places: Places,
    *,
    fixes: bool = False,
    tell: Tell = lambda _: None,
    system: System | None = None,
) -> Report:
    """Look at everything; with `fixes`, mend what can be mended safely."""
    system = system or System()
    done: dict[str, list[str]] = {}
    failures: dict[str, str] = {}
    if fixes:
        tell("the machine")
        _mend(list(look(places, system)), done, failures, tell)
    # What was stopped may have been woken by the way itself, so all else is looked at after it.
    layers = walk.go(places, system, fixes=fixes, tell=tell)
    tell("the machine")
    return Report(layers, [_told(one, done, failures) for one in look(places, system)])


def look(places: Places, system: System) -> Iterator[Check]:
    """Everything but the way through the layers; changes nothing."""
    config = _config(places)
    yield from _safely("settings", lambda: settings.checks(places, system))
    yield from _safely("room", lambda: machine.room(places))
    yield from _safely("writing", lambda: machine.writing(places))
    yield from _safely("memory", machine.memory)
    yield from _safely("names", lambda: machine.name_service(system))
    if not places.trial:
        yield from _of_the_machine(places, system, config)
    yield from _safely("advisories", lambda: advisories.checks(places, system))
    if config is not None:
        yield from machine.isolation(config)
    yield from _findings(places)


def _of_the_machine(places: Places, system: System, config: Config | None) -> Iterator[Check]:
    yield from _safely("control groups", machine.control_groups)
    yield from _safely("clock", lambda: machine.clock(system, time.time(), _newest(places)))
    yield from _safely("units", lambda: machine.units(system, config))
    yield from _safely("folders", lambda: machine.folders(system, places))
    yield from _safely("dpkg", lambda: machine.packages(system))
    yield from _safely("own name", machine.own_name)
    yield from _safely("accounts", lambda: accounts.checks(places))


def _safely(name: str, check: Callable[[], Iterable[Check]]) -> list[Check]:
    """A check that can't be made says so, and the others go on."""
    try:
        return list(check())
    except (OSError, ApplianceError, ValueError, KeyError) as error:
        return [warn(name, "this could not be looked at", why=str(error) or type(error).__name__)]


def _findings(places: Places) -> Iterator[Check]:
    states = {Severity.OK: State.OK, Severity.WARNING: State.WARNING, Severity.FAILED: State.FAILED}
    for one in read_findings(places.health):
        if one.topic not in _OWN_TOPICS:
            yield Check(one.topic, states[one.severity], one.summary, one.why, one.mend)


def _mend(
    checks: list[Check], done: dict[str, list[str]], failures: dict[str, str], tell: Tell
) -> None:
    """Do what is safe."""
    for check in checks:
        if check.fix is None:
            continue
        tell(f"{check.name}: {check.fix.what}")
        failure = walk.carry_out(check.fix)
        if failure:
            failures[check.name] = failure
        else:
            done.setdefault(check.name, []).append(check.fix.what)


def _told(check: Check, done: dict[str, list[str]], failures: dict[str, str]) -> Check:
    """A check with what was done for it, or why that couldn't be; told once."""
    failure = failures.get(check.name, "") if check.state is not State.OK else ""
    why = "; ".join(part for part in (check.why, failure) if part)
    return Check(
        check.name, check.state, check.summary, why, check.mend,
        fixed=tuple(done.pop(check.name, ())), fix=check.fix,
    )  # fmt: skip


def _config(places: Places) -> Config | None:
    try:
        return settings.best_known(places)
    except ConfigError:
        return None


def _newest(places: Places) -> float:
    """When the appliance last wrote something, as far as its files say."""
    newest = 0.0
    for path in (places.rendered, places.hub_state, places.health):
        try:
            newest = max(newest, os.stat(path).st_mtime)  # noqa: PTH116 - one number
        except OSError:
            continue
    return newest
